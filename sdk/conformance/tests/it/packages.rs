//! Packages of Python services as their users have them: a project with a dependency, deployed into a cache, installed by the
//! worker from a folder of wheels, mended while a task waits, and old releases that leave.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_conformance::ours::Flamepy;
use flame_testkit::{Binaries, Cache, Cluster, ClusterOptions, wait_until};
use tempfile::TempDir;
use tokio::process::Command;

/// For a service that is to be installed and started, however busy the machine is.
const LIMIT: Duration = Duration::from_secs(120);

/// Releases that the worker keeps although nobody uses them.
const KEPT: &str = "1";

const PROJECT: &str = r#"
[project]
name = "greeter"
version = "1"
dependencies = ["greeting>=1"]

[project.scripts]
greeter = "greeter:main"

[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"#;

const SERVICE: &str = r#"
import flamepy
import greeting

ins = flamepy.FlameInstance()

@ins.entrypoint
def greet(name: str) -> str:
    return greeting.TEXT + ", " + name + "VERSION"

def main():
    ins.run()
"#;

/// A build backend that needs nothing: it packs the modules that lie beside it. `python backend.py FOLDER` makes the wheel of
/// the dependency.
const BACKEND: &str = r#"
import os, sys, zipfile

def wheel(folder, name, modules, more="", scripts=""):
    path = f"{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, path), "w") as archive:
        info = f"{name}-1.dist-info"
        for module, text in modules.items():
            archive.writestr(module, text)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n{more}")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        if scripts:
            archive.writestr(f"{info}/entry_points.txt", scripts)
        archive.writestr(f"{info}/RECORD", "")
    return path

def build_wheel(folder, config_settings=None, metadata_directory=None):
    with open("greeter.py") as file:
        modules = {"greeter.py": file.read()}
    return wheel(folder, "greeter", modules, "Requires-Dist: greeting>=1\n", "[console_scripts]\ngreeter = greeter:main\n")

if __name__ == "__main__":
    wheel(sys.argv[1], "greeting", {"greeting.py": "TEXT = 'hello'\n"})
"#;

const CLIENT: &str = r#"
import sys
import flamepy

session = flamepy.open_session(sys.argv[1], codec="json", output=str)
print(session.invoke(sys.argv[2], timeout=100))
"#;

/// A cluster whose worker installs from a folder of wheels, and a project.
struct Scene {
    flamepy: Flamepy,
    cluster: Cluster,
    cache: Cache,
    place: TempDir,
}

impl Scene {
    async fn start() -> Result<Self> {
        let flamepy = Flamepy::install().await?;
        let place = tempfile::tempdir()?;
        for folder in ["wheels", "project", "home", "installed"] {
            fs::create_dir(place.path().join(folder))?;
        }
        let path = |name: &str| place.path().join(name).display().to_string();
        let text = |name: &str, value: String| (name.to_owned(), value);
        let mut environment = vec![
            Binaries::find()?.furnish(&place.path().join("home"))?,
            text("FLAME_WORKER_PYTHON", flamepy.interpreter().display().to_string()),
            text("FLAME_WORKER_INSTALL_DIR", path("installed")),
            text("FLAME_WORKER_PACKAGES_KEPT", KEPT.to_owned()),
        ];
        // No test asks an index for anything, whichever tool installs.
        for (index, links) in [("PIP_NO_INDEX", "PIP_FIND_LINKS"), ("UV_NO_INDEX", "UV_FIND_LINKS")] {
            environment.extend([text(index, "1".to_owned()), text(links, path("wheels"))]);
        }
        let cluster = Cluster::start(ClusterOptions { environment, ..ClusterOptions::default() }).await?;
        let cache = Cache::start(&[]).await?;
        let scene = Self { flamepy, cluster, cache, place };
        scene.write("pyproject.toml", PROJECT)?;
        scene.write("backend.py", BACKEND)?;
        Ok(scene)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        fs::write(self.path("project").join(name), text).with_context(|| format!("write {name}"))
    }

    async fn flmctl(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(Binaries::find()?.path("flmctl")?);
        command.env("FLAME_ENDPOINT", self.cluster.endpoints().join(","));
        command.env("FLAME_CACHE_ENDPOINT", self.cache.endpoint());
        ran(command.args(words)).await
    }

    /// Deploys the project with a service that says this version.
    async fn deploy(&self, version: &str) -> Result<()> {
        self.write("greeter.py", &SERVICE.replace("VERSION", version))?;
        let project = self.path("project").display().to_string();
        self.flmctl(&["deploy", "--name", "greeter", "--application", &project]).await?;
        Ok(())
    }

    /// What a task answers, in a session of its own.
    async fn greets(&self, session: &str, name: &str) -> Result<String> {
        self.flmctl(&["create", "-a", "greeter", "--id", session]).await?;
        let said = self.client(session, name).await?;
        self.flmctl(&["close", "-s", session]).await?;
        Ok(said)
    }

    async fn client(&self, session: &str, name: &str) -> Result<String> {
        let mut command = self.flamepy.python();
        command.env("FLAME_ENDPOINT", self.cluster.endpoints().join(","));
        Ok(ran(command.args(["-c", CLIENT, session, name])).await?.trim().to_owned())
    }

    fn releases(&self) -> Result<usize> {
        count(&self.path("installed/apps/greeter/releases"))
    }
}

fn count(folder: &Path) -> Result<usize> {
    Ok(fs::read_dir(folder).with_context(|| folder.display().to_string())?.count())
}

/// What a command prints, if it ends well.
async fn ran(command: &mut Command) -> Result<String> {
    let ended = tokio::time::timeout(LIMIT, command.kill_on_drop(true).output()).await.context("it does not end")?;
    let ended = ended.with_context(|| format!("start {command:?}"))?;
    let stderr = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "{command:?}: {}:\n{stderr}", ended.status);
    Ok(String::from_utf8(ended.stdout)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_with_a_dependency_is_installed_once_its_dependency_is_there() -> Result<()> {
    let scene = Scene::start().await?;
    let outcome = steps(&scene).await;
    outcome.with_context(|| scene.cluster.tails())?;
    scene.cluster.shutdown().await
}

async fn steps(scene: &Scene) -> Result<()> {
    scene.deploy("!").await?;
    scene.flmctl(&["create", "-a", "greeter", "--id", "waits"]).await?;
    let waiting = scene.client("waits", "you");
    let mended = async {
        wait_until(LIMIT, "flmctl task explain says what is missing", || async {
            let said = scene.flmctl(&["task", "explain", "waits/1"]).await?;
            ensure!(said.contains("greeting"), "{said}");
            Ok(())
        })
        .await?;
        let log = scene.flmctl(&["logs", "install", "greeter"]).await?;
        ensure!(log.contains("greeting") && log.contains("Failed: "), "{log}");
        // Somebody mends it: the task that waits need not be sent again.
        let backend = scene.path("project").join("backend.py");
        ran(scene.flamepy.python().arg(&backend).arg(scene.path("wheels"))).await
    };
    let (said, _) = tokio::try_join!(waiting, mended)?;
    assert_eq!(said, "hello, you!");
    scene.flmctl(&["close", "-s", "waits"]).await?;
    let log = scene.flmctl(&["logs", "install", "greeter"]).await?;
    ensure!(log.trim_end().ends_with("Done."), "{log}");

    // What is deployed again is what runs, and what nobody uses any more leaves.
    for (session, version) in [("s1", "?"), ("s2", "."), ("s3", " again")] {
        scene.deploy(version).await?;
        let said = scene.greets(session, "world").await.with_context(|| format!("version {version:?}"))?;
        assert_eq!(said, format!("hello, world{version}"));
    }
    // The one that was installed last, and the one that ran while it was.
    let most = KEPT.parse::<usize>()? + 2;
    ensure!(scene.releases()? <= most, "{} releases are left", scene.releases()?);
    Ok(())
}
