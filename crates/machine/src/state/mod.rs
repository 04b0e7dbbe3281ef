//! What the machine holds in memory: live things only, and the indexes that make a command cheap.
//!
//! **Invariant:** everything here can be rebuilt from the live rows: each thing has a row struct that is written to
//! disk, and its other fields are derived from rows by the functions in `index.rs`, which apply and load share.
//!
//! **Invariant:** ordered collections only. No decision depends on the order of a hash map.
//!
//! | file | holds |
//! |---|---|
//! | `core.rs` | [`State`] itself |
//! | `avoidance.rs` | workers on which executors fail, and who is kept away from them |
//! | `cluster.rs` | cluster time, counters, configuration |
//! | `app.rs`, `session.rs`, `executor.rs`, `node.rs`, `client.rs` | one kind of thing each: its row and its derived fields |
//! | `cache.rs`, `object.rs` | a node of the object cache, a cached object |
//! | `directory.rs` | all of them, and who has what |
//! | `closed.rs` | closed sessions in the orders in which they leave |
//! | `requests.rs` | answers to changes that carried a request id |
//! | `pending.rs` | the pending tasks of a session: ranges and single tasks |
//! | `assignment.rs` | a task given to an executor, and the story of its attempts |
//! | `index.rs` | keeps derived fields true after a change |
//! | `line.rs` | who waits for an executor of another session, and who has one to spare |
//! | `load.rs` | rows into memory and back |
//! | `timers.rs` | deadlines in cluster time |

mod app;
mod assignment;
mod avoidance;
mod cache;
mod client;
mod closed;
mod cluster;
mod core;
mod directory;
mod executor;
mod index;
mod line;
mod load;
mod node;
mod object;
mod pending;
mod requests;
mod session;
mod timers;

pub use app::{App, AppRow};
pub use assignment::{AssignmentRow, Story};
pub use avoidance::{Asker, Avoidance, Circle, Trust};
pub use cache::{Cache, CacheRow};
pub use client::{Client, ClientRow, KeptReply, RepliesRow};
pub use closed::{ClosedGroup, ClosedIndex, ClosedOfApp};
pub use cluster::ClusterRow;
pub use core::State;
pub use directory::{Directory, UsedByApp};
pub use executor::{Executor, ExecutorRow, Place};
pub use line::{News, Rival, Spare, Turn};
pub use load::LoadError;
pub use node::{Node, NodeRow};
pub use object::{DoomedRow, ObjectRow};
pub use pending::{Drained, PENDING_ENTRIES_MAX, Pending, PendingTask};
pub use requests::{RequestRow, Requests};
pub use session::{ClosedRow, Session, SessionEvent, SessionRow, SessionSpecRow, Terms};
pub use timers::{Timer, Timers};
