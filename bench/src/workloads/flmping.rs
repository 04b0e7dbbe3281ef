//! `flmping`: `flmping -t 10000` as a user runs it, from its start to its end, services started in between.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_sdk::model::ApplicationSpec;
use flame_testkit::Binaries;
use tokio::process::Command;
use tokio::time::{Instant, timeout};

use crate::figures::{Figures, TASKS_PER_S};
use crate::meter::Meter;
use crate::scene::Scene;
use crate::settings::Settings;
use crate::workloads::Outcome;

const TASKS: u64 = 10_000;
const EXECUTORS: u32 = 2;
const APPLICATION: &str = "flmping";
const LIMIT: Duration = Duration::from_secs(600);

/// One run.
pub async fn run(settings: Settings) -> Result<Outcome> {
    let tasks = settings.tasks_or(TASKS);
    let scene = Scene::start(EXECUTORS, &settings).await?;
    let binaries = Binaries::find()?;
    let service = binaries.path("flmping-service")?.display().to_string();
    let service = ApplicationSpec { command: Some(service), ..ApplicationSpec::default() };
    scene.connection.update_application(APPLICATION, service).await.context("say where flmping-service is")?;
    let mut command = Command::new(binaries.path("flmping")?);
    command.args(["--perf", "-t", &tasks.to_string(), "--endpoint", &scene.endpoint()]);
    command.stdin(Stdio::null()).kill_on_drop(true);

    let meter = Meter::start(&scene, &settings).await?;
    let began = Instant::now();
    let output = timeout(LIMIT, command.output()).await.context("flmping does not end")?.context("start flmping")?;
    let took = began.elapsed();
    let costs = meter.stop(&scene, tasks).await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "flmping ended with {}: {said}", output.status);
    let mut figures = Figures::default();
    figures.set(TASKS_PER_S, tasks as f64 / took.as_secs_f64());
    figures.set("wall_s", took.as_secs_f64());
    figures.extend(costs);
    scene.end(figures).await
}
