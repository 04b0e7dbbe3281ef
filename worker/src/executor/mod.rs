//! Executors: each is one service process that serves one session at a time, one task after the other. A service that
//! speaks our stream has the next ones at hand already.
//!
//! The agent holds an [`Executor`] handle per executor; a task of the runtime lives the life of the process and reports
//! what happens. Both look at the same [`queue`], so that giving a task back is one lock and no round trip.
//!
//! **Invariant:** a task whose service call has begun is never given back, and a task that was given back is never
//! begun: both are decided under the lock of the queue. A task in the hands of a service counts as begun until the
//! service itself says that it never will.
//!
//! **Invariant:** every executor ends with exactly one [`Report::Ended`], after its process group is gone, and every
//! wait on a service has a limit.
//!
//! | module | holds |
//! |---|---|
//! | [`queue`] | what an executor is to do next |
//! | [`life`] | start, enter, serve, leave, stop |
//! | [`stream`] | serving over our stream, several tasks at hand |
//! | [`unary`] | serving by the published calls, one at a time |
//! | [`pace`] | how many tasks a service gets |
//! | [`watch`] | what takes too long |
//! | [`outcome`] | what is told of a task that has ended |
//! | [`report`] | what the agent hears |

mod handle;
mod life;
mod outcome;
mod pace;
mod queue;
mod report;
mod stream;
mod unary;
mod watch;

pub(crate) use handle::{Executor, Parts};
pub(crate) use queue::Revoked;
pub(crate) use report::{End, Report};

/// Published return code of a bind failure: the application could not be installed.
pub(crate) const BIND_INSTALLATION: i32 = 10;

/// Published return code of a bind failure: the service could not be started.
pub(crate) const BIND_SHIM: i32 = 11;

/// Published return code of a bind failure: the service did not enter the session.
pub(crate) const BIND_ENTER: i32 = 12;
