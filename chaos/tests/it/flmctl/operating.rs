//! What operators ask and order: nodes and what they hold, cordon and drain, why a task does not run, what happened.

use anyhow::{Context, Result, ensure};
use flame_testkit::wait_until;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::scene::{Node, Scene, WORKER, echo_manifest, open, wait_for};
use super::sheet::{Table, line};
use crate::programs::{LIMIT, Running};

const APPLICATION: &str = "operated";
const SESSION: &str = "operated";

pub async fn step(scene: &Scene) -> Result<()> {
    let nodes = scene.nodes();
    let file = scene.file("operated.yaml", &echo_manifest(APPLICATION, "  max_instances: 1\n")?)?;
    nodes[0].says(&["register", "-f", &file]).await?;
    nodes[0].says(&["create", "-a", APPLICATION, "--id", SESSION]).await?;
    let gate = scene.gate(SESSION);
    let runs = scene.submit(SESSION, &wait_for(&gate)).await?;
    nodes[0].task_in("Running", SESSION, &runs).await?;
    let waits = scene.submit(SESSION, b"hello").await?;

    let mut watch = Running::start("flmctl", &nodes[1].words(&["cluster", "events", "-w"]))?;
    watch.says(&format!("application {APPLICATION} was registered")).await?;
    held(scene).await?;
    explained(scene, &runs, &waits).await?;
    cordoned(scene, &waits).await?;
    drained(scene, &gate, &waits).await?;
    watch.says(&format!("node {WORKER} is drained")).await?;
    watch.says(&format!("node {WORKER} was uncordoned")).await?;
    let ended = watch.end_by(Signal::INT).await?.with_code(130)?;
    ensure!(
        ended.stdout.matches(&format!("application {APPLICATION} was registered")).count() == 1,
        "{}",
        ended.story()
    );
    events(scene).await?;
    wrong_input(&nodes[2]).await?;

    nodes[0].says(&["close", "-s", SESSION]).await?;
    nodes[0].says(&["delete", "-s", SESSION]).await?;
    nodes[0].says(&["unregister", "-a", APPLICATION]).await.map(drop)
}

/// What is allocated stands beside what there is, the same from every node.
async fn held(scene: &Scene) -> Result<()> {
    let node = &scene.nodes()[0];
    wait_until(LIMIT, "executors of earlier sessions have left", || async {
        let view = node.json(&["node", "view", WORKER]).await?;
        ensure!(view["executors"] == 1, "{view:#}");
        Ok(())
    })
    .await?;
    let (text, list) = scene.agreed(&["node", "list"]).await?;
    let table = Table::read(&text)?;
    let row = table.row("NAME", WORKER)?;
    let figures = ["STATUS", "USE", "CPU", "MEMORY", "GPU", "EXECUTORS", "SESSIONS", "RUNNING"];
    let figures = figures.map(|column| row[column].as_str());
    assert_eq!(figures, ["Ready", "yes", "1/8", "1Gi/8Gi", "0/0", "1", "1", "1"]);
    assert_eq!(list["nodes"].as_array().map(Vec::len), Some(1), "{list:#}");

    let (text, view) = scene.agreed(&["node", "view", WORKER]).await?;
    assert_eq!((line(&text, "Attached")?, line(&text, "Tasks")?), ("yes".into(), "1 running, 0 not begun".into()));
    ensure!(text.contains(&format!("session {SESSION} of {APPLICATION}")), "{text}");
    let executor = &view["held"][0];
    assert_eq!((&executor["session_id"], &executor["running"]), (&json!(SESSION), &json!(1)), "{view:#}");
    Ok(())
}

/// One runs and one is behind it: the application may have one executor.
async fn explained(scene: &Scene, runs: &str, waits: &str) -> Result<()> {
    let (text, running) = scene.agreed(&["task", "explain", &format!("{SESSION}/{runs}")]).await?;
    assert_eq!(running["state"], "Running");
    assert_eq!((&running["node"], &running["attempt"]), (&json!(WORKER), &json!(1)));
    ensure!(line(&text, "Standing")?.contains(&format!("it runs on node {WORKER}")), "{text}");

    let (text, waiting) = scene.agreed(&["task", "explain", &format!("{SESSION}/{waits}")]).await?;
    assert_eq!(waiting["state"], "Pending");
    let kinds = kinds(&waiting["reasons"]);
    ensure!(kinds.contains(&"executors_busy") && kinds.contains(&"session_limit"), "{waiting:#}");
    let node = &waiting["nodes"][0];
    assert_eq!((&node["node"], &node["reasons"]), (&json!(WORKER), &json!([])), "it has room: {waiting:#}");
    assert_eq!(node["executors"][0]["kind"], "busy", "{waiting:#}");
    ensure!(text.contains("there is room") && text.contains("max_instances = 1"), "{text}");
    Ok(())
}

async fn cordoned(scene: &Scene, waits: &str) -> Result<()> {
    let nodes = scene.nodes();
    for node in &nodes {
        // Once or thrice is the same.
        assert_eq!(node.says(&["node", "cordon", WORKER]).await?, format!("Node <{WORKER}> was cordoned.\n"));
    }
    let (text, _) = scene.agreed(&["node", "list"]).await?;
    assert_eq!(Table::read(&text)?.row("NAME", WORKER)?["USE"], "cordoned");
    let (_, waiting) = scene.agreed(&["task", "explain", &format!("{SESSION}/{waits}")]).await?;
    assert_eq!(kinds(&waiting["nodes"][0]["reasons"]), ["cordoned"], "{waiting:#}");
    let said = nodes[1].says(&["node", "uncordon", WORKER]).await?;
    assert_eq!(said, format!("Node <{WORKER}> was uncordoned.\n"));
    Ok(())
}

/// A drain waits for what runs, and no longer; the node is used again when it is uncordoned.
async fn drained(scene: &Scene, gate: &std::path::Path, waits: &str) -> Result<()> {
    let nodes = scene.nodes();
    let impatient = nodes[0].run(&["node", "drain", WORKER, "--timeout", "1s"]).await?.with_code(4)?;
    ensure!(impatient.stderr.contains(&format!("node {WORKER} still holds something")), "{}", impatient.story());
    ensure!(impatient.stderr.contains("node uncordon"), "it says what to do: {}", impatient.story());
    let mut drain = Running::start("flmctl", &nodes[1].words(&["node", "drain", WORKER]))?;
    drain.says(&format!("Node <{WORKER}> still has 1 executor, 1 running task and 0 that have not begun.")).await?;
    let said = nodes[2].says(&["node", "drain", WORKER, "--no-wait"]).await?;
    assert_eq!(said, format!("Node <{WORKER}> is draining.\n"), "twice is the same as once");
    open(gate)?;
    let ended = drain.ended().await?.with_code(0)?;
    ensure!(ended.stdout == format!("Node <{WORKER}> was drained.\n"), "{}", ended.story());
    let (text, _) = scene.agreed(&["node", "list"]).await?;
    let row = Table::read(&text)?;
    let row = row.row("NAME", WORKER)?;
    assert_eq!(["USE", "CPU", "EXECUTORS", "RUNNING"].map(|column| row[column].as_str()), ["drained", "0/8", "0", "0"]);
    let (_, waiting) = scene.agreed(&["task", "explain", &format!("{SESSION}/{waits}")]).await?;
    ensure!(kinds(&waiting["nodes"][0]["reasons"]).contains(&"draining"), "{waiting:#}");

    nodes[0].says(&["node", "uncordon", WORKER]).await?;
    nodes[0].task_in("Succeed", SESSION, waits).await?;
    let (text, ended) = scene.agreed(&["task", "explain", &format!("{SESSION}/{waits}")]).await?;
    assert_eq!(ended["state"], "Succeed");
    ensure!(line(&text, "Standing")?.contains(&format!("it succeeded on node {WORKER}")), "{text}");
    Ok(())
}

/// Every node tells the same story, in the order in which it was.
async fn events(scene: &Scene) -> Result<()> {
    let (text, list) = scene.agreed(&["cluster", "events", "-n", "10000"]).await?;
    let all: Vec<&Value> = list["events"].as_array().with_context(|| format!("{list:#}"))?.iter().collect();
    let numbers: Vec<u64> = all.iter().filter_map(|event| event["number"].as_u64()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "{list:#}");
    assert_eq!((&list["oldest"], &list["newest"]), (&json!(1), &json!(numbers.len())));
    let position = |kind: &str, subject: &str| {
        let found = all.iter().position(|event| event["kind"] == kind && event["subject"] == subject);
        found.with_context(|| format!("no event {kind} of {subject}:\n{text}"))
    };
    ensure!(all.iter().any(|event| event["kind"] == "leader"), "{text}");
    ensure!(all.iter().any(|event| event["message"] == "the voters are 1, 2, 3"), "{text}");
    let story = [
        position("worker_attached", WORKER)?,
        position("application_registered", APPLICATION)?,
        position("node_cordoned", WORKER)?,
        position("node_uncordoned", WORKER)?,
        position("node_draining", WORKER)?,
    ];
    ensure!(story.is_sorted(), "{text}");
    let cordons = all.iter().filter(|event| event["kind"] == "node_cordoned").count();
    assert_eq!(cordons, 1, "ordered thrice, told once:\n{text}");
    let (text, last) = scene.agreed(&["cluster", "events", "-n", "3"]).await?;
    assert_eq!(last["events"].as_array().map(Vec::len), Some(3));
    assert_eq!(Table::read(&text)?.columns, ["Number", "Time", "Kind", "Subject", "Message"]);
    Ok(())
}

async fn wrong_input(node: &Node) -> Result<()> {
    for verb in ["view", "cordon", "uncordon", "drain"] {
        let unknown = node.run(&["node", verb, "nobody"]).await?;
        unknown.refused(3, &["node nobody not found", "flmctl list -n"])?;
    }
    node.run(&["node", "cordon", "../x"]).await?.refused(3, &["not found"])?;
    for task in ["operated", "operated/x", "operated/0", "/1"] {
        node.run(&["task", "explain", task]).await?.refused(2, &["SESSION/NUMBER"])?;
    }
    node.run(&["task", "explain", "nowhere/1"]).await?.refused(3, &["session nowhere not found"])?;
    node.run(&["task", "explain", &format!("{SESSION}/99")]).await?.refused(3, &["task 99 not found"])?;
    node.run(&["cluster", "events", "-n", "0"]).await?.refused(2, &["--last"])?;
    node.run(&["cluster", "events", "-n", "10001"]).await?.refused(2, &["--last"])?;
    let json = node.run(&["task", "explain", "nowhere/1", "-o", "json"]).await?.with_code(3)?;
    ensure!(json.stderr.contains("\"class\":\"not_found\""), "{}", json.story());
    wait_until(LIMIT, "the node works as before", || async {
        let list = node.json(&["node", "list"]).await?;
        ensure!(list["nodes"][0]["draining"] == false, "{list:#}");
        Ok(())
    })
    .await
}

fn kinds(reasons: &Value) -> Vec<&str> {
    reasons.as_array().into_iter().flatten().filter_map(|reason| reason["kind"].as_str()).collect()
}
