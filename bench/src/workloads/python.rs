//! `python`: the published Python client with eight callers, and a service on the published Python package.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_sdk::model::ApplicationSpec;
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

const TASKS: u64 = 5_000;
const EXECUTORS: u32 = 2;
const CALLERS: u32 = 8;
const APPLICATION: &str = "bench-python";

/// Names the folder of the Python environment with the published package.
const VENV_VARIABLE: &str = "FLAME_VENV";

/// Where `make deps` puts it, below the home folder.
const VENV_FOLDER: &str = ".cache/flame-ha/venv-flamepy-0.6.0";

/// What the client (`python/callers.py`) prints at the end.
#[derive(Deserialize)]
struct Told {
    took_s: f64,
    latencies_ms: Vec<f64>,
}

/// One run.
pub async fn run(settings: Settings) -> Result<Outcome> {
    let Some(interpreter) = interpreter() else {
        return Ok(Outcome::Skipped(format!(
            "the published Python client is not installed; `make deps` installs it, {VENV_VARIABLE} names another place"
        )));
    };
    let tasks = settings.tasks_or(TASKS);
    let mut scene = Scene::start(EXECUTORS, &settings).await?;
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
    let service = sources.join("../sdk/conformance/python/echo_service.py").canonicalize().context("the service")?;
    let service = ApplicationSpec {
        command: Some(interpreter.display().to_string()),
        arguments: vec![service.display().to_string()],
        ..ApplicationSpec::default()
    };
    scene.connection.register_application(APPLICATION, service).await.context("register the service")?;
    let mut command = Command::new(&interpreter);
    command.arg(sources.join("python/callers.py"));
    command.args([&scene.endpoint(), APPLICATION, &CALLERS.to_string(), &tasks.to_string()]);
    let mut client = Companion::start("the Python client", command)?;
    scene.others.extend(client.pid().map(|pid| (pid, Kind::Client)));
    client.expect("ready").await?;

    let meter = Meter::start(&scene, &settings).await?;
    client.tell("go").await?;
    let told: Told = serde_json::from_str(&client.line().await?).context("the client's figures")?;
    let costs = meter.stop(&scene, tasks).await?;
    client.end().await?;
    ensure!(told.latencies_ms.len() as u64 == tasks, "the client ran {} of {tasks} tasks", told.latencies_ms.len());
    let latencies = told.latencies_ms.into_iter().map(|ms| Duration::from_secs_f64(ms / 1000.0)).collect();
    let mut figures = Figures::default();
    figures.set(TASKS_PER_S, tasks as f64 / told.took_s);
    figures.set_latencies(&Latencies::of(latencies));
    figures.extend(costs);
    scene.end(figures).await
}

fn interpreter() -> Option<PathBuf> {
    let venv = match std::env::var_os(VENV_VARIABLE) {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(&std::env::var_os("HOME")?).join(VENV_FOLDER),
    };
    let interpreter = venv.join("bin/python");
    interpreter.is_file().then_some(interpreter)
}
