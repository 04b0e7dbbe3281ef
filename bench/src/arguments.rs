//! What can be typed after `cargo xtask bench`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::peers::peer::Product;
use crate::simulated::CrowdArguments;
use crate::workloads::{self, Workload};

/// Enough for a median that one bad run does not move.
const RUNS: usize = 5;

/// Measure clusters of real processes on this machine.
#[derive(Debug, Parser)]
#[command(name = "flame-bench", version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub plan: Plan,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run tasks for a worker; started by workers only
    #[command(hide = true)]
    Service,
    /// Attach workers that only speak; started by workloads only
    #[command(hide = true)]
    SimulatedWorkers(CrowdArguments),
    /// Draw the charts of a report that was kept
    Chart {
        /// The report, as `--json` prints it
        report: PathBuf,
        /// Where the charts go
        folder: PathBuf,
    },
}

/// Which workloads, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Plan {
    /// Workloads, in the order in which they are to run; without any, their names are listed
    #[arg(value_name = "NAME", value_parser = known)]
    pub names: Vec<String>,
    /// Run all workloads
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
    /// Print one JSON object instead of the table
    #[arg(long)]
    pub json: bool,
    /// Runs of each workload; the report has medians
    #[arg(long, value_name = "NUMBER", default_value_t = RUNS, value_parser = positive)]
    pub runs: usize,
    /// Tasks of each run, instead of the workload's own number
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub tasks: Option<u64>,
    /// How long workloads of a given time last, instead of their own time
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: Option<u64>,
    /// Make a profile of the first run of each workload, with perf
    #[arg(long)]
    pub profile: bool,
    /// Decide what is otherwise left to chance, like the node of the client
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Other systems to run beside ours, in turn; installed first where they are missing
    #[arg(long, value_name = "PEER,…", value_delimiter = ',')]
    pub vs: Vec<Product>,
    /// Skip peers that are not installed
    #[arg(long, requires = "vs")]
    pub no_install: bool,
    /// Folder for the report and profiles; below the folder of the programs when not given
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

impl Plan {
    /// The workloads that are meant; those of one name together.
    pub fn workloads(&self) -> Vec<&'static Workload> {
        if self.all {
            return workloads::ALL.iter().collect();
        }
        self.names.iter().flat_map(|name| workloads::ALL.iter().filter(move |known| known.name == *name)).collect()
    }
}

/// The names of all workloads, each once.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = workloads::ALL.iter().map(|workload| workload.name).collect();
    names.dedup();
    names
}

fn known(text: &str) -> Result<String, String> {
    if names().contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("there is no such workload; there are: {}", names().join(", ")))
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "it must be a number from 1".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn workloads_are_found_by_name_in_the_order_given() {
        let plan = Arguments::parse_from(["flame-bench", "latency", "throughput", "--runs", "2"]).plan;
        let names: Vec<_> = plan.workloads().iter().map(|workload| workload.name).collect();
        assert_eq!((names, plan.runs), (vec!["latency", "throughput"], 2));
        assert!(Arguments::try_parse_from(["flame-bench", "speed"]).is_err());
        assert!(Arguments::try_parse_from(["flame-bench", "--runs", "0"]).is_err());
        Arguments::command().debug_assert();
    }

    #[test]
    fn peers_are_named_with_commas_between() {
        let plan = Arguments::parse_from(["flame-bench", "throughput", "--vs", "ray,etcd"]).plan;
        assert_eq!((plan.vs, plan.no_install), (vec![Product::Ray, Product::Etcd], false));
        assert!(Arguments::try_parse_from(["flame-bench", "throughput", "--vs", "spark"]).is_err());
    }

    #[test]
    fn all_means_every_workload() {
        let plan = Arguments::parse_from(["flame-bench", "--all"]).plan;
        assert_eq!(plan.workloads().len(), workloads::ALL.len());
    }
}
