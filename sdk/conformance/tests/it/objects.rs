//! The published clients' object calls against one cache, alone: no cluster has a part in them.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use flame_conformance::clients::{Python, Rust};
use flame_conformance::scene::Client;
use flame_testkit::Cache;
use tokio::process::Command;

/// A home in which the published crate finds the cache.
fn home(cache: &Cache) -> Result<std::path::PathBuf> {
    let home = cache.folder().join("home");
    let folder = home.join(".flame");
    std::fs::create_dir_all(&folder).context("make the home of a client")?;
    let yaml = format!(
        "current-context: test\ncontexts:\n  - name: test\n    cluster:\n      endpoint: http://127.0.0.1:1\n    cache:\n      endpoint: {}\n",
        cache.endpoint()
    );
    std::fs::write(folder.join("flame.yaml"), yaml).context("write its configuration")?;
    Ok(home)
}

/// Runs a client to its good end, and gives what it printed.
async fn done(mut command: Command, cache: &Cache) -> Result<String> {
    let ended = command.kill_on_drop(true).output().await.with_context(|| format!("start {command:?}"))?;
    let text = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    println!("{text}");
    ensure!(ended.status.success(), "{}:\n{text}\n{}", ended.status, cache.tail());
    Ok(text)
}

fn rust(cache: &Cache) -> Result<impl Fn(&[&str]) -> Command> {
    let (rust, home) = (Rust::find()?, home(cache)?);
    let run = move |arguments: &[&str]| {
        let mut command = rust.objects(Path::new(&home));
        command.args(arguments);
        command
    };
    Ok(run)
}

#[tokio::test(flavor = "multi_thread")]
async fn flamepy_0_6_0_and_its_objects() -> Result<()> {
    let cache = Cache::start(&[]).await?;
    Client::start(Python::find()?.objects(cache.endpoint()))?.finish().await.with_context(|| cache.tail())
}

#[tokio::test(flavor = "multi_thread")]
async fn flame_rs_0_7_0_and_its_objects() -> Result<()> {
    let cache = Cache::start(&[]).await?;
    Client::start(rust(&cache)?(&[]))?.finish().await.with_context(|| cache.tail())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_one_client_is_read_by_the_other() -> Result<()> {
    let cache = Cache::start(&[]).await?;
    let rust = rust(&cache)?;
    let said = done(rust(&["--leave", "both/shared", "from Rust"]), &cache).await?;
    let key = said.lines().find_map(|line| line.strip_prefix("left ")).context("it says what it left")?;
    let mut python = Python::find()?.objects(cache.endpoint());
    python.args(["--read", key, "--expect", "from Rust"]);
    done(python, &cache).await?;

    let mut python = Python::find()?.objects(cache.endpoint());
    python.args(["--leave", "both/pkg/from-python", "--expect", "from Python"]);
    done(python, &cache).await?;
    done(rust(&["--read", cache.endpoint(), "both/pkg/from-python", "from Python"]), &cache).await?;
    Ok(())
}
