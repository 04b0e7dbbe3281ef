//! Our own Python package: its own tests, its types, and the checks of the published one with ours in its place.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_conformance::clients::Python;
use flame_conformance::ours::Flamepy;
use flame_testkit::{Binaries, Cache, Cluster, ClusterOptions};
use tokio::process::Command;
use tokio::time::timeout;

/// For all tests of one kind, however busy the machine is.
const LIMIT: Duration = Duration::from_secs(280);

/// Runs a tool to its good end, and gives what it printed.
async fn passes(command: &mut Command) -> Result<String> {
    let ended = timeout(LIMIT, command.kill_on_drop(true).output()).await.context("it does not end")?;
    let ended = ended.with_context(|| format!("start {command:?}"))?;
    let printed = String::from_utf8_lossy(&ended.stdout).into_owned();
    let story = [ended.stdout, ended.stderr].concat();
    let story = String::from_utf8_lossy(&story);
    println!("{story}");
    ensure!(ended.status.success(), "{}:\n{story}", ended.status);
    Ok(printed)
}

#[tokio::test(flavor = "multi_thread")]
async fn its_types_and_its_style_hold() -> Result<()> {
    let flamepy = Flamepy::install().await?;
    passes(flamepy.in_sources().args(["-m", "mypy", "--cache-dir", "/dev/null"])).await?;
    passes(flamepy.in_sources().args(["-m", "ruff", "check", "--no-cache", "src", "tests"])).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_tests_pass_without_a_cluster() -> Result<()> {
    let flamepy = Flamepy::install().await?;
    let mut tests = flamepy.pytest("tests");
    // Some have the published package as their client.
    tests.arg("--ignore=tests/live").env("FLAME_VENV", Python::find()?.environment());
    passes(&mut tests).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_shares_memory_with_a_cache_on_its_host() -> Result<()> {
    let flamepy = Flamepy::install().await?;
    let cache = Cache::start(&["--arena", "64m"]).await?;
    let mut tests = flamepy.pytest("tests/live/test_live_same_host.py");
    tests.env("FLAME_TEST_CACHE_ENDPOINT", cache.endpoint());
    tests.env("FLAME_TEST_CACHE_METRICS", cache.ready()["metrics"].as_str().context("it has metrics")?);
    passes(&mut tests).await.with_context(|| cache.tail())?;
    Ok(())
}

/// A value with large buffers, put by one package and read by the other.
const VALUE: &str = "import sys, pyarrow, flamepy.core as f
value = [pyarrow.array(range(100_000)), {'x': pyarrow.py_buffer(b'y' * 200_000)}, b'z' * 100_000]
";
const PUT: &str = "print(f.put_object('both/shared', value).encode().hex())";
const GET: &str = "got = f.get_object(f.ObjectRef.decode(bytes.fromhex(sys.argv[1])))
assert got[0].equals(value[0]) and got[1]['x'].equals(value[1]['x']) and got[2:] == value[2:], got";

#[tokio::test(flavor = "multi_thread")]
async fn what_it_puts_through_shared_memory_the_published_package_reads() -> Result<()> {
    let flamepy = Flamepy::install().await?;
    let published = Python::find()?;
    let cache = Cache::start(&[]).await?;
    let (put, get) = (format!("{VALUE}{PUT}"), format!("{VALUE}{GET}"));
    let ours = |code: &str| {
        let mut command = flamepy.python();
        command.args(["-c", code]).env("FLAME_CACHE_ENDPOINT", cache.endpoint()).env("HOME", cache.folder());
        command
    };
    let theirs = |code: &str| {
        let mut command = published.code(code, cache.endpoint());
        command.env("HOME", cache.folder());
        command
    };
    let reference = passes(&mut ours(&put)).await?;
    passes(theirs(&get).arg(reference.trim())).await?;
    passes(ours(&get).arg(reference.trim())).await?;
    let reference = passes(&mut theirs(&put)).await?;
    passes(ours(&get).arg(reference.trim())).await?;
    Ok(())
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
    // Those have an object cache, in `runner.rs`.
    tests.arg("--ignore=tests/live/test_live_runner.py");
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
