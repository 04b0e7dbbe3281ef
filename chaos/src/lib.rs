//! Makes clusters of real processes, loads them, breaks them, and holds what happened against the promise.
//!
//! A [`run::Run`] is a cluster, a session on it, and clients that submit tasks and watch them end. Scenarios drive it:
//! the demo, and the crash tests in `tests/it`. What happened is judged by the `flame-jepsen` crate, which knows nothing
//! of all this.
//!
//! **Invariant:** faults stay inside what the run itself made: its processes, its loop devices, its mounts. Every mount
//! and loop device is written to a journal before it is made, and taken down by that journal.
//! **Invariant:** a submit whose answer was lost is neither counted as done nor sent again blindly: the cluster is asked.
//! **Invariant:** a fault that cannot be installed here is reported as skipped, never as survived.
//!
//! | module | holds |
//! |---|---|
//! | [`demo`] | `make demo`: ten thousand tasks through the death of a leader |
//! | [`scenarios`] | one cause of trouble each, and a verdict |
//! | [`run`] | cluster, session, load, evidence |
//! | [`service`] | the service that writes down what it runs |
//! | [`nested`] | the service that is a client itself |
//! | [`disks`] | disks whose power can be cut |
//! | [`net`] | hosts that can be cut off |
//! | [`tracer`] | syncs that fail |
//! | [`probe`] | what this machine can do |

pub mod demo;
pub mod disks;
pub mod nested;
pub mod net;
pub mod probe;
pub mod run;
pub mod scenarios;
pub mod service;
pub mod tracer;
