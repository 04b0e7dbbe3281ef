//! What happens when a batch is applied.
//!
//! **Invariant:** a command is checked completely before it changes anything: a refused one leaves only its client's
//! window changed.
//!
//! **Invariant:** rows of the things a batch touched are written once, at its end, as they are then.
//!
//! | file | holds |
//! |---|---|
//! | `batch.rs` | the way of a batch: time, deadlines, commands, rows |
//! | `dedup.rs` | windows of clients |
//! | `requests.rs` | changes that carry a request id |
//! | `changes.rs` | what was touched, and the rows of it |
//! | `applications.rs`, `sessions.rs`, `close.rs`, `tasks.rs` | commands of users |
//! | `ahead.rs` | a task that was given out before its entry |
//! | `hello.rs`, `workers.rs`, `results.rs` | commands of workers |
//! | `leader.rs`, `upkeep.rs` | commands of the leader |
//! | `happened.rs` | what operators are told of the cluster |
//! | `caches.rs`, `objects.rs` | nodes of the object cache, and what they have |
//! | `sweep.rs` | how objects are deleted |
//! | `retention.rs` | limits of what is kept, and how finished tasks leave |
//! | `executors.rs` | the life of an executor |
//! | `hand_over.rs` | idle executors to sessions that wait |
//! | `dispatch.rs` | pending tasks to executors with room |
//! | `ending.rs` | **the** place where a task reaches its end; lost attempts |
//! | `deadlines.rs` | what happens when a deadline passes |

mod ahead;
mod applications;
mod batch;
mod caches;
mod changes;
mod close;
mod deadlines;
mod dedup;
mod dispatch;
mod ending;
mod executors;
mod hand_over;
mod happened;
mod hello;
mod leader;
mod objects;
mod requests;
mod results;
mod retention;
mod sessions;
mod sweep;
mod tasks;
mod upkeep;
mod workers;

pub use ahead::Foreseen;
pub use batch::{Applied, Ctx};
