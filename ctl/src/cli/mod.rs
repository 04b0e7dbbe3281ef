//! The grammar of `flmctl`, and one file for each verb.
//!
//! **Invariant:** published verbs and flags keep their meaning; what is ours is added beside them.

mod args;
mod backup;
mod cache;
mod cache_endpoint;
mod cancel;
mod close;
mod cluster;
mod completion;
mod context;
mod create;
mod delete;
mod deploy;
mod events;
mod explain_error;
mod list;
mod logs;
mod membership;
mod node;
mod object;
mod proxy;
mod register;
mod rescue;
mod retention;
mod retry;
mod run;
pub mod says;
mod suspend;
mod task;
mod unregister;
mod update;
mod view;
mod watch;

pub use args::{Cli, Command, GlobalArgs, OutputArgs, TlsArgs};
pub use context::Context;
pub(crate) use run::told_by_clap;
pub use run::{command, main};
