//! A coordinator: one of the three or five replicas of Flame's control plane.
//!
//! | module | is |
//! |---|---|
//! | [`consensus`] | Raft: the log, what it is applied to, snapshots, peers |
//! | [`drive`] | what turns calls and time into commands, and effects into messages |
//! | [`api`] | the gRPC services clients see: both published dialects and our own |
//! | [`listener`] | how much each listener takes from its connections |
//! | [`memory`] | how much memory the process takes, and who takes how much of it |
//! | [`http`] | metrics and health for those who watch a node |
//! | [`metrics`] | names and handles of what is measured |
//! | `open_files` | room for connections among the files of the process |
//! | [`node`] | puts these together: one process, its listeners |
//! | [`process`] | the program: command line, log, exit code |
//! | [`rescue`] | what is done while none runs: restoring a backup, recovering a survivor |
//!
//! **Invariant:** only `consensus` (and the storage crate) knows the Raft library.
//! **Invariant:** only `drive` turns time into commands; `api` translates, proposes and reads, and decides nothing.
//! **Invariant:** a call is acknowledged only after its command was applied here, hence after it was durable on a
//! majority.
//!
//! Start at [`node`], then [`drive`].

pub mod api;
pub mod builtins;
pub mod cli;
pub mod consensus;
pub mod drive;
pub mod exit;
pub mod http;
pub mod listener;
pub mod memory;
pub mod metrics;
pub mod node;
mod open_files;
pub mod process;
pub mod rescue;

pub use process::VERSION;
