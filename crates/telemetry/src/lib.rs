//! Set-up of logs and of what happens on a panic: the first call of every daemon's `main`.
//!
//! Logs are events with fields on standard error; standard output belongs to the program's data.
//!
//! **Invariant:** a panic ends the process. A replica that finds one of its own invariants broken must stop rather than
//! go on with a state that the others do not share; a worker that stops is replaced, its tasks are run elsewhere.
//!
//! **Invariant:** this crate is the only one that installs a subscriber or a panic hook. Libraries only emit.

mod error;
mod format;
mod init;
mod panic;

pub use error::InitError;
pub use format::Format;
pub use init::{FILTER_VARIABLES, FORMAT_VARIABLE, init, init_with};
