//! `flmctl deploy` and what workers make of it: a cluster, an object cache, and a service that comes out of a package.

mod cache;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use cache::Cache;
use flame_sdk::{Connection, Endpoints, Options};
use flame_testkit::{Binaries, Cluster, ClusterOptions, wait_until};
use tempfile::TempDir;

use crate::programs::{Ended, LIMIT, run_with};

/// A cluster, a cache, and a folder that is deployed.
struct Scene {
    cluster: Cluster,
    cache: Cache,
    endpoint: String,
    client: Connection,
    folder: TempDir,
}

impl Scene {
    async fn start() -> Result<Self> {
        let cluster = Cluster::start(ClusterOptions::default()).await?;
        let cache = Cache::default();
        let endpoint = cache.serve().await?;
        let client = Connection::open(Endpoints::parse(&cluster.endpoints())?, Options::default())?;
        Ok(Self { cluster, cache, endpoint, client, folder: tempfile::tempdir()? })
    }

    /// `flmctl` with these words; it knows cluster and cache.
    async fn flmctl(&self, words: &[&str]) -> Result<Ended> {
        let endpoints = self.cluster.endpoints().join(",");
        let environment = [("FLAME_ENDPOINT", endpoints.as_str()), ("FLAME_CACHE_ENDPOINT", self.endpoint.as_str())];
        run_with(&environment, "flmctl", words).await
    }

    /// Deploys the folder as `app`, with a file that makes this content another one.
    async fn deploy(&self, version: &str, more: &[&str]) -> Result<Ended> {
        fs::write(self.folder.path().join("version"), version)?;
        let folder = self.folder.path().display().to_string();
        self.flmctl(&[&["deploy", "--name", "app", "--application", &folder], more].concat()).await
    }

    /// A program of the folder.
    fn program(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().context("it has a folder")?)?;
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).context("make it a program")
    }

    /// Runs a task in a session of its own; the service writes into the file which version it is of.
    async fn runs(&self, session: &str, versions: &Path) -> Result<Vec<String>> {
        self.flmctl(&["create", "-a", "app", "--id", session]).await?.with_code(0)?;
        let task = self.client.create_task(session, Some(Bytes::from_static(b"hello"))).await?;
        self.state(session, &task.metadata.id, "Succeed").await?;
        self.flmctl(&["close", "-s", session]).await?.with_code(0)?;
        Ok(fs::read_to_string(versions)?.lines().map(str::to_owned).collect())
    }

    async fn state(&self, session: &str, task: &str, state: &str) -> Result<()> {
        wait_until(LIMIT, &format!("task {task} of {session} is {state}"), || async {
            let view = self.flmctl(&["view", "-s", session, "-t", task, "-o", "json"]).await?.with_code(0)?.json()?;
            ensure!(view["status"]["state"] == state, "{view:#}");
            Ok(())
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deployed_runs_until_something_else_is() -> Result<()> {
    let scene = Scene::start().await?;
    let place = tempfile::tempdir()?;
    let versions = place.path().join("versions");
    let echo = Binaries::find()?.path("flame-echo-service")?;
    let text = format!(
        "#!/bin/sh\ncat \"$FLAME_APP_DIR/version\" >> '{}'\necho >> '{0}'\nexec '{}'\n",
        versions.display(),
        echo.display()
    );
    scene.program("bin/app", &text)?;

    let plan = scene.deploy("one", &["--dry-run"]).await?.with_code(0)?;
    ensure!(plan.stdout.starts_with("Application <app> deploy plan.\nInput Kind: directory\n"), "{}", plan.story());
    ensure!(plan.stdout.contains("Dry Run: true") && scene.cache.keys().is_empty(), "{}", plan.story());
    scene.flmctl(&["view", "-a", "app"]).await?.with_code(3)?;

    let done = scene.deploy("one", &["--label", "web"]).await?.with_code(0)?;
    ensure!(done.stdout.starts_with("Application <app> deployed.\n"), "{}", done.story());
    let key = scene.cache.keys().remove(0);
    for line in ["Installer: binary", "Command: app", &format!("Object: {key}"), &format!("/{key}#sha256=")] {
        ensure!(done.stdout.contains(line), "{line:?} is missing: {}", done.story());
    }
    assert_eq!(scene.runs("s1", &versions).await?, ["one"]);

    // The same again changes nothing; another one replaces it, and takes the place of its package.
    scene.deploy("one", &[]).await?.with_code(0)?;
    assert_eq!((scene.cache.keys(), scene.cache.puts()), (vec![key.clone()], 1));
    let view = scene.deploy("two", &["-o", "json"]).await?.with_code(0)?.json()?;
    ensure!(view["object"] != key.as_str() && view["dry_run"] == false, "{view:#}");
    assert_eq!(scene.cache.keys(), [view["object"].as_str().context("an object")?]);
    assert_eq!(scene.runs("s2", &versions).await?, ["one", "two"]);

    scene.flmctl(&["create", "-a", "app", "--id", "open"]).await?.with_code(0)?;
    scene.deploy("three", &[]).await?.refused(6, &["open session", "close its sessions first"])?;
    scene.flmctl(&["close", "-s", "open"]).await?.with_code(0)?;

    let logs = scene.flmctl(&["logs", "install", "app"]).await?.with_code(0)?;
    ensure!(logs.stdout.starts_with("==> w1, ") && logs.stdout.contains("Done."), "{}", logs.story());
    let logs =
        scene.flmctl(&["logs", "install", "app", "--node", "nobody", "-o", "json"]).await?.with_code(0)?.json()?;
    assert_eq!(logs["logs"][0]["error"], "the worker is not attached");
    scene.flmctl(&["logs", "install", "never"]).await?.refused(3, &["no worker has installed"])?;
    scene.cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_cannot_be_installed_says_why() -> Result<()> {
    let scene = Scene::start().await?;
    scene.program("bin/app", "#!/bin/sh\n")?;
    // Something that is no project, told to be one.
    scene.deploy("one", &["--installer", "python", "--command", "python"]).await?.with_code(0)?;
    scene.flmctl(&["create", "-a", "app", "--id", "s"]).await?.with_code(0)?;
    scene.client.create_task("s", Some(Bytes::from_static(b"hello"))).await?;
    let why = "it has neither pyproject.toml nor setup.py nor setup.cfg";
    for words in [&["view", "-s", "s"][..], &["task", "explain", "s/1"]] {
        wait_until(LIMIT, &format!("flmctl {} says why", words.join(" ")), || async {
            let said = scene.flmctl(words).await?.with_code(0)?;
            ensure!(said.stdout.contains(why), "{}", said.story());
            Ok(())
        })
        .await?;
    }
    let logs = scene.flmctl(&["logs", "install", "app"]).await?.with_code(0)?;
    ensure!(logs.stdout.contains(why), "{}", logs.story());
    scene.cluster.shutdown().await
}
