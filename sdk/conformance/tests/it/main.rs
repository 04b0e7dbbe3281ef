//! The published clients against a follower of a three-node cluster, and across the death of its leader.

mod objects;
mod ours;
mod packages;
mod table;

use anyhow::{Context, Result, ensure};
use flame_conformance::clients::{Python, Rust};
use flame_conformance::scene::{Client, cluster, follower};
use tokio::process::Command;

/// Every check of a client, against a follower.
async fn suite(make: impl FnOnce(&str) -> Command) -> Result<()> {
    let cluster = cluster().await?;
    let (follower, _) = follower(&cluster).await?;
    let outcome = Client::start(make(&cluster.endpoint(follower)))?.finish().await;
    outcome.with_context(|| cluster.tails())?;
    cluster.shutdown().await
}

/// Runs in flight through a follower while the leader is killed.
async fn failover(make: impl FnOnce(&str) -> Command) -> Result<()> {
    let mut cluster = cluster().await?;
    let (follower, leader) = follower(&cluster).await?;
    let log = cluster.folder().join("executions.log");
    let mut command = make(&cluster.endpoint(follower));
    command.arg("--echo-log").arg(&log);
    let mut client = Client::start(command)?;
    client.in_flight().await.with_context(|| cluster.tails())?;
    cluster.kill_coordinator(leader.id).await?;
    client.tell_killed().await?;
    client.finish().await.with_context(|| cluster.tails())?;
    let next = cluster.leader().await?;
    ensure!(next.term > leader.term && next.id != leader.id, "{next:?} after {leader:?}");
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn flamepy_0_6_0_against_a_follower() -> Result<()> {
    let python = Python::find()?;
    suite(|endpoint| python.suite("suite", endpoint)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn flame_rs_0_7_0_against_a_follower() -> Result<()> {
    let rust = Rust::find()?;
    suite(|endpoint| rust.suite("suite", endpoint)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn flamepy_0_6_0_runs_survive_the_death_of_the_leader() -> Result<()> {
    let python = Python::find()?;
    failover(|endpoint| python.suite("failover", endpoint)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn flame_rs_0_7_0_runs_survive_the_death_of_the_leader() -> Result<()> {
    let rust = Rust::find()?;
    failover(|endpoint| rust.suite("failover", endpoint)).await
}
