//! `flmctl update`.

use std::path::PathBuf;

use clap::Args;

use super::Context;
use super::view::look_in_list;
use crate::exit::{Exit, Failure};
use crate::manifest;

/// Flags of `flmctl update`.
#[derive(Clone, Debug, Args)]
pub struct UpdateArgs {
    /// The application, as YAML; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    pub application: PathBuf,
}

/// Silent on success, as published.
pub(super) async fn run(context: &Context, args: &UpdateArgs) -> Result<(), Failure> {
    let manifests = manifest::read(&args.application)?;
    let [manifest] = <[_; 1]>::try_from(manifests).map_err(|manifests| {
        let (file, count) = (args.application.display(), manifests.len());
        Failure::usage(format!("{file}: it describes {count} applications; update takes one"))
            .hint("split the file and update one after the other")
    })?;
    let updated = context.connection.update_application(&manifest.name, manifest.spec).await;
    updated.map_err(|error| match look_in_list(error.into(), "-a") {
        failure if failure.exit == Exit::Conflict => {
            failure.or_hint("close its sessions first; `flmctl list -s` shows them")
        }
        failure => failure,
    })?;
    Ok(())
}
