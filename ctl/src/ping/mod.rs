//! `flmping`: runs tasks that do next to nothing, to see that a cluster works and how fast it is.
//!
//! **Invariant:** the session is closed however the command ends, unless no coordinator can be reached any more.
//! **Invariant:** at most [`SUBMITS_IN_FLIGHT_MAX`] submits are under way at a time; results come over one stream.

mod args;
mod payload;
mod progress;
mod report;
mod run;
pub mod service;

pub use args::{PingArgs, command};
pub use payload::{PingInput, PingOutput};
pub use report::{benchmark, completed, created, table};
pub use run::{SUBMITS_IN_FLIGHT_MAX, main};
