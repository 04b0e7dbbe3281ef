//! A cluster of real processes on the loopback interface, for tests and for the demo.
//!
//! Nothing is faked: the binaries are the ones users start, with configuration files like theirs. Faults are real too:
//! [`Cluster::kill_coordinator`] is SIGKILL.
//!
//! **Invariant:** nothing is left behind. Every process carries the id of its run in its environment; dropping the
//! [`Cluster`] kills whatever still does, and the kernel kills the daemons if the test process dies first.
//! **Invariant:** a process is signalled by the pid this crate recorded when it started it, never by name.
//! **Invariant:** no fixed ports and no sleeps as synchronisation: ports are leased, conditions are polled with a deadline.
//!
//! | module | holds |
//! |---|---|
//! | [`cluster`] | the cluster: start, stop, kill, leader, workers; coordinators that come and go, and their disks |
//! | [`cache`] | one object cache |
//! | [`options`] | what kind of cluster |
//! | [`wait`] | `wait_until`: the only way to wait |
//! | [`certificates`] | throw-away certificates |
//! | `binaries` | where the daemons' binaries are |
//! | `config_file` | the YAML that each daemon gets |
//! | `daemon` | one coordinator, worker or cache: its process, its events, its log |
//! | [`leftovers`] | what a killed run left |
//! | `nursery` | the thread that starts processes, so that they die with this process and not earlier |
//! | `ports` | leased port numbers |
//! | `run` | the id of a run, and finding what still belongs to it |
//!
//! Start with [`Cluster::start`].

mod binaries;
pub mod cache;
pub mod certificates;
pub mod cluster;
mod config_file;
mod daemon;
pub mod leftovers;
mod nursery;
pub mod options;
mod ports;
mod run;
pub mod wait;

pub use binaries::{Binaries, Build};
pub use cache::Cache;
pub use certificates::Certificates;
pub use cluster::{Cluster, Leader};
pub use options::{ClusterOptions, Host, Profile};
pub use ports::PortLease;
pub use run::RunId;
pub use wait::wait_until;
