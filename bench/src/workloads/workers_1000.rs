//! `workers-1000`: a thousand simulated workers over streams of their own: what their heartbeats cost while they idle, and
//! the rate of tasks that are spread over all of them.

use std::time::Duration;

use anyhow::{Context, Result};
use flame_testkit::ClusterOptions;
use tokio::time::{Instant, sleep};

use super::throughput;
use crate::accounting::{Kind, Snapshot, Usage};
use crate::client::Client;
use crate::figures::Figures;
use crate::meter::Meter;
use crate::scene::{self, Scene};
use crate::settings::Settings;
use crate::simulated::{Crowd, Shape};
use crate::workloads::Outcome;

const WORKERS: u32 = 1_000;
const TASKS: u64 = 30_000;
const WARM_UP: u64 = 10_000;

/// For what a start left to be done.
const SETTLE: Duration = Duration::from_secs(5);

/// How long idling is measured.
const IDLE: Duration = Duration::from_secs(10);

/// One run.
pub async fn run(settings: Settings) -> Result<Outcome> {
    let tasks = settings.tasks_or(TASKS);
    let reference = throughput::reference(&settings).await?;
    let options = ClusterOptions { workers: 0, ..scene::options(0) };
    let mut scene = Scene::start_with(options, &settings).await?;
    let alone = idle(&scene).await?;
    let began = Instant::now();
    let crowd = Crowd::start(&mut scene, Shape { workers: WORKERS, executors: 1, journal: false }).await?;
    let attached = began.elapsed();
    let attending = idle(&scene).await?;
    let began = Instant::now();
    let session = scene.echo_session(WORKERS).await.context("an executor on each worker")?;
    let ready = began.elapsed();
    let client = Client::open(&scene.connection, &session).await?;
    client.all(0..WARM_UP).await?;
    let meter = Meter::start(&scene, &settings).await?;
    let series = client.all(WARM_UP..WARM_UP + tasks).await?;
    let rate = series.rate();
    let mut figures = Figures::default();
    figures.extend(series.figures());
    figures.extend(meter.stop(&scene, tasks).await?);
    figures.set("throughput_tasks_per_s", reference);
    figures.set("ratio", rate / reference);
    figures.set("attach_s", attached.as_secs_f64());
    figures.set("executors_ready_s", ready.as_secs_f64());
    let heartbeats = (percent(&attending, &COORDINATORS) - percent(&alone, &COORDINATORS)).max(0.0);
    figures.set("heartbeats_core_percent", heartbeats);
    figures.set("idle_coordinators_core_percent", percent(&attending, &COORDINATORS));
    figures.set("idle_workers_core_percent", percent(&attending, &[Kind::Worker]));
    figures.set("idle_foreign_cpu", attending.foreign);
    crowd.end().await?;
    scene.end(figures).await
}

const COORDINATORS: [Kind; 2] = [Kind::Leader, Kind::Followers];

/// What everybody uses while nobody wants anything.
async fn idle(scene: &Scene) -> Result<Usage> {
    // This time is what is measured: nothing happens in it.
    sleep(SETTLE).await;
    let before = Snapshot::take(&scene.processes())?;
    sleep(IDLE).await;
    Ok(Snapshot::take(&scene.processes())?.since(&before))
}

/// Of one processor.
fn percent(usage: &Usage, kinds: &[Kind]) -> f64 {
    let seconds: f64 = kinds.iter().filter_map(|kind| usage.cpu_seconds.get(kind)).sum();
    seconds * 100.0 / IDLE.as_secs_f64()
}
