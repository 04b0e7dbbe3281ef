//! A session whose tasks no node can run is accepted, and says why they wait: in an event, to people and to programs.

use anyhow::{Result, ensure};
use flame_testkit::wait_until;
use serde_json::Value;

use super::scene::{Scene, echo_manifest, element};
use crate::programs::LIMIT;

/// What a session asks for, and what its event must speak of.
const CASES: [(&str, &[&str], &str); 3] = [
    ("too-large", &["-r", "cpu=4096,mem=1g"], "large enough"),
    ("no-shim", &["-a", "wasm"], "shim Wasm"),
    ("gang", &["--batch-size", "64", "--max-instances", "64"], "64 executors at a time"),
];

pub async fn step(scene: &Scene) -> Result<()> {
    let host = scene.file("host.yaml", &echo_manifest("host", "")?)?;
    let wasm = scene.file("wasm.yaml", &echo_manifest("wasm", "  shim: Wasm\n")?)?;
    let nodes = scene.nodes();
    for file in [&host, &wasm] {
        nodes[0].says(&["register", "-f", file]).await?;
    }
    for (id, asks, why) in CASES {
        let application: &[&str] = if asks.contains(&"-a") { &[] } else { &["-a", "host"] };
        nodes[1].says(&[&["create", "--id", id], application, asks].concat()).await?;
        scene.submit(id, b"hello").await?;
        explained(scene, id, why).await?;
        nodes[2].says(&["close", "-s", id, "--force"]).await?;
        nodes[2].says(&["delete", "-s", id]).await?;
    }
    for name in ["host", "wasm"] {
        nodes[0].says(&["unregister", "-a", name]).await?;
    }
    Ok(())
}

async fn explained(scene: &Scene, id: &str, why: &str) -> Result<()> {
    let node = &scene.nodes()[0];
    wait_until(LIMIT, &format!("session {id} says why it waits"), || async {
        let view = node.json(&["view", "-s", id]).await?;
        ensure!(speaks_of(&view, why), "{view:#}");
        Ok(())
    })
    .await?;
    let (text, view) = scene.agreed(&["view", "-s", id]).await?;
    assert_eq!(view["status"]["pending"], 1, "it still waits: {view:#}");
    ensure!(text.contains(why), "{text}");
    let (_, list) = scene.agreed(&["list", "-s"]).await?;
    let listed = element(&list["sessions"], id)?;
    ensure!(speaks_of(listed, why) && listed["status"]["state"] == "Open", "{listed:#}");
    Ok(())
}

fn speaks_of(session: &Value, why: &str) -> bool {
    let events = session["status"]["events"].as_array();
    events.is_some_and(|events| events.iter().any(|event| event["message"].as_str().is_some_and(|m| m.contains(why))))
}
