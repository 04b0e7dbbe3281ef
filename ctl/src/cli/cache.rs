//! `flmctl cache`: the nodes of the object cache.

use clap::{Args, Subcommand};

use super::{Context, OutputArgs, watch};
use crate::exit::Failure;
use crate::render::{CacheNodes, Format};

/// Verbs of `flmctl cache`.
#[derive(Clone, Debug, Args)]
pub struct CacheArgs {
    /// What to do
    #[command(subcommand)]
    pub command: CacheCommand,
}

/// What can be asked of the object cache.
#[derive(Clone, Debug, Subcommand)]
pub enum CacheCommand {
    /// Show all cache nodes and how much they hold
    List {
        /// Go on and print what changes
        #[arg(short, long)]
        watch: bool,
        /// How to print
        #[command(flatten)]
        output: OutputArgs,
    },
}

impl CacheArgs {
    /// How its errors are printed.
    pub(super) fn format(&self) -> Format {
        let CacheCommand::List { output, .. } = &self.command;
        output.format
    }
}

pub(super) async fn run(context: &Context, args: &CacheArgs) -> Result<(), Failure> {
    match &args.command {
        CacheCommand::List { watch: true, output } => watch::run(context, output.format, || list(context)).await,
        CacheCommand::List { watch: false, output } => context.show(&list(context).await?, output.format).map(|_| ()),
    }
}

async fn list(context: &Context) -> Result<CacheNodes, Failure> {
    Ok(CacheNodes::new(context.connection.list_cache_nodes().await?))
}
