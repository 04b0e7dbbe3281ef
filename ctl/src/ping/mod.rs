//! `flmping`: runs tasks that do next to nothing, to see that a cluster works and how fast it is.
//!
//! **Invariant:** the session is closed however the command ends, unless no coordinator can be reached any more.
//! **Invariant:** at most [`PINGS_UNDER_WAY_MAX`] tasks are waited for at a time; they go and their results come over one
//! stream. Where coordinators have no streams, at most [`SUBMITS_IN_FLIGHT_MAX`] calls are under way.

mod args;
mod payload;
mod progress;
mod report;
mod run;
pub mod service;
mod submit;

pub use args::{PingArgs, command};
pub use payload::{PingInput, PingOutput};
pub use report::{benchmark, completed, created, table};
pub use run::main;
pub use submit::{PINGS_UNDER_WAY_MAX, SUBMITS_IN_FLIGHT_MAX};
