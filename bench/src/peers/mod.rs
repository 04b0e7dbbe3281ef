//! Other systems, measured beside ours in the same call: `--vs ray,etcd`.
//!
//! For each run of a workload that has a counterpart, every peer runs too, with a fresh installation of its own servers:
//! ours, peer, ours, peer. So both have the same machine with the same neighbours, and what is compared is a run with the
//! run beside it. Peers are counted as we are: processor time and memory of all their processes, clients and children
//! included, and every output is checked.
//!
//! **Invariant:** a peer that cannot be installed or started is in the report as skipped, with the reason.
//! **Invariant:** nothing of a peer is left running, and everything it starts listens on the loopback interface only.
//!
//! | module | holds |
//! |---|---|
//! | [`peer`] | who the peers are, and what each can be asked to do |
//! | [`install`] | where they are installed, and installing them |
//! | [`contest`] | a workload of ours with its peers, run by run |
//! | [`script`] | a peer that is a Python program (`bench/peers/*.py`) |
//! | [`etcd`], [`etcd_client`] | three members of etcd, and clients that put |
//! | [`family`] | the processes of a peer: found, counted, ended |
//! | [`ratios`] | how many times better ours is, and the tables of the report |

pub mod contest;
mod etcd;
mod etcd_client;
mod family;
pub mod install;
pub mod peer;
pub mod ratios;
mod script;
