//! A run: a cluster, a session on it, clients that submit tasks and watch them end, and the evidence of what happened.
//!
//! | module | holds |
//! |---|---|
//! | [`setup`] | starting it, and its end |
//! | [`workload`] | which tasks |
//! | [`load`] | submitting them, and resolving submits whose answer was lost |
//! | [`ledger`] | what the clients were told |
//! | [`gap`] | the longest silence |
//! | [`evidence`] | what nodes and services say, for the checker |

pub mod evidence;
pub mod gap;
pub mod ledger;
pub mod load;
pub mod setup;
pub mod workload;

pub use ledger::{Ledger, Tally};
pub use setup::{Run, RunOptions};
pub use workload::Workload;
