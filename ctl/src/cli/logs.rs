//! `flmctl logs`: what was written on workers.

use clap::{Args, Subcommand};

use super::{Context, OutputArgs};
use crate::exit::{Exit, Failure};
use crate::render::{Format, InstallLogs};

/// Verbs of `flmctl logs`.
#[derive(Clone, Debug, Args)]
pub struct LogsArgs {
    /// Whose logs
    #[command(subcommand)]
    pub command: LogsCommand,
}

/// Whose logs there are.
#[derive(Clone, Debug, Subcommand)]
pub enum LogsCommand {
    /// Show what the last install of an application's package wrote, on each worker that tried
    Install {
        /// Which application
        #[arg(value_name = "APPLICATION")]
        application: String,
        /// Only on this worker
        #[arg(long, value_name = "NAME")]
        node: Option<String>,
        /// How to print
        #[command(flatten)]
        output: OutputArgs,
    },
}

impl LogsArgs {
    /// How its errors are printed.
    pub(super) fn format(&self) -> Format {
        let LogsCommand::Install { output, .. } = &self.command;
        output.format
    }
}

pub(super) async fn run(context: &Context, args: &LogsArgs) -> Result<(), Failure> {
    let LogsCommand::Install { application, node, output } = &args.command;
    let logs = context.connection.read_install_logs(application, node.as_deref()).await?;
    if logs.is_empty() {
        let failure = Failure::new(Exit::NotFound, format!("no worker has installed a package of {application:?}"));
        return Err(failure.hint("a package is installed when the first task of a session runs"));
    }
    context.show(&InstallLogs { logs }, output.format).map(|_| ())
}
