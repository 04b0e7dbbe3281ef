//! Calls on a service over its unix socket.
//!
//! A service is called in one of two ways. One that speaks our stream takes several tasks at a time. Every other one is
//! called by the published protocol, in either of its generations: one call per task. Which it is shows when the stream
//! is opened, and stays so for the life of the process.
//!
//! **Invariant:** a call fails in one of two ways that mean different things. The service *answered* that it will not
//! do it: that is a result. Or the connection *broke*: nobody knows what happened, and the service is given up.
//!
//! | module | holds |
//! |---|---|
//! | [`service`] | the connection, and which way it is |
//! | [`stream`] | our stream |
//! | [`unary`] | the published calls |
//! | [`reply`] | answers and failures that both have |

mod reply;
mod service;
mod stream;
mod unary;

pub(crate) use reply::CallError;
pub(crate) use service::Service;
pub(crate) use stream::Stream;
pub(crate) use unary::Calls;
