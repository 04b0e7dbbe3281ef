//! `flmctl cache`: the nodes of the object cache.

use clap::{Args, Subcommand};

use super::{Context, OutputArgs, says, watch};
use crate::exit::{Exit, Failure};
use crate::output::print;
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
    /// Remove a cache node that will not come back: what only it had is lost for good
    Remove {
        /// Which node
        #[arg(value_name = "NAME")]
        name: String,
    },
}

impl CacheArgs {
    /// How its errors are printed.
    pub(super) fn format(&self) -> Format {
        match &self.command {
            CacheCommand::List { output, .. } => output.format,
            CacheCommand::Remove { .. } => Format::Table,
        }
    }
}

pub(super) async fn run(context: &Context, args: &CacheArgs) -> Result<(), Failure> {
    match &args.command {
        CacheCommand::List { watch: true, output } => watch::run(context, output.format, || list(context)).await,
        CacheCommand::List { watch: false, output } => context.show(&list(context).await?, output.format).map(|_| ()),
        CacheCommand::Remove { name } => {
            let removed = context.connection.remove_cache_node(name).await.map_err(Failure::from);
            removed.map_err(|failure| match failure.exit {
                Exit::NotFound => failure.or_hint("flmctl cache list shows all cache nodes"),
                _ => failure,
            })?;
            print(&says::cache_removed(name)).map(|_| ())
        }
    }
}

async fn list(context: &Context) -> Result<CacheNodes, Failure> {
    Ok(CacheNodes::new(context.connection.list_cache_nodes().await?))
}
