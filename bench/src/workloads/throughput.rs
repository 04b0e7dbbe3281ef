//! `throughput`: 30,000 tasks submitted one by one by one client on a random node, two executors, every output checked.

use anyhow::{Context, Result};

use crate::figures::{Figures, TASKS_PER_S};
use crate::meter;
use crate::scene::Scene;
use crate::settings::Settings;
use crate::workloads::Outcome;

const TASKS: u64 = 30_000;
const EXECUTORS: u32 = 2;
/// Run beforehand, so that connections, services and caches are warm.
const WARM_UP: u64 = 200;

/// One run.
pub async fn run(settings: Settings) -> Result<Outcome> {
    Ok(Outcome::Measured(measure(&settings).await?))
}

/// The rate that other workloads are compared with, measured beside them.
///
/// # Errors
/// As a run of its own.
pub async fn reference(settings: &Settings) -> Result<f64> {
    eprintln!("    the rate of throughput first, to compare with");
    let settings = Settings { tasks: None, profile: None, ..settings.clone() };
    measure(&settings).await?.get(TASKS_PER_S).context("a rate was measured")
}

async fn measure(settings: &Settings) -> Result<Figures> {
    let tasks = settings.tasks_or(TASKS);
    let scene = Scene::start(EXECUTORS, settings).await?;
    let client = scene.echo_client(EXECUTORS).await?;
    client.all(0..WARM_UP).await?;
    let figures = meter::series(&scene, settings, client.all(WARM_UP..WARM_UP + tasks)).await?;
    scene.cluster.shutdown().await?;
    Ok(figures)
}
