//! Runner on three coordinators, a worker and an object cache: the published package and ours, as client and as service.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_conformance::clients::Python;
use flame_conformance::ours::Flamepy;
use flame_conformance::scene::follower;
use flame_conformance::with_cache::WithCache;
use flame_testkit::Binaries;
use tokio::process::Command;
use tokio::time::timeout;

/// For all calls of one program, however busy the machine is.
const LIMIT: Duration = Duration::from_secs(240);

/// Runs a client against a follower to its good end, and gives what it printed.
async fn done(scene: &WithCache, command: &mut Command) -> Result<String> {
    let (follower, _) = follower(&scene.cluster).await?;
    scene.tell(command, &scene.cluster.endpoint(follower));
    let ended = timeout(LIMIT, command.kill_on_drop(true).output()).await.context("it does not end")?;
    let ended = ended.with_context(|| format!("start {command:?}"))?;
    let text = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    println!("{text}");
    ensure!(ended.status.success(), "{}:\n{text}", ended.status);
    Ok(text)
}

/// The acceptance command, with services of this environment.
async fn acceptance(mut command: Command, services: &Path) -> Result<()> {
    let scene = WithCache::start(services).await?;
    let story = done(&scene, command.args(["--tasks", "8", "--json"])).await.with_context(|| scene.tails())?;
    let told = r#""function_results": [0, 1, 4, 9, 16, 25, 36, 49]"#;
    ensure!(story.contains(told), "{told} is missing in {story}");
    scene.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn flamepy_0_6_0_and_its_runner() -> Result<()> {
    let published = Python::find()?;
    acceptance(published.runner_e2e(), published.environment()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runner_of_flamepy_0_6_0_with_services_of_ours() -> Result<()> {
    let flamepy = Flamepy::install().await?;
    acceptance(Python::find()?.runner_e2e(), flamepy.environment()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn our_runner_its_guide_and_its_examples() -> Result<()> {
    let flamepy = Flamepy::install().await?;
    let scene = WithCache::start(flamepy.environment()).await?;
    let mut tests = flamepy.pytest("tests/live/test_live_runner.py");
    tests.env("FLAME_TEST_ENDPOINT", scene.cluster.endpoints().join(","));
    tests.env("FLAME_TEST_CACHE_ENDPOINT", scene.cache());
    tests.env("FLAME_TEST_FLMCTL", Binaries::find()?.path("flmctl")?);
    let story = done(&scene, &mut tests).await.with_context(|| scene.tails())?;
    ensure!(!story.contains("skipped"), "a test was skipped");
    scene.shutdown().await
}
