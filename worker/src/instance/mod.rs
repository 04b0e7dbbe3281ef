//! Calls on a service over its unix socket.
//!
//! A service is called in one of two ways. One that speaks our stream takes several tasks at a time. Every other one is
//! called by the published protocol, in either of its generations: one call per task.
//!
//! A service has the choice of two sockets. On one the stream comes as bare frames. On the other, the published one, it
//! comes over gRPC, or the published calls do: which of these two shows when the stream is opened. All this stays so
//! for the life of the process.
//!
//! **Invariant:** a call fails in one of two ways that mean different things. The service *answered* that it will not
//! do it: that is a result. Or the connection *broke*: nobody knows what happened, and the service is given up.
//!
//! | module | holds |
//! |---|---|
//! | [`service`] | the connection, and which way it is |
//! | [`stream`] | our stream |
//! | [`transport`] | what carries it: gRPC or frames |
//! | [`frames`] | frames on a socket of their own |
//! | [`unary`] | the published calls |
//! | [`reply`] | answers and failures that both have |

mod frames;
mod reply;
mod service;
mod stream;
mod transport;
mod unary;

pub(crate) use reply::CallError;
pub(crate) use service::{ConnectError, Service, Sockets};
pub(crate) use stream::Stream;
pub(crate) use unary::Calls;
