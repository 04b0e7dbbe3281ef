//! The Python workloads: `python`, `python-latency` and `runner` with our package on both sides, `python-published` with the
//! published one, eight callers on one session, as its users have it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_sdk::model::{ApplicationSpec, Environment};
use flame_testkit::Cache;
use serde::Deserialize;
use tokio::process::Command;

use crate::accounting::Kind;
use crate::companion::Companion;
use crate::figures::{Figures, TASKS_PER_S};
use crate::meter::Meter;
use crate::scene::Scene;
use crate::settings::Settings;
use crate::statistics::Latencies;
use crate::workloads::Outcome;

const EXECUTORS: u32 = 2;
const APPLICATION: &str = "bench-python";

/// Where Python looks for packages before its own.
pub(super) const SEARCH_PATH: &str = "PYTHONPATH";

/// Where clients and services find the object cache.
const CACHE: &str = "FLAME_CACHE_ENDPOINT";

/// A Python installation that `make deps` makes.
pub(super) struct Packages {
    /// Names its folder.
    variable: &'static str,
    /// Where it is otherwise, below the home folder.
    folder: &'static str,
    /// What has to be found before its own packages, below the root of the project.
    sources: Option<&'static str>,
}

/// With the published package.
const PUBLISHED: Packages =
    Packages { variable: "FLAME_VENV", folder: ".cache/flame-ha/venv-flamepy-0.6.0", sources: None };

/// With what our package stands on; the package itself is that of this checkout.
pub(super) const OURS: Packages =
    Packages { variable: "FLAME_PYTHON_VENV", folder: ".cache/flame-ha/venv-python", sources: Some("sdk/python/src") };

impl Packages {
    /// What a client on them is told: the published one knows a single coordinator.
    fn endpoints(&self, scene: &Scene) -> String {
        if self.sources.is_some() { scene.endpoints().join(",") } else { scene.endpoint() }
    }
}

/// What runs the tasks.
enum Service {
    /// A program, below the root of the project.
    Program(&'static str),
    /// The service side of Runner, which needs an object cache.
    Runner,
}

/// How many tasks, and who runs them how.
struct Play {
    packages: &'static Packages,
    service: Service,
    /// The client in `bench/python`, and its words before the number of tasks: one that calls one by one has some.
    client: &'static str,
    words: &'static [&'static str],
    tasks: u64,
}

/// What the client prints at the end.
#[derive(Deserialize)]
struct Told {
    took_s: f64,
    /// Of each call, where the client calls one by one.
    #[serde(default)]
    latencies_ms: Vec<f64>,
}

/// One client process on our package, which hands over all tasks at once.
pub async fn ours(settings: Settings) -> Result<Outcome> {
    let play = Play {
        packages: &OURS,
        service: Service::Program("bench/python/echo_service.py"),
        client: "mapper.py",
        words: &[],
        tasks: 50_000,
    };
    play.run(settings).await
}

/// One caller on our package, who waits for each result.
pub async fn ours_one_by_one(settings: Settings) -> Result<Outcome> {
    let play = Play {
        packages: &OURS,
        service: Service::Program("bench/python/echo_service.py"),
        client: "callers.py",
        words: &["1"],
        tasks: 1_000,
    };
    play.run(settings).await
}

/// One client process that calls a function through Runner, without waiting for the results in between.
pub async fn runner(settings: Settings) -> Result<Outcome> {
    let play = Play { packages: &OURS, service: Service::Runner, client: "runner_calls.py", words: &[], tasks: 20_000 };
    play.run(settings).await
}

/// Eight callers on the published package.
pub async fn published(settings: Settings) -> Result<Outcome> {
    let play = Play {
        packages: &PUBLISHED,
        service: Service::Program("sdk/conformance/python/echo_service.py"),
        client: "callers.py",
        words: &["8"],
        tasks: 5_000,
    };
    play.run(settings).await
}

impl Play {
    /// One run.
    async fn run(self, settings: Settings) -> Result<Outcome> {
        let Some(interpreter) = self.packages.interpreter() else {
            return Ok(Outcome::Skipped(self.packages.missing()));
        };
        let tasks = settings.tasks_or(self.tasks);
        let mut scene = Scene::start(EXECUTORS, &settings).await?;
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.join("..").canonicalize().context("the root of the project")?;
        let cache = match self.service {
            Service::Program(_) => None,
            Service::Runner => Some(Cache::start(&[]).await?),
        };
        let path = self.packages.sources.map(|sources| (SEARCH_PATH, root.join(sources).display().to_string()));
        let objects = cache.as_ref().map(|cache| (CACHE, cache.endpoint().to_owned()));
        let environment: Vec<(&str, String)> = path.into_iter().chain(objects).collect();
        let named = |(name, value): &(&str, String)| Environment { name: (*name).to_owned(), value: value.clone() };
        let service = ApplicationSpec {
            command: Some(interpreter.display().to_string()),
            arguments: self.service.arguments(&root),
            environments: environment.iter().map(named).collect(),
            ..ApplicationSpec::default()
        };
        scene.connection.register_application(APPLICATION, service).await.context("register the service")?;
        let mut command = Command::new(&interpreter);
        command.arg(here.join("python").join(self.client)).args([&self.packages.endpoints(&scene), APPLICATION]);
        command.args(self.words).arg(tasks.to_string()).envs(environment);
        let mut client = Companion::start("the Python client", command)?;
        scene.others.extend(client.pid().map(|pid| (pid, Kind::Client)));
        client.expect("ready").await?;

        let meter = Meter::start(&scene, &settings).await?;
        client.tell("go").await?;
        let told: Told = serde_json::from_str(&client.line().await?).context("the client's figures")?;
        let costs = meter.stop(&scene, tasks).await?;
        client.end().await?;
        let calls = told.latencies_ms.len() as u64;
        ensure!(calls == if self.words.is_empty() { 0 } else { tasks }, "{calls} calls of {tasks} tasks");
        let latencies = told.latencies_ms.into_iter().map(|ms| Duration::from_secs_f64(ms / 1000.0)).collect();
        let mut figures = Figures::default();
        figures.set(TASKS_PER_S, tasks as f64 / told.took_s);
        figures.set_latencies(&Latencies::of(latencies));
        figures.extend(costs);
        let outcome = scene.end(figures).await?;
        if let Some(mut cache) = cache {
            cache.stop().await?;
        }
        Ok(outcome)
    }
}

impl Service {
    fn arguments(&self, root: &Path) -> Vec<String> {
        match self {
            Self::Program(program) => vec![root.join(program).display().to_string()],
            Self::Runner => ["-m", "flamepy.runner.runpy"].map(str::to_owned).to_vec(),
        }
    }
}

impl Packages {
    /// Why what needs it cannot run.
    pub(super) fn missing(&self) -> String {
        let variable = self.variable;
        format!("its Python packages are not installed; `make deps` does it, {variable} names another place")
    }

    pub(super) fn interpreter(&self) -> Option<PathBuf> {
        let venv = match std::env::var_os(self.variable) {
            Some(folder) => PathBuf::from(folder),
            None => Path::new(&std::env::var_os("HOME")?).join(self.folder),
        };
        let interpreter = venv.join("bin/python");
        interpreter.is_file().then_some(interpreter)
    }
}
