//! `flmctl create`.

use clap::Args;
use flame_sdk::SessionOptions;
use flame_sdk::model::{Retention, Retries};
use flame_types::Resources;

use super::view::look_in_list;
use super::{Context, retention, retry, says};
use crate::exit::Failure;
use crate::output::print;

/// Flags of `flmctl create`.
#[derive(Clone, Debug, Args)]
pub struct CreateArgs {
    /// Whose service runs the tasks
    #[arg(short, long, value_name = "NAME")]
    pub app: String,
    /// Higher is served first
    #[arg(short, long, value_name = "NUMBER", default_value_t = 0)]
    pub priority: u32,
    /// What one executor needs, like cpu=1,mem=2g,gpu=0; the cluster's default when not given
    #[arg(short, long, value_name = "RESOURCES")]
    pub resreq: Option<Resources>,
    /// The id; the application's name with six letters and digits when not given
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Executors the session keeps even without tasks
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub min_instances: u32,
    /// Most executors of the session; the application's limit when not given
    #[arg(long, value_name = "NUMBER")]
    pub max_instances: Option<u32>,
    /// Tasks start only while the session holds this many ready executors
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub batch_size: u32,
    /// How long its ended things are kept, like task_age=2h,task_age_min=10m,task_count=100000,task_bytes=1g,closed_age=24h;
    /// the application's policy where nothing is said
    #[arg(long, value_name = "POLICY", value_parser = retention::parse)]
    pub retention: Option<Retention>,
    /// How often its things are tried again, by cause: starts in all, like lost=8,crashed=3,refused=5,failed=1, and the wait
    /// before the next, like failed_backoff=200ms,failed_backoff_max=10s; the application's policy where nothing is said
    #[arg(long, value_name = "POLICY", value_parser = retry::parse)]
    pub retry: Option<Retries>,
    /// A task that runs longer has failed; the application's limit when not given
    #[arg(long, value_name = "DURATION", value_parser = retry::wait_ms)]
    pub task_timeout: Option<u64>,
}

pub(super) async fn run(context: &Context, args: CreateArgs) -> Result<(), Failure> {
    let options = SessionOptions {
        id: args.id,
        priority: args.priority,
        resreq: args.resreq,
        min_instances: args.min_instances,
        max_instances: args.max_instances,
        batch_size: args.batch_size,
        retention: args.retention,
        retry: args.retry,
        task_timeout_ms: args.task_timeout,
        ..SessionOptions::new(args.app)
    };
    let session =
        context.connection.create_session(&options).await.map_err(|error| look_in_list(error.into(), "-a"))?;
    print(&says::created(&session.metadata.id)).map(|_| ())
}
