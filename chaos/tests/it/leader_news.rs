//! Every coordinator tells workers who leads, and a new leader takes whoever comes as soon as that is told.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_proto::ha;
use flame_proto::ha::leader_news_client::LeaderNewsClient;
use flame_proto::ha::worker_down::Frame as Down;
use flame_proto::ha::worker_hub_client::WorkerHubClient;
use flame_proto::ha::worker_up::Frame as Up;
use flame_testkit::{Cluster, ClusterOptions};
use flame_types::CoordinatorId;
use tokio::time::timeout;
use tonic::{Code, Streaming};

/// Nothing here takes so long, unless it never comes.
const LIMIT: Duration = Duration::from_secs(60);

async fn follow(cluster: &Cluster, id: CoordinatorId) -> Result<Streaming<ha::Leading>> {
    let mut client = LeaderNewsClient::connect(cluster.worker_endpoint(id)).await?;
    Ok(client.follow(ha::FollowLeader::default()).await?.into_inner())
}

async fn next(told: &mut Streaming<ha::Leading>) -> Result<ha::Leading> {
    timeout(LIMIT, told.message()).await.context("nothing is told")??.context("the call ended")
}

/// What a leader answers to a Hello that it cannot take; it says so only once it takes workers.
async fn answer_to_a_bad_hello(endpoint: String) -> Result<Down> {
    let mut hub = WorkerHubClient::connect(endpoint).await?;
    let hello = ha::WorkerUp { frame: Some(Up::Hello(ha::Hello::default())) };
    let mut down = hub.attach(futures::stream::iter([hello])).await?.into_inner();
    let answer = timeout(LIMIT, down.message()).await.context("no answer")??;
    answer.and_then(|answer| answer.frame).context("the call ended")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_tells_of_the_next_leader_which_takes_workers_then() -> Result<()> {
    let mut cluster = Cluster::start(ClusterOptions { workers: 0, ..ClusterOptions::default() }).await?;
    let leader = cluster.leader().await?;
    let followers: Vec<_> = cluster.coordinator_ids().into_iter().filter(|id| *id != leader.id).collect();
    let mut told = follow(&cluster, followers[0]).await?;
    let mut told_by_the_other = follow(&cluster, followers[1]).await?;
    for told in [&mut told, &mut told_by_the_other] {
        let now = next(told).await?;
        ensure!((now.term, now.leader) == (leader.term.0, cluster.worker_endpoint(leader.id)));
    }

    cluster.kill_coordinator(leader.id).await?;
    let (new, same) = (next(&mut told).await?, next(&mut told_by_the_other).await?);
    ensure!(new == same && new.term > leader.term.0, "{new:?}, {same:?}");
    ensure!(followers.iter().any(|id| cluster.worker_endpoint(*id) == new.leader), "{new:?}");
    let answer = answer_to_a_bad_hello(new.leader.clone()).await?;
    let Down::Refused(refused) = &answer else { anyhow::bail!("it was told that this one leads: {answer:?}") };
    ensure!(refused.reason() == ha::refused::Reason::Invalid, "{refused:?}");

    // Who stops does not wait for those who listen.
    cluster.start_coordinator(leader.id).await?;
    cluster.leader().await?;
    cluster.stop_coordinator(followers[0]).await?;
    while timeout(LIMIT, told.message()).await.context("the call goes on")??.is_some() {}
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_another_cluster_are_told_nothing() -> Result<()> {
    let options = ClusterOptions { coordinators: 1, workers: 0, ..ClusterOptions::default() };
    let cluster = Cluster::start(options).await?;
    let id = cluster.coordinator_ids()[0];
    let mut client = LeaderNewsClient::connect(cluster.worker_endpoint(id)).await?;
    let refused = client.follow(ha::FollowLeader { cluster_id: "somebody else's".into() }).await;
    ensure!(refused.is_err_and(|status| status.code() == Code::FailedPrecondition));
    cluster.shutdown().await
}
