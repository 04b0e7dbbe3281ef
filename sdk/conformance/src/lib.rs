//! Runs the published clients, unmodified, against a cluster of ours: PyPI `flamepy==0.6.0`, crate `flame-rs =0.7.0`.
//!
//! The checks themselves are written in the language of each client, in `python/` and `rust/` beside this crate; this
//! crate starts a three-node cluster with a worker, points the client at one **follower**, and kills the leader where a
//! scene wants it. `docs/reference/conformance.md` says which check stands for which sentence of the contract.
//!
//! **Invariant:** the clients get one endpoint, that of a follower, and no help: no retry, no second address.
//! **Invariant:** a client that is not installed is a failure with a sentence saying how to install it, never a skip.
//!
//! | module | holds |
//! |---|---|
//! | [`clients`] | where the published clients are, and how to run them |
//! | [`ours`] | our own Python package in the place of the published one |
//! | [`scene`] | the cluster and its follower; a client's process and what it prints |
//! | [`with_cache`] | a cluster with an object cache, for Runner |

pub mod clients;
pub mod ours;
pub mod scene;
pub mod with_cache;
