//! register, list, view, update, unregister.

use anyhow::{Result, ensure};
use serde_json::json;

use super::scene::{Node, Scene, echo_manifest, element};
use super::sheet::{Table, line};
use crate::programs::Running;

const EVERY_KEY: &str = r#"  shim: Host
  description: Answers with what it was asked.
  labels: [web, fast]
  arguments: ["--dialect", "0.6"]
  environments: { FLAME_LOG_LEVEL: DEBUG, B: two }
  working_directory: /opt/echo/
  max_instances: 3
  delay_release: 90
  schema: { input: '{"type":"object"}', output: '{"type":"string"}' }
  image: example/echo:1
  url: file:///opt/echo.tar.gz
  installer: python
"#;

pub async fn step(scene: &Scene, node: &Node) -> Result<()> {
    let (name, second) = (format!("web-{}", node.id), format!("web-{}-second", node.id));
    register(scene, node, &name, &second).await?;
    list_and_view(scene, node, &name).await?;
    update(scene, node, &name).await?;
    for name in [&name, &second] {
        assert_eq!(node.says(&["unregister", "-a", name]).await?, "", "it is silent, as published");
        node.run(&["unregister", "-a", name]).await?.refused(3, &[name, "not found", "flmctl list -a"])?;
        node.run(&["view", "-a", name]).await?.refused(3, &[name, "flmctl list -a"])?;
    }
    Ok(())
}

/// Two in one file; again it is a conflict; and from standard input.
async fn register(scene: &Scene, node: &Node, name: &str, second: &str) -> Result<()> {
    let both = format!("{}---\n{}", echo_manifest(name, EVERY_KEY)?, echo_manifest(second, "")?);
    let file = scene.file("applications.yaml", &both)?;
    assert_eq!(node.says(&["register", "-f", &file]).await?, "", "it is silent, as published");
    node.run(&["register", "-f", &file]).await?.refused(6, &[name, "already exists", "flmctl update"])?;
    node.says(&["unregister", "-a", second]).await?;
    let words = node.words(&["register", "--file", "-"]);
    Running::start_reading("flmctl", &words, &echo_manifest(second, "")?)?.ended().await?.with_code(0)?;
    let wrong = scene.file("wrong.yaml", &echo_manifest("wrong", "  working_directory: here\n")?)?;
    node.run(&["register", "-f", &wrong]).await?.refused(2, &["wrong", "absolute"])?;
    Ok(())
}

async fn list_and_view(scene: &Scene, node: &Node, name: &str) -> Result<()> {
    let (text, list) = scene.agreed(&["list", "-a"]).await?;
    for words in [["list", "--application"], ["list", "application"]] {
        assert_eq!(node.says(&words).await?, text, "{words:?}");
    }
    let table = Table::read(&text)?;
    assert_eq!(table.columns, ["Name", "State", "Shim", "Tags", "Created", "Command"]);
    let row = table.row("Name", name)?;
    assert_eq!((row["State"].as_str(), row["Shim"].as_str(), row["Tags"].as_str()), ("Enabled", "Host", "web, fast"));
    let (text, view) = scene.agreed(&["view", "-a", name]).await?;
    let spec = &view["spec"];
    assert_eq!(&view, element(&list["applications"], name)?, "list and view tell the same");
    assert_eq!(row["Command"], spec["command"].as_str().unwrap_or_default());
    assert_eq!(spec["arguments"], json!(["--dialect", "0.6"]));
    assert_eq!(spec["labels"], json!(["web", "fast"]));
    assert_eq!((&spec["max_instances"], &spec["delay_release"]), (&json!(3), &json!(90)));
    let variable = json!({ "name": "FLAME_LOG_LEVEL", "value": "DEBUG" });
    ensure!(spec["environments"].as_array().is_some_and(|all| all.contains(&variable)), "{view:#}");
    for (label, value) in [
        ("Name", name),
        ("State", "Enabled"),
        ("Description", "Answers with what it was asked."),
        ("Shim", "Host"),
        ("Image", "example/echo:1"),
        ("URL", "file:///opt/echo.tar.gz"),
        ("Installer", "python"),
        ("Labels", "web, fast"),
        ("Arguments", "--dialect 0.6"),
        ("FLAME_LOG_LEVEL", "DEBUG"),
        ("WorkingDir", "/opt/echo/"),
        ("Max Instances", "3"),
        ("Delay Release", "1m 30s"),
        ("Input", "object"),
        ("Output", "string"),
        ("Common Data", "-"),
    ] {
        assert_eq!(line(&text, label)?, value, "{label}");
    }
    Ok(())
}

async fn update(scene: &Scene, node: &Node, name: &str) -> Result<()> {
    let file = scene.file("update.yaml", &echo_manifest(name, "  description: Newer.\n")?)?;
    assert_eq!(node.says(&["update", "-a", &file]).await?, "", "it is silent, as published");
    let (text, view) = scene.agreed(&["view", "-a", name]).await?;
    assert_eq!(line(&text, "Description")?, "Newer.");
    assert_eq!(line(&text, "Labels")?, "-", "an update replaces what was there");
    assert_eq!(view["metadata"]["name"], name);
    let unknown = scene.file("unknown.yaml", &echo_manifest("nobody", "")?)?;
    node.run(&["update", "-a", &unknown]).await?.refused(3, &["nobody", "flmctl list -a"])?;
    let two = format!("{}---\n{}", echo_manifest(name, "")?, echo_manifest("nobody", "")?);
    let two = scene.file("two.yaml", &two)?;
    node.run(&["update", "-a", &two]).await?.refused(2, &["one after the other"])?;
    // A session holds on to what its application was.
    let session = format!("of-{name}");
    node.says(&["create", "-a", name, "--id", &session]).await?;
    for words in [["update", "-a", &file], ["unregister", "-a", name]] {
        node.run(&words).await?.refused(6, &[name, "open session", "flmctl list -s"])?;
    }
    node.says(&["close", "-s", &session]).await?;
    node.says(&["delete", "-s", &session]).await.map(drop)
}
