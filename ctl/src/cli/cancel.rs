//! `flmctl cancel`.

use clap::Args;
use flame_types::TaskNo;

use super::view::look_in_session;
use super::{Context, says};
use crate::exit::Failure;
use crate::output::print;

/// Flags of `flmctl cancel`.
#[derive(Clone, Debug, Args)]
pub struct CancelArgs {
    /// Whose task
    #[arg(short, long, value_name = "ID")]
    pub session: String,
    /// Which task
    #[arg(short, long, value_name = "NUMBER")]
    pub task: u64,
}

pub(super) async fn run(context: &Context, args: &CancelArgs) -> Result<(), Failure> {
    let CancelArgs { session, task } = args;
    let cancelled = context.connection.cancel_task(session, TaskNo(*task)).await;
    cancelled.map_err(|error| look_in_session(error.into(), session))?;
    print(&says::cancelled(session, *task)).map(|_| ())
}
