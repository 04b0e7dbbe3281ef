//! What users see of tasks, and cancelling them; closing with and without force.

use anyhow::{Context, Result, ensure};
use flame_testkit::wait_until;
use serde_json::{Value, json};

use super::scene::{Node, Scene, WORKER, echo_manifest, open, wait_for};
use super::sheet::line;
use crate::programs::LIMIT;

pub async fn step(scene: &Scene, node: &Node) -> Result<()> {
    let application = format!("busy-{}", node.id);
    let file = scene.file("busy.yaml", &echo_manifest(&application, "  max_instances: 1\n")?)?;
    node.says(&["register", "-f", &file]).await?;
    a_session_at_work(scene, node, &application).await?;
    force(scene, node, &application).await?;
    node.says(&["unregister", "-a", &application]).await.map(drop)
}

/// One task runs; of those behind it one is cancelled, and one waits for the end of a suspension.
async fn a_session_at_work(scene: &Scene, node: &Node, application: &str) -> Result<()> {
    let (id, gate) = (format!("work-{}", node.id), scene.gate(&format!("work-{}", node.id)));
    let id = id.as_str();
    let policy = ["--retry", "failed=2,failed_backoff=1ms", "--task-timeout", "10m"];
    node.says(&[&["create", "-a", application, "--id", id][..], &policy[..]].concat()).await?;
    let first = scene.submit(id, &wait_for(&gate)).await?;
    let view = node.task_in("Running", id, &first).await?;
    assert_eq!(messages(&view), ["Task was created with state <Pending>".to_owned(), running_text()]);
    let waits = scene.submit(id, b"hello").await?;
    let unwanted = scene.submit(id, b"never").await?;

    node.run(&["close", "-s", id]).await?.refused(6, &["running tasks", "--force"])?;
    let cancel = ["cancel", "-s", id, "-t", &unwanted];
    assert_eq!(node.says(&cancel).await?, format!("Task <{unwanted}> of session <{id}> was cancelled.\n"));
    let view = node.task_in("Cancelled", id, &unwanted).await?;
    ensure!(messages(&view).iter().all(|text| !text.starts_with("Running")), "it never ran: {view:#}");
    node.run(&cancel).await?.refused(6, &[&unwanted])?;
    node.run(&["cancel", "-s", id, "-t", "99"]).await?.refused(3, &["task 99 not found", id])?;
    node.run(&["cancel", "-s", "nobody", "-t", "1"]).await?.refused(3, &["session nobody not found"])?;
    node.run(&["view", "-s", id, "-t", "99"]).await?.refused(3, &["task 99 not found", id])?;

    node.says(&["suspend", "-s", id]).await?;
    open(&gate)?;
    let ended = node.task_in("Succeed", id, &first).await?;
    let view = node.json(&["view", "-s", id, "-t", &waits]).await?;
    assert_eq!(view["status"]["state"], "Pending", "a suspended session starts nothing: {view:#}");
    node.says(&["resume", "-s", id]).await?;
    let after = node.task_in("Succeed", id, &waits).await?;
    ensure!(started(&after)? >= ended["status"]["completion_time"].as_i64().unwrap_or(i64::MAX), "{after:#}");
    a_finished_task(scene, id, &waits).await?;
    failed(scene, node, id).await?;
    node.says(&["close", "-s", id]).await?;
    node.says(&["delete", "-s", id]).await.map(drop)
}

/// Its story, as table and as JSON.
async fn a_finished_task(scene: &Scene, session: &str, task: &str) -> Result<()> {
    let (text, view) = scene.agreed(&["view", "-s", session, "-t", task]).await?;
    assert_eq!((line(&text, "Task")?, line(&text, "Session")?), (task.to_owned(), session.to_owned()));
    assert_eq!(line(&text, "State")?, "Succeed");
    assert_eq!((&view["spec"]["input"], &view["spec"]["output"]), (&json!("aGVsbG8="), &json!("aGVsbG8=")));
    let done = format!("Task completed successfully on host <{WORKER}>.");
    assert_eq!(messages(&view), ["Task was created with state <Pending>".to_owned(), running_text(), done.clone()]);
    for shown in [format!("{} (1)", running_text()), format!("{done} (2)")] {
        ensure!(text.lines().any(|line| line.ends_with(&format!(": {shown}"))), "{shown:?} is not in:\n{text}");
    }
    Ok(())
}

/// The reason of a failure is what its service said.
async fn failed(scene: &Scene, node: &Node, session: &str) -> Result<()> {
    let task = scene.submit(session, b"fail no such page").await?;
    let view = node.task_in("Failed", session, &task).await?;
    let event = view["status"]["events"].as_array().and_then(|events| events.last());
    let event = event.with_context(|| format!("{view:#}"))?;
    assert_eq!((&event["code"], &event["message"]), (&json!(3), &json!("no such page")));
    let attempts = view["status"]["attempts"].as_array().with_context(|| format!("{view:#}"))?;
    let told: Vec<_> = attempts.iter().map(|attempt| (&attempt["number"], &attempt["cause"])).collect();
    assert_eq!(told, [(&json!(1), &json!("failed")), (&json!(2), &json!("failed"))]);
    let (text, _) = scene.agreed(&["view", "-s", session, "-t", &task]).await?;
    let second = text.lines().last().unwrap_or_default();
    ensure!(second.starts_with(&format!("  2 on {WORKER}, ")) && second.ends_with(": no such page"), "{text}");
    let (text, _) = scene.agreed(&["view", "-s", session]).await?;
    assert_eq!(line(&text, "Tasks")?, "0 pending, 0 running, 2 succeed, 1 failed, 1 cancelled");
    Ok(())
}

/// Closing with force ends what runs and what waits.
async fn force(scene: &Scene, node: &Node, application: &str) -> Result<()> {
    let (id, gate) = (format!("force-{}", node.id), scene.gate(&format!("force-{}", node.id)));
    let id = id.as_str();
    node.says(&["create", "-a", application, "--id", id]).await?;
    let runs = scene.submit(id, &wait_for(&gate)).await?;
    node.task_in("Running", id, &runs).await?;
    let waits = scene.submit(id, b"never").await?;
    assert_eq!(node.says(&["close", "-s", id, "--force"]).await?, format!("Session <{id}> was closed.\n"));
    wait_until(LIMIT, "both tasks are cancelled", || async {
        let view = node.json(&["view", "-s", id]).await?;
        assert_eq!(view["status"]["state"], "Closed");
        ensure!(view["status"]["cancelled"] == 2 && view["status"]["running"] == 0, "{view:#}");
        Ok(())
    })
    .await?;
    // The service need not be killed: it hears of it and ends by itself.
    open(&gate)?;
    for task in [&runs, &waits] {
        node.task_in("Cancelled", id, task).await?;
    }
    node.says(&["delete", "-s", id]).await.map(drop)
}

fn running_text() -> String {
    format!("Running task on host <{WORKER}>.")
}

fn messages(view: &Value) -> Vec<String> {
    let events = view["status"]["events"].as_array().cloned().unwrap_or_default();
    events.iter().map(|event| event["message"].as_str().unwrap_or_default().to_owned()).collect()
}

fn started(view: &Value) -> Result<i64> {
    let events = view["status"]["events"].as_array().with_context(|| format!("{view:#}"))?;
    let running = events.iter().find(|event| event["code"] == 1).with_context(|| format!("{view:#}"))?;
    running["creation_time"].as_i64().with_context(|| format!("{view:#}"))
}
