//! What the commands that run many like tasks share: `flmping` and `flmexec`.
//!
//! **Invariant:** the session is closed however the command ends, unless no coordinator can be reached any more.
//! **Invariant:** at most [`TASKS_UNDER_WAY_MAX`] tasks are waited for at a time; they go and their results come over one
//! stream. Where coordinators have no streams, at most [`SUBMITS_IN_FLIGHT_MAX`] calls are under way.

mod ending;
mod progress;
mod submit;

pub(crate) use ending::{close, ended_early};
pub(crate) use submit::{Bulk, Results};
pub use submit::{SUBMITS_IN_FLIGHT_MAX, TASKS_UNDER_WAY_MAX};
