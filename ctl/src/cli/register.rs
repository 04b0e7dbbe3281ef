//! `flmctl register`.

use std::path::PathBuf;

use clap::Args;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::manifest;

/// Flags of `flmctl register`.
#[derive(Clone, Debug, Args)]
pub struct RegisterArgs {
    /// The applications, as YAML; several with lines of `---` between; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
}

/// Silent on success, as published.
pub(super) async fn run(context: &Context, args: &RegisterArgs) -> Result<(), Failure> {
    for manifest in manifest::read(&args.file)? {
        let name = manifest.name;
        context.connection.register_application(&name, manifest.spec).await.map_err(|error| {
            let failure = Failure::from(error);
            let failure = Failure { message: format!("application {name}: {}", failure.message), ..failure };
            match failure.exit {
                Exit::Conflict => failure.or_hint("replace it with `flmctl update -a FILE`"),
                _ => failure,
            }
        })?;
    }
    Ok(())
}
