//! Our own Python package: its own tests, its types, and the checks of the published one with ours in its place.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_conformance::ours::Flamepy;
use flame_testkit::{Binaries, Cluster, ClusterOptions};
use tokio::process::Command;
use tokio::time::timeout;

/// For all tests of one kind, however busy the machine is.
const LIMIT: Duration = Duration::from_secs(280);

/// Runs a tool to its good end.
async fn passes(command: &mut Command) -> Result<()> {
    let ended = timeout(LIMIT, command.kill_on_drop(true).output()).await.context("it does not end")?;
    let ended = ended.with_context(|| format!("start {command:?}"))?;
    let story = [ended.stdout, ended.stderr].concat();
    let story = String::from_utf8_lossy(&story);
    println!("{story}");
    ensure!(ended.status.success(), "{}:\n{story}", ended.status);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn its_types_and_its_style_hold() -> Result<()> {
    let flamepy = Flamepy::install().await?;
    passes(flamepy.in_sources().args(["-m", "mypy", "--cache-dir", "/dev/null"])).await?;
    passes(flamepy.in_sources().args(["-m", "ruff", "check", "--no-cache", "src", "tests"])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_tests_pass_without_a_cluster() -> Result<()> {
    let flamepy = Flamepy::install().await?;
    passes(flamepy.pytest("tests").arg("--ignore=tests/live")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_tests_and_the_examples_pass_on_a_cluster() -> Result<()> {
    let flamepy = Flamepy::install().await?;
    let home = tempfile::tempdir()?;
    let environment = vec![Binaries::find()?.furnish(home.path())?];
    let options =
        ClusterOptions { environment, worker_resources: "cpu=16,mem=32g".to_owned(), ..ClusterOptions::default() };
    let cluster = Cluster::start(options).await?;
    let mut tests = flamepy.pytest("tests/live");
    tests.env("FLAME_TEST_ENDPOINT", cluster.endpoints().join(","));
    tests.env("FLAME_TEST_FLMCTL", Binaries::find()?.path("flmctl")?);
    passes(&mut tests).await.with_context(|| cluster.tails())?;
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_flamepy_0_6_0_passes_with_ours_in_its_place() -> Result<()> {
    let flamepy = Flamepy::install().await?;
    super::suite(|endpoint| flamepy.suite("suite", endpoint)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn its_runs_survive_the_death_of_the_leader() -> Result<()> {
    let flamepy = Flamepy::install().await?;
    super::failover(|endpoint| flamepy.suite("failover", endpoint)).await
}
