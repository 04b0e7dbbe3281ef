//! Consensus over real loopback connections and real disks: three nodes in one process.

mod election;
pub mod harness;
mod heartbeats;
mod levels;
mod meeting;
mod membership;
mod offline;
mod old_copies;
mod replication;
mod retention;
mod snapshot;
mod strangers;
mod transfers;
