//! `flmctl suspend` and `flmctl resume`.

use clap::Args;

use super::view::look_in_list;
use super::{Context, says};
use crate::exit::Failure;
use crate::output::print;

/// Flags of both.
#[derive(Clone, Debug, Args)]
pub struct SessionArgs {
    /// Which session
    #[arg(short, long, value_name = "ID")]
    pub session: String,
}

pub(super) async fn suspend(context: &Context, args: &SessionArgs) -> Result<(), Failure> {
    let suspended = context.connection.suspend_session(&args.session).await;
    suspended.map_err(|error| look_in_list(error.into(), "-s"))?;
    print(&says::suspended(&args.session)).map(|_| ())
}

pub(super) async fn resume(context: &Context, args: &SessionArgs) -> Result<(), Failure> {
    let resumed = context.connection.resume_session(&args.session).await;
    resumed.map_err(|error| look_in_list(error.into(), "-s"))?;
    print(&says::resumed(&args.session)).map(|_| ())
}
