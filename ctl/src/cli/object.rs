//! `flmctl object`: cached objects.

use clap::{Args, Subcommand};
use flame_types::ObjectTarget;
use futures::TryStreamExt;

use super::{Context, OutputArgs, watch};
use crate::exit::Failure;
use crate::render::{Format, Objects};

/// Verbs of `flmctl object`.
#[derive(Clone, Debug, Args)]
pub struct ObjectArgs {
    /// What to do
    #[command(subcommand)]
    pub command: ObjectCommand,
}

/// What can be done with cached objects.
#[derive(Clone, Debug, Subcommand)]
pub enum ObjectCommand {
    /// Show objects with their versions and where they lie
    List {
        /// Only these: APPLICATION/SESSION/OBJECT, APPLICATION/SESSION or APPLICATION/*; all when not given
        #[arg(value_name = "TARGET", value_parser = parse_target)]
        target: Option<ObjectTarget>,
        /// Go on and print what changes
        #[arg(short, long)]
        watch: bool,
        /// How to print
        #[command(flatten)]
        output: OutputArgs,
    },
}

impl ObjectArgs {
    /// How its errors are printed.
    pub(super) fn format(&self) -> Format {
        let ObjectCommand::List { output, .. } = &self.command;
        output.format
    }
}

pub(super) async fn run(context: &Context, args: &ObjectArgs) -> Result<(), Failure> {
    match &args.command {
        ObjectCommand::List { target, watch: true, output } => {
            watch::run(context, output.format, || list(context, target.as_ref())).await
        }
        ObjectCommand::List { target, watch: false, output } => {
            context.show(&list(context, target.as_ref()).await?, output.format).map(|_| ())
        }
    }
}

async fn list(context: &Context, target: Option<&ObjectTarget>) -> Result<Objects, Failure> {
    Ok(Objects::new(context.connection.list_objects(target).try_collect().await?))
}

fn parse_target(text: &str) -> Result<ObjectTarget, String> {
    ObjectTarget::parse(text).map_err(|error| error.to_string())
}
