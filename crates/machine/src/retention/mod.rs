//! What may leave, and what should leave now. The leader asks, and proposes `Expire` and `Trim`; apply checks again.
//!
//! Closed sessions leave as wholes and are found in memory alone (`closed.rs`). Of a session that is not closed, finished
//! tasks leave in the order in which they ended; they are on disk only, so a plan is made in steps between which rows
//! are read, off the apply path (`plan.rs`). `limits.rs` says which limits hold for a session, `later.rs` when something will
//! be old enough.
//!
//! **Invariant:** a finished task of a session that is not closed stays for the minimum age, whatever is full.

mod closed;
mod later;
mod limits;
mod plan;

pub use closed::expired_sessions;
pub use later::{next_expiry, next_trim};
pub use limits::{keep_below, task_limits};
pub use plan::{Draft, Due, KeptRows, SubmitRow, TRIM_TASKS_MAX, due, due_sessions, settled};
