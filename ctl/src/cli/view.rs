//! `flmctl view`.

use clap::Args;
use flame_sdk::model::Task;
use flame_types::TaskNo;
use futures::TryStreamExt;

use super::{Context, OutputArgs, watch};
use crate::exit::Failure;
use crate::render::{ApplicationView, Format, NodeView, Render, SessionView, TaskView};

/// Flags of `flmctl view`: one of -a, -s and -n; -t with -s.
#[derive(Clone, Debug, Args)]
pub struct ViewArgs {
    /// Show an application
    #[arg(short, long, value_name = "NAME")]
    pub application: Option<String>,
    /// Show a session
    #[arg(short, long, value_name = "ID")]
    pub session: Option<String>,
    /// Show a task of the session
    #[arg(short, long, value_name = "NUMBER")]
    pub task: Option<u64>,
    /// Show a node
    #[arg(short, long, value_name = "NAME")]
    pub node: Option<String>,
    /// Go on and print what changes
    #[arg(short, long)]
    pub watch: bool,
    /// How to print
    #[command(flatten)]
    pub output: OutputArgs,
}

pub(super) async fn run(context: &Context, args: &ViewArgs) -> Result<(), Failure> {
    match (&args.application, &args.session, args.task, &args.node) {
        (Some(name), None, None, None) => show(context, args, || application(context, name)).await,
        (None, Some(id), None, None) => show(context, args, || session(context, id, args.output.format)).await,
        (None, Some(id), Some(number), None) => show(context, args, || task(context, id, TaskNo(number))).await,
        (None, None, None, Some(name)) => show(context, args, || node(context, name)).await,
        _ => Err(Failure::usage("unsupported parameters")
            .hint("name one thing: -a APPLICATION, -s SESSION, -s SESSION -t TASK, or -n NODE")),
    }
}

async fn show<T, F>(context: &Context, args: &ViewArgs, read: impl Fn() -> F) -> Result<(), Failure>
where
    T: Render,
    F: Future<Output = Result<T, Failure>>,
{
    if args.watch {
        watch::run(context, args.output.format, read).await
    } else {
        context.show(&read().await?, args.output.format).map(|_| ())
    }
}

async fn application(context: &Context, name: &str) -> Result<ApplicationView, Failure> {
    let found = context.connection.get_application(name).await;
    found.map(ApplicationView).map_err(|error| look_in_list(error.into(), "-a"))
}

async fn session(context: &Context, id: &str, format: Format) -> Result<SessionView, Failure> {
    let session = context.connection.get_session(id).await.map_err(|error| look_in_list(error.into(), "-s"))?;
    let mut tasks: Vec<Task> = Vec::new();
    if format != Format::Table {
        tasks = context.connection.list_tasks(id).try_collect().await?;
        tasks.sort_by_key(|task| task.number().unwrap_or_default());
    }
    Ok(SessionView { session, tasks })
}

async fn task(context: &Context, session: &str, number: TaskNo) -> Result<TaskView, Failure> {
    let found = context.connection.get_task(session, number).await;
    let task = found.map_err(|error| look_in_session(error.into(), session))?;
    let application = context.connection.get_session(session).await?.spec.application;
    Ok(TaskView { task, application })
}

async fn node(context: &Context, name: &str) -> Result<NodeView, Failure> {
    context.connection.get_node(name).await.map(NodeView).map_err(|error| look_in_list(error.into(), "-n"))
}

/// Says where names are found, unless the failure says something better.
pub(super) fn look_in_list(failure: Failure, flag: &str) -> Failure {
    if failure.exit == crate::exit::Exit::NotFound {
        failure.or_hint(&format!("`flmctl list {flag}` shows what there is"))
    } else {
        failure
    }
}

/// The same for a task: it or its session may be what is missing.
pub(super) fn look_in_session(failure: Failure, session: &str) -> Failure {
    if failure.message.starts_with("session") {
        return look_in_list(failure, "-s");
    }
    failure.or_hint(&format!("`flmctl view -s {session} -o json` shows its tasks"))
}
