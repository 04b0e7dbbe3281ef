//! `flmctl deploy` and what workers make of it, `flmctl object` and the cache: a cluster, an object cache, and a service that
//! comes out of a package.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use flame_sdk::endpoints::Environment;
use flame_sdk::objects::{ObjectCache, ObjectInfo};
use flame_sdk::{Connection, Endpoints, Options, TlsFiles};
use flame_testkit::{Binaries, Cache, Cluster, ClusterOptions, wait_until};
use futures::TryStreamExt;
use tempfile::TempDir;

use crate::programs::{Ended, LIMIT, run_with};

/// A cluster, object caches, and a folder that is deployed.
struct Scene {
    cluster: Cluster,
    caches: Vec<Cache>,
    /// What `flmctl` is told of the caches. The coordinators know those of the cluster.
    named: Option<String>,
    client: Connection,
    folder: TempDir,
}

impl Scene {
    /// With a cache that is alone.
    async fn start() -> Result<Self> {
        let cluster = Cluster::start(ClusterOptions::default()).await?;
        let cache = Cache::start(&[]).await?;
        let named = Some(cache.endpoint().to_owned());
        Self::of(cluster, vec![cache], named)
    }

    /// With caches of the cluster, which nobody names.
    async fn with_caches(names: &[&str]) -> Result<Self> {
        let cluster = Cluster::start(ClusterOptions::default()).await?;
        let mut caches = Vec::new();
        for name in names {
            caches.push(Cache::join(&cluster, name, &[]).await?);
        }
        Self::of(cluster, caches, None)
    }

    fn of(cluster: Cluster, caches: Vec<Cache>, named: Option<String>) -> Result<Self> {
        let client = Connection::open(Endpoints::parse(&cluster.endpoints())?, Options::default())?;
        Ok(Self { cluster, caches, named, client, folder: tempfile::tempdir()? })
    }

    /// Everything that the first cache has.
    async fn objects(&self) -> Result<Vec<ObjectInfo>> {
        let (environment, tls) = (Environment::default(), TlsFiles::default());
        let cache = ObjectCache::discover(Some(self.caches[0].endpoint()), None, &environment, &tls)?;
        Ok(cache.context("it was named")?.list(None).try_collect().await?)
    }

    /// `flmctl` with these words; it knows the cluster.
    async fn flmctl(&self, words: &[&str]) -> Result<Ended> {
        let endpoints = self.cluster.endpoints().join(",");
        let mut environment = vec![("FLAME_ENDPOINT", endpoints.as_str())];
        environment.extend(self.named.as_deref().map(|named| ("FLAME_CACHE_ENDPOINT", named)));
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

    /// The service: it writes into this file which version it is of.
    fn service(&self, versions: &Path) -> Result<()> {
        let echo = Binaries::find()?.path("flame-echo-service")?;
        let text = format!(
            "#!/bin/sh\ncat \"$FLAME_APP_DIR/version\" >> '{}'\necho >> '{0}'\nexec '{}'\n",
            versions.display(),
            echo.display()
        );
        self.program("bin/app", &text)
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
    scene.service(&versions)?;

    let plan = scene.deploy("one", &["--dry-run"]).await?.with_code(0)?;
    ensure!(plan.stdout.starts_with("Application <app> deploy plan.\nInput Kind: directory\n"), "{}", plan.story());
    ensure!(plan.stdout.contains("Dry Run: true") && scene.objects().await?.is_empty(), "{}", plan.story());
    scene.flmctl(&["view", "-a", "app"]).await?.with_code(3)?;

    let done = scene.deploy("one", &["--label", "web"]).await?.with_code(0)?;
    ensure!(done.stdout.starts_with("Application <app> deployed.\n"), "{}", done.story());
    let first = scene.objects().await?.remove(0);
    let key = first.key.as_str();
    for line in ["Installer: binary", "Command: app", &format!("Object: {key}"), &format!("/{key}#sha256=")] {
        ensure!(done.stdout.contains(line), "{line:?} is missing: {}", done.story());
    }
    assert_eq!(scene.runs("s1", &versions).await?, ["one"]);

    // The same again changes nothing; another one replaces it, and takes the place of its package.
    scene.deploy("one", &[]).await?.with_code(0)?;
    assert_eq!(scene.objects().await?, std::slice::from_ref(&first));
    let view = scene.deploy("two", &["-o", "json"]).await?.with_code(0)?.json()?;
    ensure!(view["object"] != key && view["dry_run"] == false, "{view:#}");
    let left: Vec<String> = scene.objects().await?.iter().map(|object| object.key.to_string()).collect();
    assert_eq!(left, [view["object"].as_str().context("an object")?]);
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

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_put_read_and_deleted_by_hand() -> Result<()> {
    let scene = Scene::start().await?;
    let (file, copy) = (scene.folder.path().join("file"), scene.folder.path().join("copy"));
    // More than one message of it.
    let content: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    fs::write(&file, &content)?;
    let (file, copy) = (file.display().to_string(), copy.display().to_string());
    let put = scene.flmctl(&["object", "put", "app/shared/model", &file]).await?.with_code(0)?;
    assert_eq!(put.stdout, "Object <app/shared/model> was put: version 1, 3000000 bytes.\n");
    scene.flmctl(&["object", "put", "app/shared/model", &file, "--no-replace"]).await?.refused(6, &["exist"])?;
    let again =
        scene.flmctl(&["object", "put", "app/shared/model", &file, "-o", "json"]).await?.with_code(0)?.json()?;
    assert_eq!((&again["key"], &again["version"]), (&"app/shared/model".into(), &2.into()));

    scene.flmctl(&["object", "get", "app/shared/model", &copy]).await?.with_code(0)?;
    ensure!(fs::read(&copy)? == content, "the copy is another one");
    let named =
        scene.flmctl(&["object", "put", "app/shared", "/dev/null", "-o", "json"]).await?.with_code(0)?.json()?;
    let key = named["key"].as_str().context("a key")?.to_owned();
    let empty = scene.flmctl(&["object", "get", &key]).await?.with_code(0)?;
    assert_eq!(empty.stdout, "");

    let said = scene.flmctl(&["object", "delete", "app/*"]).await?.with_code(0)?;
    assert_eq!(said.stdout, "Objects <app/*> were deleted.\n");
    scene.flmctl(&["object", "get", "app/shared/model", &copy]).await?.refused(3, &["app/shared/model"])?;
    ensure!(fs::read(&copy)? == content, "what cannot be read replaces nothing");
    let parts = fs::read_dir(scene.folder.path())?.count();
    assert_eq!(parts, 2, "nothing is left beside it");
    scene.flmctl(&["object", "put", "app", &file]).await?.with_code(2)?;
    let endpoints = scene.cluster.endpoints().join(",");
    let unnamed = run_with(&[("FLAME_ENDPOINT", &endpoints)], "flmctl", &["object", "get", "app/s/o"]).await?;
    unnamed.refused(2, &["the coordinators know none", "FLAME_CACHE_ENDPOINT"])?;
    scene.cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_outlives_the_cache_that_took_it() -> Result<()> {
    let mut scene = Scene::with_caches(&["c1", "c2"]).await?;
    let place = tempfile::tempdir()?;
    let versions = place.path().join("versions");
    scene.service(&versions)?;
    let view = scene.deploy("one", &["-o", "json"]).await?.with_code(0)?.json()?;
    let url = view["spec"]["url"].as_str().context("a URL")?.to_owned();
    wait_until(LIMIT, "the package has two copies", || async {
        let listed = scene.flmctl(&["object", "list", "app/pkg", "-o", "json"]).await?.with_code(0)?.json()?;
        ensure!(listed["objects"][0]["places"].as_array().is_some_and(|places| places.len() == 2), "{listed:#}");
        Ok(())
    })
    .await?;
    let took = scene.caches.iter_mut().find(|cache| url.starts_with(&format!("{}/", cache.endpoint())));
    took.with_context(|| format!("{url} names none of the caches"))?.kill().await?;
    assert_eq!(scene.runs("s1", &versions).await?, ["one"]);

    // By hand, too: the coordinators know who is left.
    let file = scene.folder.path().join("version").display().to_string();
    scene.flmctl(&["object", "put", "app/shared/model", &file]).await?.with_code(0)?;
    let read = scene.flmctl(&["object", "get", "app/shared/model"]).await?.with_code(0)?;
    assert_eq!(read.stdout, "one");
    scene.flmctl(&["object", "delete", "app/shared/model"]).await?.with_code(0)?;
    scene.flmctl(&["object", "get", "app/shared/model"]).await?.refused(3, &["app/shared/model"])?;
    scene.cluster.shutdown().await
}
