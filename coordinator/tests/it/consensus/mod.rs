//! Consensus over real loopback connections and real disks: three nodes in one process.

mod election;
mod harness;
mod meeting;
mod replication;
mod snapshot;
mod strangers;
