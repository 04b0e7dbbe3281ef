//! `flame.ha.v1.Sessions`: one stream per session, for clients that have many tasks; one call for a task that is alone.
//!
//! Tasks come in frames of many, each one command that is applied as a whole; results leave in frames of many, in the
//! order of the log. The client numbers its frames, and the replicated state takes each number once: so a client whose
//! stream broke opens another one, on any node, sends again what was not answered, and names the position up to which
//! it has results.
//!
//! **Invariant:** results are passed on in the order of the log, each once per stream, none left out: what this node
//! could not keep in memory for a slow client is read from its rows.
//!
//! **Invariant:** what waits for a client that does not read is bounded; nothing else waits for it.
//!
//! | file | holds |
//! |---|---|
//! | `service.rs` | how a stream begins and how its end is told |
//! | `session.rs` | the stream while it is open: frames up, answers and results down |
//! | `command.rs` | a frame as a command |
//! | `following.rs` | results as they are recorded, and those from before |
//! | `recorded.rs` | results of a session in this node's rows |
//! | `frames.rs` | results put into frames |
//! | `ranges.rs` | a set of task numbers |
//! | `run.rs` | a task that is alone: submitted, waited for and answered in one call |

mod command;
mod following;
mod frames;
mod ranges;
mod recorded;
mod run;
mod service;
mod session;

pub use service::SessionsService;
