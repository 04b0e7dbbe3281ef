//! `latency`: a caller that waits for each result before it submits the next task, on an idle cluster.

use anyhow::Result;

use crate::meter;
use crate::scene::Scene;
use crate::settings::Settings;
use crate::workloads::Outcome;

const TASKS: u64 = 1_000;
const EXECUTORS: u32 = 2;
const WARM_UP: u64 = 50;

/// One run.
pub async fn run(settings: Settings) -> Result<Outcome> {
    let tasks = settings.tasks_or(TASKS);
    let scene = Scene::start(EXECUTORS, &settings).await?;
    let client = scene.echo_client(EXECUTORS).await?;
    client.one_by_one(0..WARM_UP).await?;
    let figures = meter::series(&scene, &settings, client.one_by_one(WARM_UP..WARM_UP + tasks)).await?;
    scene.end(figures).await
}
