//! The host side of a service: a process that a worker starts and whose tasks it runs.
//!
//! A service listens on the unix socket whose path is in `FLAME_INSTANCE_ENDPOINT` and is called in one of two ways:
//! over our stream, with several tasks in flight, or by the published Instance service, one call per task, with the
//! replies of its 0.7 generation. User code is the same for both.
//!
//! **Invariant:** an error or a panic of user code becomes an answer with code -1 and its text; it never takes the
//! process or the connection down.
//! **Invariant:** the tasks of one stream run one after the other, in the order in which they came.
//! **Invariant:** the socket is served on a thread of its own, so that user code that blocks the caller's runtime holds
//! up no result that is there, no cancellation and no withdrawal.
//! **Invariant:** on SIGTERM what runs is answered before the process ends; what has not begun is answered as skipped.
//!
//! | module | holds |
//! |---|---|
//! | [`api`] | what a service is, and what it is told |
//! | [`instance`] | what the macros make of user code: typed services with a session at hand |
//! | [`cancellation`] | how a running task hears that nobody wants it any more |
//! | [`publisher`] | what an executor says about itself |
//! | [`listen`] | the socket and its thread; start here |
//! | [`unary`] | the published calls |
//! | [`stream`] | our stream: frames in, frames out |
//! | [`desk`] | what a stream is to do next, and what it has to say |
//! | [`runner`] | runs what lies on the desk |
//! | [`shield`] | keeps what goes wrong in user code inside |

mod api;
mod cancellation;
mod desk;
mod instance;
mod listen;
mod publisher;
mod runner;
mod shield;
mod stream;
mod unary;

pub use api::{ApplicationContext, Fence, FlameService, SessionContext, TaskContext};
pub use cancellation::Cancellation;
pub use instance::{Entrypoint, FlameInstance, InstanceService, IntoFlameInstance};
pub use listen::{INSTANCE_VARIABLE, run, serve};
pub use publisher::Publisher;
