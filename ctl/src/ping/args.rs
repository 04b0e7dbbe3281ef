//! What can be typed after `flmping`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use flame_types::Resources;
use flame_types::resources::parse_memory;

use crate::cli::TlsArgs;
use crate::time::parse_span;

/// Run tasks that do next to nothing, to see that a cluster works and how fast it is.
#[derive(Clone, Debug, Parser)]
#[command(name = "flmping", version, about, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 all tasks succeeded, 1 a task failed, 2 usage, 3 not found, 4 timed out waiting, \
    5 no leader or cluster unreachable, 6 conflict, 7 not allowed, 130 interrupted."
)]
pub struct PingArgs {
    /// How many tasks
    #[arg(short, long, value_name = "NUMBER", default_value_t = 10)]
    pub task_num: u64,
    /// Text that every executor gets when it enters the session
    #[arg(short, long, value_name = "TEXT")]
    pub common_data: Option<String>,
    /// How long each task sleeps, in milliseconds
    #[arg(short, long, value_name = "MILLISECONDS")]
    pub duration: Option<u64>,
    /// How much memory each task takes, like 512m
    #[arg(short, long, value_name = "SIZE", value_parser = parse_size)]
    pub memory: Option<u64>,
    /// Print a summary instead of a row for each task
    #[arg(short, long)]
    pub perf: bool,
    /// Higher is served first
    #[arg(short = 'P', long, value_name = "NUMBER", default_value_t = 0)]
    pub priority: u32,
    /// What one executor needs, like cpu=1,mem=2g,gpu=0; the cluster's default when not given
    #[arg(short, long, value_name = "RESOURCES")]
    pub resreq: Option<Resources>,
    /// A coordinator, like http://host:8080; repeat it to name several. Default: FLAME_ENDPOINT (several with commas),
    /// else ~/.flame/flame.yaml, else http://127.0.0.1:8080
    #[arg(long, value_name = "URL")]
    pub endpoint: Vec<String>,
    /// The file that names the cluster, instead of ~/.flame/flame.yaml
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Certificates of this side and of the coordinators
    #[command(flatten)]
    pub tls: TlsArgs,
    /// How long the whole run may take, like 30s or 2m; for ever when not given
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    pub timeout: Option<Duration>,
}

/// The grammar, for help texts.
#[must_use]
pub fn command() -> clap::Command {
    PingArgs::command()
}

fn parse_size(text: &str) -> Result<u64, String> {
    parse_memory(text).ok_or_else(|| format!("{text:?} is no size; write it like 512m or 2g"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_command_lines_are_understood() {
        let line = "flmping -t 100 -c text -d 5 -m 512m -p -P 3 -r cpu=1,mem=2g";
        let args = PingArgs::try_parse_from(line.split(' ')).unwrap();
        assert_eq!((args.task_num, args.duration, args.memory), (100, Some(5), Some(512 << 20)));
        assert!(args.perf && args.priority == 3 && args.resreq.is_some());
        assert_eq!(PingArgs::parse_from(["flmping"]).task_num, 10);
        assert!(PingArgs::try_parse_from(["flmping", "-m", "much"]).is_err());
        command().debug_assert();
    }
}
