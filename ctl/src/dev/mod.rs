//! `flmctl dev`: a whole cluster on this machine, one process for each daemon.
//!
//! One supervisor (`flmctl dev` itself, or a copy of it in the background) starts every daemon and is the only one that
//! ends them. `flmctl dev kill`, `start`, `stop` and `status` talk to it over a socket in the data folder.
//!
//! **Invariant:** a process is only signalled by the parent that has not reaped it yet: never by a stale number.
//! **Invariant:** no daemon outlives its supervisor, however that ends (see [`child`]).
//! **Invariant:** a data folder that nobody has named is removed at the end (unless the cluster failed to
//! come up: then its logs stay for a look); one that was named stays.

mod args;
pub mod child;
mod control;
mod daemon;
mod launch;
mod plan;
mod programs;
mod status;
mod supervisor;

pub use args::{DevArgs, DevCommand};
pub use launch::run;
pub use plan::{CachePlan, CoordinatorPlan, Plan, WorkerPlan};
pub(crate) use programs::beside;
pub use status::{DaemonState, DevStatus};
