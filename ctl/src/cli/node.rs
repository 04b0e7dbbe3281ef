//! `flmctl node`: what workers hold, and taking them out of use.

use std::time::Duration;

use clap::{Args, Subcommand};
use flame_sdk::FlameError;
use flame_sdk::model::NodeLoad;
use tokio::time::{sleep, timeout};

use super::view::look_in_list;
use super::{Context, OutputArgs, says, watch};
use crate::exit::{Exit, Failure};
use crate::output::{note, print};
use crate::render::{Format, NodeLoadView, NodeLoads};

/// Between two looks at a node that is being drained.
const INTERVAL: Duration = Duration::from_millis(300);

/// Verbs of `flmctl node`.
#[derive(Clone, Debug, Args)]
pub struct NodeArgs {
    /// What to do
    #[command(subcommand)]
    pub command: NodeCommand,
}

/// What can be done with workers.
#[derive(Clone, Debug, Subcommand)]
pub enum NodeCommand {
    /// Show all nodes: what is allocated beside what there is, and what runs there
    List {
        /// Go on and print what changes
        #[arg(short, long)]
        watch: bool,
        /// How to print
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show one node with its executors
    View {
        /// Which node
        #[arg(value_name = "NAME")]
        name: String,
        /// Go on and print what changes
        #[arg(short, long)]
        watch: bool,
        /// How to print
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Place no new executors on a node; what it has goes on
    Cordon {
        /// Which node
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Use a node again: ends cordon and drain
    Uncordon {
        /// Which node
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Empty a node: what runs may end, everything else goes elsewhere; waits until it holds nothing
    Drain {
        /// Which node
        #[arg(value_name = "NAME")]
        name: String,
        /// Return at once
        #[arg(long)]
        no_wait: bool,
    },
}

impl NodeArgs {
    /// How its errors are printed.
    pub(super) fn format(&self) -> Format {
        match &self.command {
            NodeCommand::List { output, .. } | NodeCommand::View { output, .. } => output.format,
            NodeCommand::Cordon { .. } | NodeCommand::Uncordon { .. } | NodeCommand::Drain { .. } => Format::Table,
        }
    }
}

pub(super) async fn run(context: &Context, args: &NodeArgs) -> Result<(), Failure> {
    match &args.command {
        NodeCommand::List { watch: true, output } => watch::run(context, output.format, || list(context)).await,
        NodeCommand::List { watch: false, output } => context.show(&list(context).await?, output.format).map(|_| ()),
        NodeCommand::View { name, watch: true, output } => {
            watch::run(context, output.format, || view(context, name)).await
        }
        NodeCommand::View { name, watch: false, output } => {
            context.show(&view(context, name).await?, output.format).map(|_| ())
        }
        NodeCommand::Cordon { name } => {
            context.connection.cordon_node(name, true).await.map_err(unknown)?;
            print(&says::cordoned(name)).map(|_| ())
        }
        NodeCommand::Uncordon { name } => {
            context.connection.cordon_node(name, false).await.map_err(unknown)?;
            print(&says::uncordoned(name)).map(|_| ())
        }
        NodeCommand::Drain { name, no_wait: true } => {
            context.connection.drain_node(name).await.map_err(unknown)?;
            print(&says::draining(name)).map(|_| ())
        }
        NodeCommand::Drain { name, no_wait: false } => drain(context, name).await,
    }
}

async fn list(context: &Context) -> Result<NodeLoads, Failure> {
    Ok(NodeLoads::new(context.connection.list_node_loads().await?))
}

async fn view(context: &Context, name: &str) -> Result<NodeLoadView, Failure> {
    context.connection.get_node_load(name).await.map(NodeLoadView).map_err(unknown)
}

fn unknown(error: FlameError) -> Failure {
    look_in_list(error.into(), "-n")
}

/// Orders it and waits until the node holds nothing; ends with 4 when that takes longer than the user would wait.
async fn drain(context: &Context, name: &str) -> Result<(), Failure> {
    let ordered = context.connection.drain_node(name).await.map_err(unknown)?;
    let emptied = until_empty(context, ordered);
    match context.patience {
        None => emptied.await?,
        Some(patience) => timeout(patience, emptied).await.map_err(|_elapsed| late(name, patience))??,
    }
    print(&says::drained(name)).map(|_| ())
}

fn late(name: &str, patience: Duration) -> Failure {
    let why = format!("node {name} still holds something after {} s; it goes on draining", patience.as_secs_f64());
    let hint = format!("`flmctl node view {name}` shows what; `flmctl node uncordon {name}` ends the drain");
    Failure::new(Exit::TimedOut, why).hint(hint)
}

async fn until_empty(context: &Context, ordered: NodeLoad) -> Result<(), Failure> {
    let mut told = String::new();
    let mut load = ordered;
    loop {
        if load.executors == 0 {
            return Ok(());
        }
        if !load.draining {
            let why = format!("node {} was uncordoned meanwhile: it is not drained", load.name);
            return Err(
                Failure::new(Exit::Conflict, why).hint("somebody else wants it to go on: ask before you repeat")
            );
        }
        let progress = progress(&load);
        if progress != told {
            note(&progress);
            told = progress;
        }
        sleep(INTERVAL).await;
        load = match context.connection.get_node_load(&load.name).await {
            Ok(load) => load,
            // Forgotten: an expired node holds nothing.
            Err(FlameError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
    }
}

fn progress(load: &NodeLoad) -> String {
    let away = if load.attached { "" } else { "; it is not attached" };
    let NodeLoad { name, executors, running, queued, .. } = load;
    let plural = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let executors = plural((*executors).into(), "executor");
    let running = plural(*running, "running task");
    format!("Node <{name}> still has {executors}, {running} and {queued} that have not begun{away}.\n")
}
