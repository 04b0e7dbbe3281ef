//! A run: a cluster, a session on it, clients that submit tasks and watch them end, and the evidence of what happened.
//!
//! | module | holds |
//! |---|---|
//! | [`setup`] | starting it, and its end |
//! | [`workload`] | which tasks |
//! | [`traffic`] | submitting them for as long as it takes |
//! | [`load`] | submitting them, and resolving submits whose answer was lost |
//! | [`ledger`] | what the clients were told |
//! | [`members`] | coordinators that come and go |
//! | [`gap`] | the longest silence |
//! | [`progress`] | waiting for it to come so far |
//! | [`probe`] | whether anybody acknowledges anything |
//! | [`operator`] | what an operator types meanwhile, and what clients had been promised by then |
//! | [`evidence`] | what nodes and services say, for the checker |

pub mod evidence;
pub mod gap;
pub mod ledger;
pub mod load;
pub mod members;
pub mod operator;
pub mod probe;
pub mod progress;
pub mod setup;
pub mod traffic;
pub mod workload;

pub use ledger::{Ledger, Tally};
pub use setup::{Run, RunOptions};
pub use traffic::Traffic;
pub use workload::{Item, Workload};
