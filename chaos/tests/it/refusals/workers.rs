//! Workers: whose name is taken, whose folder is taken, and who belongs to another cluster.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use flame_testkit::{Binaries, Cluster, ClusterOptions, wait_until};
use rustix::process::Signal;
use serde_json::Value;

use super::files::{changed, line_of};
use crate::programs::{LIMIT, Running, run};

const USAGE: i32 = 2;
const SUPERSEDED: i32 = 3;
const ATTACHED: &str = "\"event\":\"attached\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_has_its_name_its_folders_and_its_cluster_to_itself() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions { coordinators: 1, ..ClusterOptions::default() }).await?;
    let outcome = steps(&cluster).await;
    outcome.with_context(|| cluster.tails())?;
    cluster.shutdown().await
}

async fn steps(cluster: &Cluster) -> Result<()> {
    let config = cluster.folder().join("w1/flame-cluster.yaml");
    let scratch = tempfile::tempdir()?;
    same_name(cluster, &config, scratch.path()).await.context("the same name")?;
    same_folder(&config).await.context("the same folder")?;
    other_cluster(&config, scratch.path()).await.context("another cluster")?;
    let wrong = changed(&config, "wrong.yaml", "  work_dir:", "  workdir:")?;
    let words = ["--config", wrong.to_str().context("a path of this test is no text")?];
    run("flame-worker", &words).await?.refused(USAGE, &["workdir"])?;
    Ok(())
}

/// A worker with folders of its own.
fn worker(config: &Path, name: &str, folder: &Path) -> Result<Vec<String>> {
    let folder = folder.display();
    let words = ["--config".to_owned(), config.display().to_string(), "--name".to_owned(), name.to_owned()];
    let folders = [("--work-dir", "w"), ("--socket-dir", "s"), ("--log-dir", "l")];
    let folders = folders.into_iter().flat_map(|(flag, part)| [flag.to_owned(), format!("{folder}/{part}")]);
    Ok(words.into_iter().chain(folders).collect())
}

fn start(words: &[String]) -> Result<Running> {
    Running::start("flame-worker", &words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// From the same host a newer one takes over, for it can only be a restart; from another host it is refused.
async fn same_name(cluster: &Cluster, config: &Path, scratch: &Path) -> Result<()> {
    let mut old = start(&worker(config, "twice", &scratch.join("a"))?)?;
    old.says(ATTACHED).await?;
    let mut new = start(&worker(config, "twice", &scratch.join("b"))?)?;
    new.says(ATTACHED).await?;
    let ended = old.ended().await?.with_code(SUPERSEDED)?;
    ensure!(ended.stderr.contains("a newer worker has taken over"), "{}", ended.story());
    assert_eq!(node(cluster, "twice").await?["status"]["state"], "Ready");

    match another_host() {
        Err(reason) => eprintln!("SKIPPED, this machine cannot play another host: {reason}"),
        Ok(tool) => {
            let binary = Binaries::find()?.path("flame-worker")?.display().to_string();
            let words = worker(config, "twice", &scratch.join("c"))?;
            let words: Vec<_> = [binary].into_iter().chain(words).map(|word| format!("'{word}'")).collect();
            let script = format!("hostname elsewhere && exec {}", words.join(" "));
            let ended = Running::start_tool(tool, &["--uts", "sh", "-c", &script])?.ended().await?;
            ended.complained(USAGE, &["the cluster refuses this worker", "twice"])?;
            assert_eq!(
                node(cluster, "twice").await?["spec"]["hostname"],
                node(cluster, "w1").await?["spec"]["hostname"]
            );
        }
    }
    new.end_by(Signal::TERM).await?.with_code(0)?;
    wait_until(LIMIT, "the worker that was stopped is not ready", || async {
        let node = node(cluster, "twice").await?;
        ensure!(node["status"]["state"] != "Ready", "{node:#}");
        Ok(())
    })
    .await
}

/// A tool that starts a program under another host name.
fn another_host() -> Result<&'static str, String> {
    const TOOL: &str = "/usr/bin/unshare";
    if !rustix::process::geteuid().is_root() {
        return Err("changing the host name needs root".to_owned());
    }
    if !Path::new(TOOL).is_file() {
        return Err(format!("{TOOL} is missing"));
    }
    Ok(TOOL)
}

async fn same_folder(config: &Path) -> Result<()> {
    let words = ["--config", config.to_str().context("a path of this test is no text")?, "--name", "another"];
    let ended = run("flame-worker", &words).await?;
    ended.complained(USAGE, &["w1/work belongs to a running worker", "--work-dir"]).map(drop)
}

/// Whoever names a cluster means it.
async fn other_cluster(config: &Path, scratch: &Path) -> Result<()> {
    let other = changed(config, "other-name.yaml", &line_of(config, "  name: test-")?, "  name: other")?;
    let ended = start(&worker(&other, "stranger", &scratch.join("d"))?)?.ended().await?;
    ended.complained(USAGE, &["the cluster refuses this worker", "this is cluster \"test-", "not \"other\""])?;
    Ok(())
}

async fn node(cluster: &Cluster, name: &str) -> Result<Value> {
    let endpoint = cluster.endpoints().remove(0);
    run("flmctl", &["view", "-n", name, "-o", "json", "--endpoint", &endpoint]).await?.with_code(0)?.json()
}
