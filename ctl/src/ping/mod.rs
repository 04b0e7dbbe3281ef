//! `flmping`: runs tasks that do next to nothing, to see that a cluster works and how fast it is.

mod args;
mod payload;
mod report;
mod run;
pub mod service;

pub use args::{PingArgs, command};
pub use payload::{PingInput, PingOutput};
pub use report::{benchmark, completed, created, table};
pub use run::main;
