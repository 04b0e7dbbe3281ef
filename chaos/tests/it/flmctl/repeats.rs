//! A run whose coordinator dies under it: answers are lost, submits are sent again elsewhere, and not one task is made
//! twice.

use anyhow::{Context, Result, ensure};
use flame_sdk::model::Session;
use flame_testkit::wait_until;
use flame_types::CoordinatorId;
use serde_json::Value;

use super::scene::{Scene, element, through};
use super::sheet::line;
use crate::programs::{LIMIT, Running};

/// Enough that the node dies in the midst of submitting; `flmping` writes it 100,000.
const TASKS: u64 = 100_000;

pub async fn step(scene: &mut Scene) -> Result<()> {
    let leader = scene.cluster.leader().await?.id;
    let follower = scene.nodes().into_iter().map(|node| node.id).find(|id| *id != leader);
    for victim in [follower.context("there is no follower")?, leader] {
        dies(scene, victim).await.with_context(|| format!("the run talks to {victim}, the leader is {leader}"))?;
        scene.cluster.start_coordinator(victim).await?;
        scene.cluster.leader().await?;
    }
    Ok(())
}

async fn dies(scene: &mut Scene, victim: CoordinatorId) -> Result<()> {
    let nodes = scene.nodes_from(victim);
    let tasks = TASKS.to_string();
    let mut ping = Running::start("flmping", &through(&nodes, &["--perf", "-t", &tasks]))?;
    ping.says("start to run <100,000> tasks").await?;
    let said = ping.stdout();
    let id = said.strip_prefix("Session <").and_then(|rest| rest.split('>').next()).context(said.clone())?;
    let session = wait_until(LIMIT, "submits are under way", || async {
        let session = scene.client.get_session(id).await?;
        ensure!(made(&session) > 0, "there is no task yet");
        Ok(session)
    });
    let session = session.await?;
    ensure!(made(&session) < TASKS, "all is submitted already, there is nothing to break into: {session:?}");
    scene.cluster.kill_coordinator(victim).await?;

    let ended = ping.ended().await?.with_code(0)?;
    assert_eq!(line(&ended.stdout, "Succeeded")?, "100,000/100,000", "{}", ended.story());
    ensure!(ended.stderr.is_empty(), "it has nothing to complain about: {}", ended.story());
    for node in &nodes[1..] {
        let list = node.json(&["list", "-s"]).await?;
        let status = &element(&list["sessions"], id)?["status"];
        let of_other_kinds = ["pending", "running", "failed", "cancelled"].map(|kind| &status[kind]);
        assert_eq!((&status["succeed"], of_other_kinds), (&Value::from(TASKS), [&Value::from(0); 4]), "{node:?}");
        let last = node.json(&["view", "-s", id, "-t", &tasks]).await?;
        assert_eq!(last["status"]["state"], "Succeed", "{node:?}");
        node.run(&["view", "-s", id, "-t", &(TASKS + 1).to_string()]).await?.refused(3, &[])?;
    }
    Ok(())
}

/// How many tasks a session has ever got.
fn made(session: &Session) -> u64 {
    let status = &session.status;
    status.pending + status.running + status.succeed + status.failed + status.cancelled
}
