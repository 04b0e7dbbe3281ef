//! `latency`: a caller that waits for each result before it submits the next task, on an idle cluster.

use anyhow::Result;

use crate::client::Client;
use crate::meter::Meter;
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
    let client = Client::open(&scene.connection, &scene.echo_session(EXECUTORS).await?).await?;
    client.one_by_one(0..WARM_UP).await?;
    let meter = Meter::start(&scene, &settings).await?;
    let series = client.one_by_one(WARM_UP..WARM_UP + tasks).await?;
    let mut figures = series.figures();
    figures.extend(meter.stop(&scene, tasks).await?);
    scene.cluster.shutdown().await?;
    Ok(Outcome::Measured(figures))
}
