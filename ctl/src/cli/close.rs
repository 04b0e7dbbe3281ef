//! `flmctl close`.

use clap::Args;

use super::view::look_in_list;
use super::{Context, says};
use crate::exit::{Exit, Failure};
use crate::output::print;

/// Flags of `flmctl close`.
#[derive(Clone, Debug, Args)]
pub struct CloseArgs {
    /// Which session
    #[arg(short, long, value_name = "ID")]
    pub session: String,
    /// Cancel the tasks that run, instead of refusing
    #[arg(long)]
    pub force: bool,
}

pub(super) async fn run(context: &Context, args: &CloseArgs) -> Result<(), Failure> {
    let id = &args.session;
    let closed = if args.force {
        context.connection.force_close_session(id).await
    } else {
        context.connection.close_session(id).await.map(|_| ())
    };
    closed.map_err(|error| match look_in_list(error.into(), "-s") {
        failure if failure.exit == Exit::Conflict => {
            failure.or_hint(&format!("wait until its tasks have ended, or cancel them: flmctl close -s {id} --force"))
        }
        failure => failure,
    })?;
    print(&says::closed(id)).map(|_| ())
}
