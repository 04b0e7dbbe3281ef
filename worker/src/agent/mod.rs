//! The agent: the worker's side of the stream to the leader.
//!
//! One loop takes one closed set of events (frames from the leader, reports from executors, the fate of the connection,
//! the order to stop) and changes one piece of state, the [`roster`]. Whatever is to be said goes through the [`outbox`].
//!
//! **Invariant:** nothing is done twice. A frame about something known is answered with its state.
//!
//! **Invariant:** a result is held until the leader says that it is recorded, through any number of lost connections
//! and leaders. A lost leader stops no task, and re-attaching runs none again.
//!
//! **Invariant:** Goodbye is said only when every executor has ended, process group and all, and it is the last frame.
//!
//! **Invariant:** the agent never waits for an executor, and never for room on the stream while frames come in.
//!
//! | module | holds |
//! |---|---|
//! | [`event_loop`] | the loop |
//! | [`roster`] | executors and tokens, and what a frame or report does to them |
//! | [`held`] | results that wait to be recorded |
//! | [`outbox`] | what waits to be sent, in order |
//! | [`heartbeats`] | when a heartbeat is sent |
//! | [`finder`] | where the leader may be, and when to try |
//! | [`channels`] | connections to coordinators |
//! | [`link`] | one attach stream |
//! | [`news`] | who leads, as a coordinator tells that does not |

pub(crate) mod channels;
mod event_loop;
mod finder;
mod heartbeats;
mod held;
mod link;
mod news;
mod outbox;
mod roster;

pub use event_loop::Farewell;
pub(crate) use event_loop::{Agent, Identity};
pub(crate) use held::Held;
