//! The handle that programs hold: a session, its typed tasks, and their results.
//!
//! A [`Session`] submits over one stream, which it opens with the first task and which outlives the coordinators that it
//! runs through. Handing a task over waits only for room; what becomes of it is told by what that returns.
//!
//! | to do | call | results |
//! |---|---|---|
//! | one task, its output | [`Session::invoke`] | [`TaskHandle`]: awaiting it gives the output, or an error |
//! | one task, all about its end | [`Session::run`] | [`TaskFuture`]: awaiting it gives a [`TaskResult`], whatever the end |
//! | one task, once, however often it is submitted | [`Session::run_once`] | [`TaskFuture`] |
//! | a list of tasks, all handed over at once | [`Session::submit_many`] | [`Results`]: as they come, or in order |
//! | as many tasks as an iterator has | [`Session::map`] | [`Map`]: as they come, or in order, so many under way at a time |
//!
//! **Invariant:** nobody who does not read holds up somebody else. Results that wait for their reader wait in memory, and
//! the stream goes on. [`Session::map`] bounds how many they are: it hands over a task only when another was read.
//! **Invariant:** dropping a handle, or a list of results, ends no task. [`TaskHandle::cancel`] and [`Results::cancel`] do.
//!
//! | file | holds |
//! |---|---|
//! | `handle.rs` | the session and its stream |
//! | `open.rs` | making and finding sessions |
//! | `task.rs` | one task on its way, and its end |
//! | `batch.rs` | a list of tasks, and their results |
//! | `map.rs` | tasks of an iterator, so many at a time |
//! | `options.rs` | what may be asked of a task |

mod batch;
mod handle;
mod map;
mod open;
mod options;
mod task;

pub use batch::Results;
pub use handle::Session;
pub use map::{MAP_IN_FLIGHT, Map};
pub use options::TaskOptions;
pub use task::{TaskFuture, TaskHandle, TaskResult};
