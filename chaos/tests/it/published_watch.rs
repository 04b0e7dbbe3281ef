//! The published watch is served by the node that a client is on, from what that node knows.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_proto::v1;
use flame_proto::v1::frontend_client::FrontendClient;
use flame_sdk::{Connection, Endpoints, Options, SessionOptions};
use flame_testkit::{Cluster, ClusterOptions};
use flame_types::TaskState;
use tokio::time::timeout;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

const LIMIT: Duration = Duration::from_secs(20);

async fn watch(frontend: &mut FrontendClient<Channel>, session: &str, task: &str) -> Result<Streaming<v1::Task>> {
    let request = v1::WatchTaskRequest { task_id: task.to_owned(), session_id: session.to_owned() };
    let opened = timeout(LIMIT, frontend.watch_task(request)).await;
    Ok(opened.context("the watch is not opened")??.into_inner())
}

async fn state(updates: &mut Streaming<v1::Task>) -> Result<i32> {
    let update = timeout(LIMIT, updates.message()).await.context("nothing is told")??;
    Ok(update.context("the watch ended")?.status.context("a task without a state")?.state)
}

/// It takes a leader to submit a task, and to learn that a task is nowhere. It takes none to watch one that is here.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_known_here_is_watched_though_nobody_leads() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions { workers: 0, ..ClusterOptions::default() }).await?;
    let leader = cluster.leader().await?;
    let here = cluster.coordinator_ids().into_iter().find(|id| *id != leader.id).context("a follower")?;
    let connection = Connection::open(Endpoints::parse(&[cluster.endpoint(here)])?, Options::default())?;
    let session = connection.create_session(&SessionOptions::new("flmping")).await?.metadata.id;
    let mut frontend = FrontendClient::new(Endpoint::from_shared(cluster.endpoint(here))?.connect().await?);
    let spec = v1::TaskSpec { session_id: session.clone(), ..v1::TaskSpec::default() };
    let task = frontend.create_task(v1::CreateTaskRequest { task: Some(spec) }).await?.into_inner();
    let task = task.metadata.context("a task without an id")?.id;

    let others: Vec<_> = cluster.coordinator_ids().into_iter().filter(|id| *id != here).collect();
    for id in &others {
        cluster.pause_coordinator(*id)?;
    }
    let mut updates = watch(&mut frontend, &session, &task).await?;
    ensure!(state(&mut updates).await? == TaskState::Pending.number());
    for id in &others {
        cluster.resume_coordinator(*id)?;
    }
    // The stream that was opened without a leader is one like any other.
    cluster.leader().await?;
    connection.close_session(&session).await?;
    ensure!(state(&mut updates).await? == TaskState::Failed.number(), "cancelled, as 0.6 may be shown it");
    cluster.shutdown().await
}
