//! Every list and view while a task runs and another waits: the same from every node, and the same in every format.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::scene::{Scene, WORKER, echo_manifest, element, open, wait_for};
use super::sheet::{Table, line};

/// A session of its own; `read` is also what the other steps must not touch.
const SESSION: &str = "read";
const APPLICATION: &str = "reader";

pub async fn step(scene: &Scene) -> Result<()> {
    let node = &scene.nodes()[0];
    let file = scene.file("reader.yaml", &echo_manifest(APPLICATION, "  max_instances: 1\n")?)?;
    node.says(&["register", "-f", &file]).await?;
    node.says(&["create", "-a", APPLICATION, "--id", SESSION, "-p", "4"]).await?;
    let gate = scene.gate(SESSION);
    let runs = scene.submit(SESSION, &wait_for(&gate)).await?;
    node.task_in("Running", SESSION, &runs).await?;
    scene.submit(SESSION, b"hello").await?;

    let executor = sessions_and_executors(scene).await?;
    one_session(scene).await?;
    nodes(scene).await?;
    cached(scene).await?;
    ensure!(executor["spec"]["node"] == WORKER, "{executor:#}");

    open(&gate)?;
    node.task_in("Succeed", SESSION, "2").await?;
    node.says(&["close", "-s", SESSION]).await?;
    node.says(&["delete", "-s", SESSION]).await?;
    node.says(&["unregister", "-a", APPLICATION]).await.map(drop)
}

/// There is no object cache here, and every node says so.
async fn cached(scene: &Scene) -> Result<()> {
    let (text, list) = scene.agreed(&["cache", "list"]).await?;
    let columns = Table::read(&text)?.columns;
    assert_eq!((columns[0].as_str(), &list), ("NAME", &json!({"nodes": []})));
    let (text, list) = scene.agreed(&["object", "list", "app/*"]).await?;
    let columns = Table::read(&text)?.columns;
    assert_eq!((columns[0].as_str(), &list), ("KEY", &json!({"objects": []})));
    Ok(())
}

/// The slots of a session are the executors that are bound to it.
async fn sessions_and_executors(scene: &Scene) -> Result<Value> {
    let (text, list) = scene.agreed(&["list"]).await?;
    for words in [&["list", "-s"][..], &["list", "--session"], &["list", "session"]] {
        assert_eq!(scene.agreed(words).await?, (text.clone(), list.clone()), "{words:?}");
    }
    let table = Table::read(&text)?;
    let columns = "ID State App Slots Resources Priority Pending Running Succeed Failed Created";
    assert_eq!(table.columns, columns.split(' ').collect::<Vec<_>>());
    let row = table.row("ID", SESSION)?;
    let figures = ["Slots", "Priority", "Pending", "Running", "Succeed", "Failed"].map(|column| row[column].as_str());
    assert_eq!(figures, ["1", "4", "1", "1", "0", "0"]);
    assert_eq!((row["App"].as_str(), row["Resources"].as_str()), (APPLICATION, "cpu=1,mem=1Gi,gpu=0"));
    let session = element(&list["sessions"], SESSION)?;
    assert_eq!((&session["slots"], &session["status"]["running"]), (&json!(1), &json!(1)));

    let (text, list) = scene.agreed(&["list", "-e"]).await?;
    for words in [&["list", "--executor"][..], &["list", "executor"]] {
        assert_eq!(scene.agreed(words).await?, (text.clone(), list.clone()), "{words:?}");
    }
    let table = Table::read(&text)?;
    assert_eq!(table.columns, ["ID", "State", "Session", "Node"]);
    let row = table.row("Session", SESSION)?;
    assert_eq!((row["State"].as_str(), row["Node"].as_str()), ("Bound", WORKER));
    let executor = element(&list["executors"], &row["ID"])?;
    assert_eq!((&executor["status"]["state"], &executor["status"]["session_id"]), (&json!("Bound"), &json!(SESSION)));
    Ok(executor.clone())
}

async fn one_session(scene: &Scene) -> Result<()> {
    let (text, view) = scene.agreed(&["view", "-s", SESSION]).await?;
    assert_eq!(line(&text, "Session")?, SESSION);
    assert_eq!(line(&text, "Tasks")?, "1 pending, 1 running, 0 succeed, 0 failed");
    let tasks: Vec<_> = view["tasks"].as_array().into_iter().flatten().collect();
    let states: Vec<_> = tasks.iter().map(|task| &task["status"]["state"]).collect();
    assert_eq!(states, ["Running", "Pending"], "by number: {view:#}");
    let (text, view) = scene.agreed(&["view", "-s", SESSION, "-t", "1"]).await?;
    assert_eq!((line(&text, "Application")?, line(&text, "State")?), (APPLICATION.to_owned(), "Running".to_owned()));
    assert_eq!((&view["application"], &view["spec"]["session_id"]), (&json!(APPLICATION), &json!(SESSION)));
    Ok(())
}

async fn nodes(scene: &Scene) -> Result<()> {
    let (text, list) = scene.agreed(&["list", "-n"]).await?;
    for words in [&["list", "--node"][..], &["list", "node"]] {
        assert_eq!(scene.agreed(words).await?, (text.clone(), list.clone()), "{words:?}");
    }
    let table = Table::read(&text)?;
    assert_eq!(table.columns, ["NAME", "HOSTNAME", "STATUS", "CPU", "MEMORY", "ARCH", "OS"]);
    let row = table.row("NAME", WORKER)?;
    assert_eq!(["STATUS", "CPU", "MEMORY"].map(|column| row[column].as_str()), ["Ready", "8", "8Gi"]);
    let (text, view) = scene.agreed(&["view", "-n", WORKER]).await?;
    assert_eq!(&view, element(&list["nodes"], WORKER)?, "list and view tell the same");
    assert_eq!(view["status"]["capacity"], json!({ "cpu": 8, "memory": 8_u64 << 30, "gpu": 0 }));
    for (label, column) in [("Name", "NAME"), ("Hostname", "HOSTNAME"), ("Status", "STATUS"), ("CPU", "CPU")] {
        assert_eq!(line(&text, label)?, row[column], "{label}");
    }
    for (label, column) in [("Memory", "MEMORY"), ("Arch", "ARCH"), ("OS", "OS")] {
        assert_eq!(line(&text, label)?, row[column], "{label}");
    }
    let nobody = scene.nodes()[1].run(&["view", "-n", "nobody"]).await?;
    nobody.refused(3, &["node nobody not found", "flmctl list -n"]).map(drop)
}
