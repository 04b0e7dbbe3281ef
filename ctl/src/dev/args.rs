//! What can be typed after `flmctl dev`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::cli::OutputArgs;
use crate::render::Format;

/// Most coordinators: an odd number up to this.
const COORDINATORS_MAX: u64 = 5;

/// Most workers on one machine.
const WORKERS_MAX: u64 = 64;

/// Flags of `flmctl dev`. Without a verb it starts a cluster and runs it until Ctrl-C.
#[derive(Clone, Debug, Args)]
pub struct DevArgs {
    /// What to do with the cluster that runs
    #[command(subcommand)]
    pub command: Option<DevCommand>,
    /// How many coordinators: 1, 3 or 5
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = parse_nodes)]
    pub nodes: u64,
    /// How many workers
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=WORKERS_MAX))]
    pub workers: u64,
    /// What each worker offers, like cpu=4,mem=8g; what the machine has when not given
    #[arg(long, value_name = "RESOURCES")]
    pub resources: Option<flame_types::Resources>,
    /// How fast the loss of a leader is noticed
    #[arg(long, value_enum, default_value_t)]
    pub profile: Profile,
    /// Where data and logs go; a temporary folder that is removed at the end when not given
    #[arg(long, value_name = "DIR", global = true)]
    pub data: Option<PathBuf>,
    /// Run in the background; end it with `flmctl dev stop`
    #[arg(long)]
    pub detach: bool,
    /// The background copy itself
    #[arg(long, hide = true)]
    pub background: bool,
}

/// Verbs of `flmctl dev`.
#[derive(Clone, Debug, Subcommand)]
pub enum DevCommand {
    /// Kill a daemon, as a crash would: a coordinator by number, a worker by name, the cache, or the leader
    Kill {
        /// 1, 2, 3 …, w1, w2 …, cache, or leader
        who: String,
    },
    /// Start a daemon that is down
    Start {
        /// 1, 2, 3 …, w1, w2 …, or cache
        who: String,
    },
    /// End the cluster
    Stop,
    /// Show the daemons
    Status {
        /// How to print
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Print the lines that tell a shell where the cluster is: eval "$(flmctl dev env)"
    Env,
    /// A daemon on its way into life
    #[command(hide = true)]
    Child(super::child::ChildArgs),
}

/// The published pairs of heartbeat and election time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Safe on busy machines
    #[default]
    Default,
    /// About twice as fast
    Fast,
}

impl DevArgs {
    /// How its errors are printed.
    pub(crate) fn format(&self) -> Format {
        match &self.command {
            Some(DevCommand::Status { output }) => output.format,
            _ => Format::Table,
        }
    }
}

fn parse_nodes(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(nodes) if nodes <= COORDINATORS_MAX && nodes % 2 == 1 => Ok(nodes),
        _ => Err(format!("a cluster has 1, 3 or {COORDINATORS_MAX} coordinators")),
    }
}
