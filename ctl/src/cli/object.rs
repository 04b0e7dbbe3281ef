//! `flmctl object`: cached objects.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use flame_sdk::FlameError;
use flame_sdk::objects::{Destination, IfExists, ObjectCache, ObjectRef};
use flame_types::{ObjectKey, ObjectTarget};
use futures::TryStreamExt;

use super::cache_endpoint::CacheEndpoint;
use super::{Context, GlobalArgs, OutputArgs, says, watch};
use crate::exit::{Exit, Failure};
use crate::output::{Reader, print, print_bytes};
use crate::render::{Format, ObjectDone, Objects};

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
    /// Put a file into the cache
    Put {
        /// APPLICATION/SESSION/OBJECT, or APPLICATION/SESSION: then the cache chooses the name
        #[arg(value_name = "KEY", value_parser = parse_destination)]
        key: Destination,
        /// What to put
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Refuse to replace an object that exists
        #[arg(long)]
        no_replace: bool,
        /// Which cache
        #[command(flatten)]
        cache: CacheEndpoint,
        /// How to print
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Read an object: its bytes, and those of its patches after them
    Get {
        /// APPLICATION/SESSION/OBJECT
        #[arg(value_name = "KEY", value_parser = parse_key)]
        key: ObjectKey,
        /// Where to; stdout when not given. A table becomes a stream of Arrow's interprocess format
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Which cache
        #[command(flatten)]
        cache: CacheEndpoint,
        /// How to print what was written into FILE
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Delete objects wherever they lie
    Delete {
        /// APPLICATION/SESSION/OBJECT, APPLICATION/SESSION or APPLICATION/*
        #[arg(value_name = "TARGET", value_parser = parse_target)]
        target: ObjectTarget,
        /// Which cache
        #[command(flatten)]
        cache: CacheEndpoint,
    },
}

impl ObjectArgs {
    /// How its errors are printed.
    pub(super) fn format(&self) -> Format {
        match &self.command {
            ObjectCommand::List { output, .. }
            | ObjectCommand::Put { output, .. }
            | ObjectCommand::Get { output, .. } => output.format,
            ObjectCommand::Delete { .. } => Format::Table,
        }
    }
}

pub(super) async fn run(context: &Context, args: &ObjectArgs, global: &GlobalArgs) -> Result<(), Failure> {
    match &args.command {
        ObjectCommand::List { target, watch: true, output } => {
            watch::run(context, output.format, || list(context, target.as_ref())).await
        }
        ObjectCommand::List { target, watch: false, output } => {
            context.show(&list(context, target.as_ref()).await?, output.format).map(|_| ())
        }
        ObjectCommand::Put { key, file, no_replace, cache, output } => {
            let if_exists = if *no_replace { IfExists::Refuse } else { IfExists::Replace };
            let cache = cache.objects(context, global).await?;
            let info = cache.upload(key, file, if_exists).await?;
            context.show(&ObjectDone { verb: "put", info }, output.format).map(|_| ())
        }
        ObjectCommand::Get { key, file, cache, output } => {
            let cache = cache.objects(context, global).await?;
            // Without a node: whichever can be reached.
            let reference = ObjectRef { endpoint: String::new(), key: key.clone(), version: 0 };
            match file {
                Some(file) => {
                    let info = cache.download(&reference, file).await?;
                    context.show(&ObjectDone { verb: "written", info }, output.format).map(|_| ())
                }
                None => show(&cache, &reference).await,
            }
        }
        ObjectCommand::Delete { target, cache } => {
            cache.objects(context, global).await?.delete(target).await?;
            print(&says::objects_deleted(target)).map(|_| ())
        }
    }
}

/// The bytes of an object on stdout.
async fn show(cache: &ObjectCache, reference: &ObjectRef) -> Result<(), Failure> {
    let object = cache.get(reference).await?;
    let parts = object.parts().map_err(|error| {
        let failure = Failure::from(error);
        match failure.exit {
            Exit::Conflict => failure.or_hint("name a file to write it to"),
            _ => failure,
        }
    })?;
    for part in parts {
        if print_bytes(part)? == Reader::Gone {
            break;
        }
    }
    Ok(())
}

async fn list(context: &Context, target: Option<&ObjectTarget>) -> Result<Objects, Failure> {
    Ok(Objects::new(context.connection.list_objects(target).try_collect().await?))
}

fn parse_target(text: &str) -> Result<ObjectTarget, String> {
    ObjectTarget::parse(text).map_err(|error| error.to_string())
}

fn parse_key(text: &str) -> Result<ObjectKey, String> {
    ObjectKey::parse(text).map_err(|error| error.to_string())
}

fn parse_destination(text: &str) -> Result<Destination, String> {
    Destination::parse(text).map_err(|error: FlameError| error.to_string())
}
