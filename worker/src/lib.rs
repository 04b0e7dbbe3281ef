//! The worker: starts service processes on its host and runs the tasks that the leader assigns to them.
//!
//! A worker knows nothing that is needed after its death. It keeps one stream to the leader, whom it finds through any
//! coordinator; while there is none, tasks go on and results are kept.
//!
//! **Invariant:** a worker never runs a task twice under one token, never gives back a task that has begun, and never
//! lets go of a result before the leader has recorded it.
//!
//! **Invariant:** when a worker is gone, so are its services ([`shim`]).
//!
//! **Invariant:** no service is started from a package that is not what its URL has at that time ([`installer`]).
//!
//! **Invariant:** whatever waits for a service or for a coordinator waits with a limit ([`options::Limits`]); nothing is
//! tried again without a pause.
//!
//! | module | holds |
//! |---|---|
//! | [`worker`] | the parts put together; start here |
//! | [`agent`] | the stream to the leader |
//! | [`executor`] | the life of one executor |
//! | [`gate`] | whether a task may begin |
//! | [`shim`] | processes, folders, logs |
//! | [`installer`] | packages of applications |
//! | [`instance`] | calls on a service |
//! | [`attributes`] | what executors publish about themselves |
//! | [`resources`] | what the host has to give |
//! | [`options`] | what a worker can be told |
//! | [`cli`] | the command line |
//! | [`announce`] | what it says on standard output |
//! | [`metrics`] | names and handles of what is measured |
//! | [`web`] | the page that shows them |
//! | [`proxy`] | the published API for services |
//! | [`uv`] | what stands in for `uv` where there is none |

pub(crate) mod agent;
pub(crate) mod announce;
pub(crate) mod attributes;
pub mod cli;
pub(crate) mod executor;
pub(crate) mod gate;
pub(crate) mod installer;
pub(crate) mod instance;
pub mod metrics;
pub mod options;
pub(crate) mod proxy;
pub(crate) mod resources;
pub mod shim;
pub mod uv;
pub(crate) mod web;
pub mod worker;

pub use agent::Farewell;
pub use options::Options;
pub use worker::{StartError, run};
