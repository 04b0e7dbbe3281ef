//! `flmctl delete`.

use clap::Args;

use super::view::look_in_list;
use super::{Context, says};
use crate::exit::{Exit, Failure};
use crate::output::print;

/// Flags of `flmctl delete`.
#[derive(Clone, Debug, Args)]
pub struct DeleteArgs {
    /// Which session
    #[arg(short, long, value_name = "ID")]
    pub session: String,
}

pub(super) async fn run(context: &Context, args: &DeleteArgs) -> Result<(), Failure> {
    let id = &args.session;
    let deleted = context.connection.delete_session(id).await;
    deleted.map_err(|error| match look_in_list(error.into(), "-s") {
        failure if failure.exit == Exit::Conflict => failure.or_hint(&format!("close it first: flmctl close -s {id}")),
        failure => failure,
    })?;
    print(&says::deleted(id)).map(|_| ())
}
