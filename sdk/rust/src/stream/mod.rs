//! Many tasks of one session over one stream.
//!
//! Tasks are handed over one by one and travel in frames of many: whatever has gathered while a few frames are under way
//! becomes the next one. So a single task leaves at once, and under load frames grow by themselves, without a timer.
//! Results come back in frames of many, in the order in which the cluster recorded them.
//!
//! A stream outlives the node it began on: it goes on at the next coordinator under the same client id, sends what was
//! not answered again under the same numbers, and names the position up to which it has results.
//!
//! **Invariant:** a numbered frame keeps its number and its content until it is answered, and the coordinators take a
//! number once. When the client id has expired, frames without an answer end as [`FlameError::UnknownOutcome`]: they are
//! never sent again under another id.
//! **Invariant:** every submitted task gets exactly one end: a result, or the error that ended its wait.
//! **Invariant:** following results begins only when every frame sent again is answered, and no new one is sent before.
//! A result that was recorded before its task is known on both sides would be left out and never come again.
//! **Invariant:** everything that waits is bounded: inputs by [`ROOM_BYTES_MAX`], tasks without an end by
//! [`UNFINISHED_TASKS_MAX`], results that nobody has read by [`UNREAD_BYTES_MAX`].
//! **Invariant:** when no coordinator has served the stream for the patience of [`crate::Options`] (for its deadline, if
//! none ever has), all waits end with an error.
//!
//! Published coordinators do not have this stream: [`crate::Connection::open_stream`] answers
//! [`FlameError::Unimplemented`] there; use [`crate::Connection::create_task`] and [`crate::Connection::watch_tasks`].
//!
//! | file | holds |
//! |---|---|
//! | `session.rs` | the handle of a program: submit, cancel, close |
//! | `task.rs` | one submitted task, from acceptance to its end |
//! | `group.rs` | many tasks submitted together, and their ends as they come |
//! | `queue.rs` | what waits for the driver, and room for it |
//! | `frame.rs` | what waits as numbered frames |
//! | `unfinished.rs` | accepted tasks that have not ended |
//! | `driver.rs` | one background task for each stream: which coordinator, when to give up |
//! | `serve.rs` | the driver on one open link: frames up, answers and results down |
//! | `link.rs` | the stream to one coordinator, and how it ends |
//! | `recover.rs` | asking for each task when positions mean nothing any more |
//!
//! [`FlameError::UnknownOutcome`]: crate::FlameError::UnknownOutcome
//! [`FlameError::Unimplemented`]: crate::FlameError::Unimplemented

mod driver;
mod frame;
mod group;
mod link;
mod queue;
mod recover;
mod serve;
mod session;
mod task;
mod unfinished;

pub use group::{SubmittedTasks, UNREAD_BYTES_MAX};
pub use queue::{ROOM_BYTES_MAX, UNFINISHED_TASKS_MAX};
pub use session::SessionStream;
pub use task::{SubmittedTask, TaskEnd};
