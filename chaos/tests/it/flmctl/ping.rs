//! `flmping` against a follower, and its service, which must answer any bytes.

use anyhow::{Context, Result, ensure};
use flame_sdk::SessionOptions;
use serde_json::json;

use super::scene::{Node, Scene};
use super::sheet::{Table, line};
use crate::programs::Ended;

pub async fn step(scene: &Scene) -> Result<()> {
    let leader = scene.cluster.leader().await?.id;
    let follower = scene.nodes().into_iter().find(|node| node.id != leader).context("there is no follower")?;
    a_row_for_each(&follower).await?;
    a_summary(&follower).await?;
    failures(&follower).await?;
    any_bytes(scene, &follower).await
}

/// The session that a run made, which must be closed by now.
async fn closed_session(node: &Node, ended: &Ended) -> Result<String> {
    let id = ended.stdout.strip_prefix("Session <").and_then(|rest| rest.split('>').next());
    let id = id.with_context(|| ended.story())?.to_owned();
    let view = node.json(&["view", "-s", &id]).await?;
    ensure!(view["status"]["state"] == "Closed", "it leaves its session behind: {view:#}");
    Ok(id)
}

async fn a_row_for_each(node: &Node) -> Result<()> {
    let words = ["-t", "5", "-c", "common", "-d", "2", "-m", "1m", "-P", "3", "-r", "cpu=1,mem=64m"];
    let ended = node.ping(&words).await?.with_code(0)?;
    let id = closed_session(node, &ended).await?;
    let mut lines = ended.stdout.lines();
    let first = lines.next().unwrap_or_default();
    ensure!(first.starts_with(&format!("Session <{id}> was created in <")), "{first}");
    ensure!(first.ends_with(" ms>, start to run <5> tasks in the session:"), "{first}");
    let last = ended.stdout.lines().last().unwrap_or_default();
    ensure!(last.starts_with("<5> tasks was completed in <") && last.ends_with(" ms>."), "{last}");
    let rows: Vec<_> = lines.filter(|line| *line != last).collect();
    let table = Table::read(&rows.join("\n"))?;
    assert_eq!(table.columns, ["Session", "Task", "State", "Output"]);
    assert_eq!(table.column("Task"), ["1", "2", "3", "4", "5"]);
    for row in &table.rows {
        assert_eq!((row["Session"].as_str(), row["State"].as_str()), (id.as_str(), "Succeed"));
        let output = &row["Output"];
        ensure!(output.starts_with("Completed on <"), "{output}");
        ensure!(output.ends_with("> in <2> milliseconds with <1Mi> memory"), "{output}");
    }
    let view = node.json(&["view", "-s", &id]).await?;
    assert_eq!((&view["spec"]["priority"], &view["spec"]["common_data"]), (&json!(3), &json!("Y29tbW9u")));
    Ok(())
}

async fn a_summary(node: &Node) -> Result<()> {
    let ended = node.ping(&["--perf", "--task-num", "200"]).await?.with_code(0)?;
    closed_session(node, &ended).await?;
    ensure!(ended.stdout.contains(" BENCHMARK RESULTS\n"), "{}", ended.story());
    assert_eq!((line(&ended.stdout, "Succeeded")?, line(&ended.stdout, "Failed")?), ("200/200".into(), "0".into()));
    ensure!(line(&ended.stdout, "Duration")?.ends_with(" s"), "{}", ended.story());
    ensure!(line(&ended.stdout, "Throughput")?.ends_with(" tasks/sec"), "{}", ended.story());
    ensure!(!ended.stdout.contains("Output"), "no row for each task: {}", ended.story());
    Ok(())
}

/// Tasks that fail end it with 1, a clock that runs out with 4.
async fn failures(node: &Node) -> Result<()> {
    let ended = node.ping(&["-t", "2", "-m", "1000000g"]).await?.with_code(1)?;
    closed_session(node, &ended).await?;
    ensure!(ended.stdout.contains("Failed") && ended.stderr.contains("2 of 2 tasks failed"), "{}", ended.story());
    let ended = node.ping(&["-t", "1", "-d", "2000", "--timeout", "300ms"]).await?.with_code(4)?;
    closed_session(node, &ended).await?;
    ensure!(ended.stderr.contains("did not end in time"), "{}", ended.story());
    node.ping(&["-m", "much"]).await?.refused(2, &["512m"])?;
    Ok(())
}

async fn any_bytes(scene: &Scene, node: &Node) -> Result<()> {
    let session = scene.client.create_session(&SessionOptions::new("flmping")).await?.metadata.id;
    for input in [&b"\xff\x00 not JSON"[..], b"[1, 2]", b"{\"duration\": \"long\"}", b""] {
        let task = scene.submit(&session, input).await?;
        let view = node.task_in("Succeed", &session, &task).await?;
        ensure!(view["spec"]["output"].as_str().is_some_and(|output| !output.is_empty()), "{input:?}: {view:#}");
    }
    let view = node.json(&["view", "-s", &session, "-t", "1"]).await?;
    assert_eq!(view["spec"]["input"], "/wAgbm90IEpTT04=", "the bytes are kept as they are");
    node.says(&["close", "-s", &session]).await?;
    node.says(&["delete", "-s", &session]).await.map(drop)
}
