//! Workers that only speak: many of them in one process, for what no machine has room to run.
//!
//! To the leader each is a worker like any other: a connection and an attach stream of its own, a Hello, heartbeats as
//! often as real workers send them, executors that become ready and tasks that end. Only services are missing: a task
//! ends as soon as it arrives, with its input as its output.
//!
//! | file | holds |
//! |---|---|
//! | `worker.rs` | one such worker |
//! | `process.rs` | the process with all of them, as the command line starts it |
//! | `crowd.rs` | the handle of that process: start, journal, end |

mod crowd;
mod process;
mod worker;

pub use crowd::{Crowd, Recorded, Shape};
pub use process::{CrowdArguments, run};
