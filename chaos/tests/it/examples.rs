//! The examples of the repository and those of the SDK's documentation, on a real cluster.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_testkit::{Cache, Cluster, ClusterOptions};
use tokio::process::Command;

use crate::programs::run_with;

/// Compiling the examples of the documentation takes most of it.
const DOC_LIMIT: Duration = Duration::from_secs(240);

/// What rustdoc's tests say at their end, before how many they were.
const ALL_WELL: &str = "test result: ok. ";

#[tokio::test(flavor = "multi_thread")]
async fn examples_do_what_their_pages_say() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions::default()).await?;
    let endpoints = cluster.endpoints().join(",");
    let environment = [("FLAME_ENDPOINT", endpoints.as_str())];
    for _ in 0..2 {
        let echo = run_with(&environment, "echo-client", &["hello", "world"]).await?.with_code(0)?;
        ensure!(echo.stdout == "hello\nworld\n", "{}", echo.story());
    }
    let pi = run_with(&environment, "pi-client", &["20", "50000"]).await?.with_code(0)?;
    ensure!(pi.stdout.starts_with("pi is about 3.1"), "{}", pi.story());
    let wrong = run_with(&environment, "pi-client", &["many"]).await?;
    ensure!(wrong.code == Some(1) && wrong.stderr.contains("\\\"many\\\""), "{}", wrong.story());
    cluster.shutdown().await
}

/// In the profile, with the features and in the folder of the build that this test belongs to: nothing but the examples
/// themselves is compiled.
#[tokio::test(flavor = "multi_thread")]
async fn examples_of_the_documentation_work() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions::default()).await?;
    let endpoints = cluster.endpoints().join(",");
    // It registers the application that they use.
    run_with(&[("FLAME_ENDPOINT", &endpoints)], "echo-client", &[]).await?.with_code(0)?;
    let cache = Cache::start(&[]).await?;
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["test", "--release", "--locked", "--offline", "--workspace", "--doc"]);
    command.arg("--target-dir").arg(target_folder()?).current_dir(root()?);
    command.env("FLAME_ENDPOINT", &endpoints).env("FLAME_CACHE_ENDPOINT", cache.endpoint());
    command.env("FLAME_DOC_EXAMPLES", "run");
    command.stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(DOC_LIMIT, command.output()).await.context("the tests do not end")??;
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    let story = || format!("{said}\n{}", String::from_utf8_lossy(&ended.stderr));
    ensure!(ended.status.success(), "{}", story());
    ensure!(said.contains("src/session/handle.rs - ") && said.contains(ALL_WELL), "they ran: {}", story());
    cluster.shutdown().await
}

fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("this crate lies in the root of the workspace")
}

/// `TARGET/release/deps/it-…` is this program.
fn target_folder() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    program.ancestors().nth(3).map(Path::to_path_buf).context("this program lies in a target folder")
}
