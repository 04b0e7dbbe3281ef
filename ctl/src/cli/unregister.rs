//! `flmctl unregister`.

use clap::Args;

use super::Context;
use super::view::look_in_list;
use crate::exit::{Exit, Failure};

/// Flags of `flmctl unregister`.
#[derive(Clone, Debug, Args)]
pub struct UnregisterArgs {
    /// Which application
    #[arg(short, long, value_name = "NAME")]
    pub application: String,
}

/// Silent on success, as published.
pub(super) async fn run(context: &Context, args: &UnregisterArgs) -> Result<(), Failure> {
    let unregistered = context.connection.unregister_application(&args.application).await;
    unregistered.map_err(|error| match look_in_list(error.into(), "-a") {
        failure if failure.exit == Exit::Conflict => {
            failure.or_hint("close its sessions first; `flmctl list -s` shows them")
        }
        failure => failure,
    })?;
    Ok(())
}
