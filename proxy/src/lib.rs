//! The published API, served on loopback over our Rust SDK.
//!
//! A published client knows one endpoint, never tries again, and hangs or fails when a stream ends. It can live through the
//! loss of any coordinator but the one that it is on. With this in between, on its own machine, it is on none: the SDK
//! goes on to the next coordinator, sends again what may be sent again, and opens watches anew.
//!
//! **Invariant:** what a coordinator answers is passed on as it is. This side decides nothing about sessions and tasks, and
//! reads no more of a message than it must to resume a stream.
//!
//! **Invariant:** a watch never ends well before every task it was asked for has ended, whichever coordinators come and go;
//! and what a client was told of a task is not told again, nor taken back by a coordinator that knows less.
//!
//! **Invariant:** every call ends within the time of its caller, or of the SDK; a stream that nobody serves any more within
//! the patience of the SDK.
//!
//! **Invariant:** streams are pulled by whoever reads them: nothing is gathered here for a client that stands still.
//!
//! | module | holds |
//! |---|---|
//! | [`server`] | listening, serving, stopping; start here |
//! | [`own_thread`] | the same on a thread of its own, inside another daemon |
//! | [`method`] | every method that is served, and how |
//! | `service` | from a request to the way it takes |
//! | `metadata` | what of a request is passed on beside its message |
//! | `stream` | a stream that one request opens, at one coordinator after the other |
//! | `told` | what a client was told of a task |
//! | `list`, `watch`, `watch_many` | listings and the two published watches |
//! | `pipe` | streams of ours, whose clients resume them by themselves |

mod list;
mod metadata;
pub mod method;
pub mod own_thread;
mod pipe;
pub mod server;
mod service;
mod stream;
mod told;
mod watch;
mod watch_many;

pub use flame_sdk::TlsFiles;
pub use own_thread::OwnThread;
pub use server::Proxy;
