//! create, suspend, resume, close, delete.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::scene::{Node, Scene, echo_manifest, element};
use super::sheet::{Table, line};

pub async fn step(scene: &Scene, node: &Node) -> Result<()> {
    let application = format!("quiet-{}", node.id);
    let file = scene.file("quiet.yaml", &echo_manifest(&application, "")?)?;
    node.says(&["register", "-f", &file]).await?;
    create(scene, node, &application).await?;
    refusals(node, &application).await?;
    suspend_and_resume(scene, node, &application).await?;
    close_and_delete(node, &application).await?;
    node.says(&["unregister", "-a", &application]).await.map(drop)
}

async fn create(scene: &Scene, node: &Node, application: &str) -> Result<()> {
    let said = node.says(&["create", "-a", application]).await?;
    let id = said.strip_prefix("Session <").and_then(|rest| rest.strip_suffix("> was created.\n"));
    let id = id.with_context(|| said.clone())?;
    let letters = id.strip_prefix(&format!("{application}-")).with_context(|| said.clone())?;
    ensure!(letters.len() == 6 && letters.chars().all(|c| c.is_ascii_alphanumeric()), "{said}");
    let plain = node.json(&["view", "-s", id]).await?;
    let one_of_the_cluster = json!({ "cpu": 1, "memory": 1_u64 << 30, "gpu": 0 });
    assert_eq!(plain["spec"]["resreq"], one_of_the_cluster, "who asks for nothing gets the default");

    let full = format!("full-{}", node.id);
    let words = ["create", "--app", application, "--id", &full, "-p", "7", "-r", "cpu=2,mem=512m,gpu=0"];
    let limits = ["--min-instances", "0", "--max-instances", "6", "--batch-size", "3"];
    assert_eq!(node.says(&[&words[..], &limits].concat()).await?, format!("Session <{full}> was created.\n"));
    let (text, view) = scene.agreed(&["view", "-s", &full]).await?;
    let spec = &view["spec"];
    assert_eq!(spec["resreq"], json!({ "cpu": 2, "memory": 512 << 20, "gpu": 0 }));
    let figures = [&spec["priority"], &spec["min_instances"], &spec["max_instances"], &spec["batch_size"]];
    assert_eq!(figures, [&json!(7), &json!(0), &json!(6), &json!(3)]);
    assert_eq!(line(&text, "Resources")?, "cpu=2,mem=512Mi,gpu=0");
    assert_eq!((line(&text, "Application")?, line(&text, "State")?), (application.to_owned(), "Open".to_owned()));
    assert_eq!(line(&text, "Tasks")?, "0 pending, 0 running, 0 succeed, 0 failed");
    for id in [id, &full] {
        node.says(&["close", "--session", id]).await?;
        node.says(&["delete", "-s", id]).await?;
    }
    Ok(())
}

/// What can never be is a usage error; what is not there, is not found.
async fn refusals(node: &Node, application: &str) -> Result<()> {
    node.run(&["create", "-a", "nobody"]).await?.refused(3, &["application nobody not found", "flmctl list -a"])?;
    for (words, says) in [
        (["--id", "../x"], "session id"),
        (["--max-instances", "0"], "max_instances"),
        (["--resreq", "cpu=many"], "cpu"),
    ] {
        let words = [&["create", "-a", application], &words[..]].concat();
        node.run(&words).await?.refused(2, &[says])?;
    }
    let below = ["create", "-a", application, "--min-instances", "3", "--max-instances", "2"];
    node.run(&below).await?.refused(2, &["max_instances"])?;
    for verb in ["close", "suspend", "resume", "delete", "view"] {
        node.run(&[verb, "-s", "nobody"]).await?.refused(3, &["session nobody not found", "flmctl list -s"])?;
    }
    node.run(&["close", "-s", "nobody", "--force"]).await?.refused(3, &["session nobody not found"])?;
    let words = ["view", "-s", "nobody", "-o", "json"];
    let ended = node.run(&words).await?.refused(3, &["session nobody not found"])?;
    let error: serde_json::Value = serde_json::from_str(&ended.stderr).with_context(|| ended.story())?;
    assert_eq!((&error["error"]["class"], &error["error"]["exit_code"]), (&json!("not_found"), &json!(3)));
    Ok(())
}

async fn suspend_and_resume(scene: &Scene, node: &Node, application: &str) -> Result<()> {
    let id = format!("pause-{}", node.id);
    node.says(&["create", "-a", application, "--id", &id]).await?;
    node.run(&["create", "-a", application, "--id", &id]).await?.refused(6, &["already exists"])?;
    for (verb, state) in [("suspend", "Suspended"), ("resume", "Open")] {
        // Twice is as good as once.
        for _ in 0..2 {
            assert_eq!(node.says(&[verb, "-s", &id]).await?, format!("Session <{id}> was {}.\n", past(verb)));
        }
        let (text, list) = scene.agreed(&["list", "-s"]).await?;
        assert_eq!(element(&list["sessions"], &id)?["status"]["state"], state);
        assert_eq!(Table::read(&text)?.row("ID", &id)?["State"], state);
    }
    node.says(&["close", "-s", &id]).await?;
    node.says(&["delete", "-s", &id]).await.map(drop)
}

fn past(verb: &str) -> &str {
    if verb == "resume" { "resumed" } else { "suspended" }
}

async fn close_and_delete(node: &Node, application: &str) -> Result<()> {
    let id = format!("end-{}", node.id);
    node.says(&["create", "-a", application, "--id", &id]).await?;
    node.run(&["delete", "-s", &id]).await?.refused(6, &[&id, "is open", "flmctl close"])?;
    for _ in 0..2 {
        assert_eq!(node.says(&["close", "-s", &id]).await?, format!("Session <{id}> was closed.\n"));
    }
    let view = node.json(&["view", "-s", &id]).await?;
    assert_eq!(view["status"]["state"], "Closed");
    ensure!(view["status"]["completion_time"].is_i64(), "{view:#}");
    for verb in ["suspend", "resume"] {
        node.run(&[verb, "-s", &id]).await?.refused(6, &[&id, "not open"])?;
    }
    node.run(&["create", "-a", application, "--id", &id]).await?.refused(6, &["already exists"])?;
    assert_eq!(node.says(&["delete", "-s", &id]).await?, format!("Session <{id}> was deleted.\n"));
    node.run(&["delete", "-s", &id]).await?.refused(3, &[&id, "not found"]).map(drop)
}
