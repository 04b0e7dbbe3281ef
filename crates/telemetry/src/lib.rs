//! Set-up of logs and of what happens on a panic: the first call of every daemon's `main`. And the exporter of metrics.
//!
//! Logs are events with fields on standard error; standard output belongs to the program's data.
//!
//! **Invariant:** a panic ends the process. A replica that finds one of its own invariants broken must stop rather than
//! go on with a state that the others do not share; a worker that stops is replaced, its tasks are run elsewhere.
//!
//! **Invariant:** this crate is the only one that installs a subscriber or a panic hook, and the only one that knows the
//! exporter of metrics. Libraries only emit.

mod error;
mod exporter;
mod format;
mod init;
pub mod metrics;
mod panic;
mod process;

pub use error::InitError;
pub use exporter::{CONTENT_TYPE, Exporter, UPKEEP_EVERY};
pub use format::Format;
pub use init::{FILTER_VARIABLES, FORMAT_VARIABLE, init, init_with};
pub use process::ProcessGauges;
