//! Streams of sessions over real nodes: nodes die, readers are slow, and everybody gets the results of his own tasks,
//! each once.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use flame_chaos::service;
use flame_sdk::model::{ApplicationSpec, Environment};
use flame_sdk::types::TaskNo;
use flame_sdk::{Connection, Endpoints, Options, SessionOptions, SubmittedTask};
use flame_testkit::{Binaries, Cluster, ClusterOptions, wait_until};
use flame_types::CoordinatorId;
use futures::StreamExt;

const APPLICATION: &str = "echo";

/// Enough that nodes die in the middle of it.
const TASKS: u64 = 20_000;

/// Tasks whose results are waited for at a time: submits go on for as long as the run lasts.
const WINDOW: usize = 3_000;

const LIMIT: Duration = Duration::from_secs(120);

/// A connection that goes to `first` before it goes to others, and a session whose service answers with the input.
async fn session(cluster: &Cluster, first: CoordinatorId) -> Result<(Connection, String)> {
    let connection = prefers(cluster, first)?;
    let nowhere = Environment { name: service::LOG_VARIABLE.to_owned(), value: "/dev/null".to_owned() };
    let spec = ApplicationSpec {
        command: Some(Binaries::find()?.path("flame-chaos")?.display().to_string()),
        arguments: vec!["service".to_owned()],
        environments: vec![nowhere],
        ..ApplicationSpec::default()
    };
    connection.register_application(APPLICATION, spec).await?;
    let session = connection.create_session(&SessionOptions::new(APPLICATION)).await?.metadata.id;
    Ok((connection, session))
}

fn prefers(cluster: &Cluster, first: CoordinatorId) -> Result<Connection> {
    let others = cluster.coordinator_ids().into_iter().filter(|id| *id != first);
    let ids = std::iter::once(first).chain(others);
    let endpoints: Vec<String> = ids.map(|id| cluster.endpoint(id)).collect();
    Ok(Connection::open(Endpoints::parse(&endpoints)?, Options::default())?)
}

async fn follower(cluster: &Cluster) -> Result<CoordinatorId> {
    let leader = cluster.leader().await?.id;
    cluster.coordinator_ids().into_iter().find(|id| *id != leader).context("there is a follower")
}

fn input(number: u64) -> Bytes {
    Bytes::from(format!("task-{number}"))
}

/// Waits for the result of a task and looks at it.
async fn finished(number: u64, mut task: SubmittedTask) -> Result<TaskNo> {
    let accepted = tokio::time::timeout(LIMIT, task.accepted()).await;
    let accepted = accepted.with_context(|| format!("submit {number} is not answered"))??;
    let end = tokio::time::timeout(LIMIT, task.result()).await;
    let end = end.with_context(|| format!("no end of submit {number}, which is task {accepted}"))??;
    ensure!(end.succeeded() && end.output == Some(input(number)), "submit {number}: {end:?}");
    Ok(end.task)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_result_arrives_once_though_the_followed_node_and_then_the_leader_die() -> Result<()> {
    let mut cluster = Cluster::start(ClusterOptions::default()).await?;
    let followed = follower(&cluster).await?;
    let (connection, session) = session(&cluster, followed).await?;
    let stream = connection.open_stream(&session).await?;
    let mut under_way: VecDeque<(u64, SubmittedTask)> = VecDeque::new();
    let mut ended = BTreeSet::new();
    for number in 1..=TASKS {
        if under_way.len() == WINDOW
            && let Some((oldest, task)) = under_way.pop_front()
        {
            ensure!(ended.insert(finished(oldest, task).await?), "two tasks have one number");
        }
        under_way.push_back((number, stream.submit(Some(input(number))).await?));
        let dies = match number {
            _ if number == TASKS / 3 => Some(followed),
            _ if number == TASKS * 2 / 3 => Some(cluster.leader().await?.id),
            _ => None,
        };
        if let Some(id) = dies {
            cluster.kill_coordinator(id).await?;
            cluster.start_coordinator(id).await?;
        }
    }
    for (number, task) in under_way {
        ensure!(ended.insert(finished(number, task).await?), "two tasks have one number");
    }
    stream.close().await?;
    ensure!(ended.len() as u64 == TASKS, "{} tasks have ended", ended.len());
    let status = connection.get_session(&session).await?.status;
    ensure!((status.succeed, status.pending, status.running, status.failed) == (TASKS, 0, 0, 0), "{status:?}");
    ensure!(ended.last() == Some(&TaskNo(TASKS)), "the cluster has other tasks, too: {:?}", ended.last());
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_gets_everything_and_holds_up_nobody_else() -> Result<()> {
    const LARGE: u64 = 400;
    const SMALL: u64 = 300;
    let cluster = Cluster::start(ClusterOptions::default()).await?;
    let (connection, session) = session(&cluster, follower(&cluster).await?).await?;
    let slow = connection.open_stream(&session).await?;
    // Together more than the stream, the connection and the node keep for somebody who does not read.
    let large = Bytes::from(vec![b'x'; 128 << 10]);
    let mut unread = slow.submit_array(LARGE, Some(large.clone()), &Arc::default()).await?;
    let first = unread.accepted().await?;

    let other = prefers(&cluster, cluster.leader().await?.id)?.open_stream(&session).await?;
    let mut tasks = Vec::new();
    for number in 1..=SMALL {
        tasks.push((number, other.submit(Some(input(number))).await?));
    }
    let mut ended = BTreeSet::new();
    for (number, task) in tasks {
        ended.insert(finished(number, task).await?);
    }
    other.close().await?;
    ensure!(ended.len() as u64 == SMALL && ended.iter().all(|task| !first[0].contains(task)), "{ended:?}");

    wait_until(LIMIT, "all tasks have ended", || async {
        let status = connection.get_session(&session).await?.status;
        ensure!(status.succeed == LARGE + SMALL, "{status:?}");
        Ok(())
    })
    .await?;
    let mut seen = BTreeSet::new();
    while let Some(end) = tokio::time::timeout(LIMIT, unread.next()).await.context("no result comes")? {
        let end = end?;
        ensure!(end.succeeded() && end.output.as_ref() == Some(&large), "task {}: {:?}", end.task, end.state);
        ensure!(first[0].contains(&end.task) && seen.insert(end.task), "task {} came twice, or is not ours", end.task);
    }
    ensure!(seen.len() as u64 == LARGE, "{} results", seen.len());
    slow.close().await?;
    cluster.shutdown().await
}
