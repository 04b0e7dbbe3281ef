//! Only so much is kept: finished tasks leave open sessions, closed sessions leave as wholes, and whoever asks for what has
//! left is told so.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use flame_chaos::service;
use flame_proto::ha;
use flame_proto::ha::session_down::Frame as Down;
use flame_proto::ha::session_up::Frame as Up;
use flame_sdk::model::{ApplicationSpec, Environment, Retention, Session};
use flame_sdk::{Connection, Endpoints, FlameError, Options, SessionOptions};
use flame_testkit::{Binaries, Cluster, ClusterOptions, wait_until};
use flame_types::TaskNo;
use futures::TryStreamExt;

use crate::stream_protocol::Stream;

const LIMIT: Duration = Duration::from_secs(60);

/// The most tasks of the session; a quarter of it is kept free.
const COUNT: u64 = 400;

const KEPT_MAX: u64 = 300;

/// Less than the limit, more than what stays.
const TASKS: u64 = 390;

fn connection(cluster: &Cluster) -> Result<Connection> {
    Ok(Connection::open(Endpoints::parse(&cluster.endpoints())?, Options::default())?)
}

async fn register(connection: &Connection, name: &str, retention: Option<Retention>) -> Result<()> {
    let nowhere = Environment { name: service::LOG_VARIABLE.to_owned(), value: "/dev/null".to_owned() };
    let spec = ApplicationSpec {
        command: Some(Binaries::find()?.path("flame-chaos")?.display().to_string()),
        arguments: vec!["service".to_owned()],
        environments: vec![nowhere],
        retention,
        ..ApplicationSpec::default()
    };
    Ok(connection.register_application(name, spec).await?)
}

/// Runs that many tasks to their end.
async fn run_tasks(connection: &Connection, session: &str, tasks: u64) -> Result<()> {
    let stream = connection.open_stream(session).await?;
    let mut submitted = Vec::new();
    for number in 0..tasks {
        submitted.push(stream.submit(Some(number.to_string().into())).await?);
    }
    for task in submitted {
        let end = tokio::time::timeout(LIMIT, task.result()).await.context("no result comes")??;
        ensure!(end.succeeded(), "{end:?}");
    }
    Ok(stream.close().await?)
}

async fn numbers(connection: &Connection, session: &str) -> Result<BTreeSet<u64>> {
    let tasks: Vec<_> = connection.list_tasks(session).try_collect().await?;
    tasks.iter().map(|task| Ok(task.metadata.id.parse()?)).collect()
}

/// A task that has left is not found, at every node, and the reason is said.
async fn is_told(cluster: &Cluster, session: &str, task: u64) -> Result<()> {
    for endpoint in cluster.endpoints() {
        let connection = Connection::open(Endpoints::parse(&[endpoint])?, Options::default())?;
        match connection.get_task(session, TaskNo(task)).await {
            Err(error @ FlameError::NotFound(_)) => {
                ensure!(error.to_string().contains("retention has removed it"), "{error}");
            }
            other => bail!("task {task}: {other:?}"),
        }
    }
    Ok(())
}

/// A watch from the beginning is told of the gap first; then come all results that are kept.
async fn watch_is_told(cluster: &Cluster, session: &str, kept: &BTreeSet<u64>) -> Result<()> {
    let mut stream = Stream::open(&cluster.endpoints()[0], session, 0).await?;
    stream.say(Up::Watch(ha::WatchFrom { from: None, own: false, tasks: Vec::new() }))?;
    match stream.next().await? {
        Down::Trimmed(ha::Trimmed { from: Some(from) }) => ensure!(from.log_index > 0, "{from:?}"),
        other => bail!("not told of the gap: {other:?}"),
    }
    let mut heard = BTreeSet::new();
    while heard != *kept {
        let Down::Results(results) = stream.next().await? else { bail!("something else than results") };
        heard.extend(results.results.iter().map(|result| result.task));
        ensure!(heard.is_subset(kept), "{heard:?} is more than what is kept");
    }
    Ok(())
}

async fn at_rest(connection: &Connection, session: &str) -> Result<Session> {
    wait_until(LIMIT, "no more is kept than should be", || async {
        let status = connection.get_session(session).await?.status;
        ensure!(status.succeed >= TASKS && status.kept.tasks <= KEPT_MAX, "{status:?}");
        Ok(())
    })
    .await?;
    Ok(connection.get_session(session).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_tasks_leave_and_whoever_asks_is_told() -> Result<()> {
    let mut cluster = Cluster::start(ClusterOptions::default()).await?;
    let connection = connection(&cluster)?;
    register(&connection, "echo", None).await?;
    let retention = Retention { task_count: Some(COUNT), task_age_ms_min: Some(0), ..Retention::default() };
    let options = SessionOptions { retention: Some(retention), ..SessionOptions::new("echo") };
    let made = connection.create_session(&options).await?;
    ensure!(made.spec.retention == Some(retention), "{:?}", made.spec.retention);
    let session = made.metadata.id;
    run_tasks(&connection, &session, TASKS).await?;

    let rest = at_rest(&connection, &session).await?;
    let kept = numbers(&connection, &session).await?;
    ensure!(rest.status.succeed == TASKS && kept.len() as u64 == rest.status.kept.tasks, "{rest:?}");
    ensure!(rest.status.kept.trimmed == TASKS - rest.status.kept.tasks, "{rest:?}");
    let gone = (1..=TASKS).find(|task| !kept.contains(task)).context("nothing has left")?;
    is_told(&cluster, &session, gone).await?;
    watch_is_told(&cluster, &session, &kept).await?;

    let stream = connection.open_stream(&session).await?;
    let mut refused = stream.submit_array(COUNT, None, &std::sync::Arc::default()).await?;
    match refused.accepted().await {
        Err(error) => ensure!(error.to_string().contains("retention.tasks.count = 400"), "{error}"),
        Ok(tasks) => bail!("more than the limit: {tasks:?}"),
    }
    stream.close().await?;

    cluster.kill_all_coordinators().await?;
    cluster.start_all_coordinators().await?;
    let after = at_rest(&connection, &session).await?;
    ensure!(after.status.kept == rest.status.kept, "{after:?} is not {rest:?}");
    ensure!(numbers(&connection, &session).await? == kept, "other tasks are kept after the restart");
    is_told(&cluster, &session, gone).await?;
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_sessions_leave_when_their_application_says_so() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions::default()).await?;
    let connection = connection(&cluster)?;
    let soon = Retention { closed_age_ms: Some(1_000), ..Retention::default() };
    register(&connection, "short", Some(soon)).await?;
    register(&connection, "long", None).await?;
    for app in ["short", "long"] {
        let options = SessionOptions { id: Some(format!("{app}-1")), ..SessionOptions::new(app) };
        connection.create_session(&options).await?;
        run_tasks(&connection, &format!("{app}-1"), 3).await?;
        connection.close_session(&format!("{app}-1")).await?;
    }
    // Nobody writes meanwhile: time goes on all the same.
    wait_until(LIMIT, "the session has left", || async {
        match connection.get_session("short-1").await {
            Err(FlameError::NotFound(_)) => Ok(()),
            other => bail!("{other:?}"),
        }
    })
    .await?;
    let stays = connection.get_session("long-1").await?;
    ensure!(stays.status.kept.tasks == 3 && stays.status.kept.bytes > 0, "{stays:?}");
    let status = connection.member_status().await?;
    ensure!((status.closed_sessions, status.closed_bytes) == (1, stays.status.kept.bytes), "{status:?}");
    ensure!(status.kept_tasks == 0 && status.kept_bytes == 0 && status.kept_bytes_max > 0, "{status:?}");
    cluster.shutdown().await
}
