//! During an election every command waits for its end and then answers rightly; without a majority it says so.

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};

use super::scene::{Node, Scene, WORKER, echo_manifest};
use super::sheet::{Table, line};
use crate::programs::Running;

const READS: [&[&str]; 6] = [
    &["list", "-a"],
    &["list", "-s"],
    &["list", "-n"],
    &["view", "-a", "kept"],
    &["view", "-s", "kept"],
    &["view", "-s", "kept", "-t", "1"],
];

const NEED_A_MAJORITY: [&[&str]; 5] = [
    &["list", "-s"],
    &["view", "-s", "kept"],
    &["create", "-a", "kept", "--id", "late"],
    &["resume", "-s", "kept"],
    &["cluster", "transfer-leader"],
];

pub async fn step(scene: &mut Scene) -> Result<()> {
    let node = scene.nodes().remove(0);
    let file = scene.file("kept.yaml", &echo_manifest("kept", "")?)?;
    node.says(&["register", "-f", &file]).await?;
    node.says(&["create", "-a", "kept", "--id", "kept"]).await?;
    scene.submit("kept", b"hello").await?;
    node.task_in("Succeed", "kept", "1").await?;
    let mut before = Vec::new();
    for words in READS {
        before.push(scene.agreed(words).await?.1);
    }
    let survivors = the_leader_dies(scene, &before).await?;
    no_majority(scene, &survivors).await
}

/// All reading verbs and a changing one, at once, from both that are left. Gives these.
async fn the_leader_dies(scene: &mut Scene, before: &[Value]) -> Result<Vec<Node>> {
    let leader = scene.cluster.leader().await?;
    let survivors: Vec<_> = scene.nodes().into_iter().filter(|node| node.id != leader.id).collect();
    let mut ping = Running::start("flmping", &survivors[0].words(&["--perf", "-t", "500", "-d", "20"]))?;
    ping.says("start to run <500> tasks").await?;
    scene.cluster.kill_coordinator(leader.id).await?;
    let asked = survivors.iter().map(|node| async move {
        let id = format!("made-{}", node.id);
        let create = ["create", "-a", "kept", "--id", &id, "--timeout", "30s"];
        let reads = READS.iter().map(|words| async move {
            let words = [*words, &["-o", "json", "--timeout", "30s"]].concat();
            node.run(&words).await?.with_code(0)?.json()
        });
        let (said, answers) = futures::try_join!(node.says(&create), try_join_all(reads))?;
        assert_eq!(said, format!("Session <{id}> was created.\n"));
        anyhow::Ok(answers)
    });
    for answers in try_join_all(asked).await? {
        for ((words, answer), before) in READS.iter().zip(answers).zip(before) {
            assert_eq!(steady(answer), steady(before.clone()), "{words:?}");
        }
    }
    ensure!(scene.cluster.leader().await?.id != leader.id, "the dead lead");
    let pinged = ping.ended().await?.with_code(0)?;
    assert_eq!(line(&pinged.stdout, "Succeeded")?, "500/500", "{}", pinged.story());
    for node in &survivors {
        let list = node.json(&["list", "-s"]).await?;
        let by_survivors: Vec<_> = survivors.iter().map(|node| format!("made-{}", node.id)).collect();
        assert_eq!(made(&list["sessions"]), by_survivors, "what was acknowledged is there");
    }
    degraded(&survivors[0], &leader.id.to_string()).await?;
    Ok(survivors)
}

/// What neither an election nor the sessions that are made meanwhile change. Until the new leader has heard of a worker,
/// nobody can say whether it is ready.
fn steady(mut answer: Value) -> Value {
    if let Some(sessions) = answer.get_mut("sessions").and_then(Value::as_array_mut) {
        sessions.retain(|session| session["metadata"]["id"] == "kept");
        // An idle executor is given to whoever needs it.
        sessions.iter_mut().for_each(|session| drop(session["slots"].take()));
    }
    for node in answer.get_mut("nodes").and_then(Value::as_array_mut).into_iter().flatten() {
        let state = node["status"]["state"].take();
        assert!(state == "Ready" || state == "Unknown", "{state}: {node:#}");
        node["status"]["last_heartbeat_time"].take();
    }
    answer
}

fn made(sessions: &Value) -> Vec<&str> {
    let sessions = sessions.as_array().into_iter().flatten();
    let ids = sessions.filter_map(|session| session["metadata"]["id"].as_str());
    let mut made: Vec<_> = ids.filter(|id| id.starts_with("made-")).collect();
    made.sort_unstable();
    made
}

async fn degraded(node: &Node, dead: &str) -> Result<()> {
    let text = node.says(&["cluster", "status"]).await?;
    let table = Table::read(&text)?;
    assert_eq!(table.row("ID", dead)?["Role"], "unreachable");
    ensure!(text.contains("degraded (2 of 3 members serve, leader "), "{text}");
    ensure!(text.contains("; it can lose no more members.\n"), "{text}");
    ensure!(text.contains(&format!("\n   coordinator {dead} does not answer: ")), "it says why: {text}");
    Ok(())
}

/// One of three: it answers, with 5 and with what to do; nothing is lost when the others are back.
async fn no_majority(scene: &mut Scene, survivors: &[Node]) -> Result<()> {
    let [last, other] = survivors else { anyhow::bail!("there are {} survivors", survivors.len()) };
    scene.cluster.kill_coordinator(other.id).await?;
    let asked = NEED_A_MAJORITY.iter().map(|words| async move {
        let words = [*words, &["--timeout", "1s"]].concat();
        last.run(&words).await?.refused(5, &["\n  "])
    });
    try_join_all(asked).await?;
    let status = last.run(&["cluster", "status", "-o", "json"]).await?.with_code(5)?;
    let json = status.json()?;
    assert_eq!((&json["verdict"], &json["can_lose"]), (&json!("no_quorum"), &json!(0)));
    ensure!(status.stderr.contains("no quorum"), "{}", status.story());
    let members = last.json(&["cluster", "members"]).await?;
    assert_eq!(members["members"].as_array().map(Vec::len), Some(3), "its own knowledge needs no majority");

    scene.cluster.start_all_coordinators().await?;
    scene.cluster.leader().await?;
    let view = last.json(&["view", "-s", "kept", "-t", "1"]).await?;
    assert_eq!(view["status"]["state"], "Succeed", "what was acknowledged is there: {view:#}");
    let again = scene.submit("kept", b"again").await?;
    let view = other.task_in("Succeed", "kept", &again).await.context("the cluster works again")?;
    ensure!(view["spec"]["output"] == view["spec"]["input"], "{view:#}");
    let worker = other.json(&["view", "-n", WORKER]).await?;
    assert_eq!(worker["status"]["state"], "Ready");
    nobody_is_hectic(scene)
}

/// A peer that is away is tried again after pauses: without them a log has tens of thousands of lines by now.
fn nobody_is_hectic(scene: &Scene) -> Result<()> {
    const LINES_MAX: usize = 5_000;
    for id in scene.cluster.coordinator_ids() {
        let path = scene.cluster.folder().join(format!("c{id}/coordinator-{id}.log"));
        let lines = std::fs::read_to_string(&path)?.lines().count();
        ensure!((1..LINES_MAX).contains(&lines), "{} has {lines} lines", path.display());
    }
    Ok(())
}
