//! `cold-start`: from the start of three coordinators, a worker and a client to the first result; and what the cluster
//! costs while nobody wants anything.

use std::time::Duration;

use anyhow::{Context, Result};
use flame_testkit::ClusterOptions;
use tokio::time::{Instant, sleep};

use crate::accounting::{Kind, Snapshot, memory_mb};
use crate::figures::{FOREIGN_CPU, Figures, PSS_MB};
use crate::meter::set_by_kind;
use crate::scene::{self, Scene};
use crate::settings::Settings;
use crate::workloads::Outcome;

const EXECUTORS: u32 = 2;

/// For what the start left to be done.
const SETTLE: Duration = Duration::from_secs(5);

/// How long idling is measured.
const IDLE: Duration = Duration::from_secs(10);

/// One run.
pub async fn run(settings: Settings) -> Result<Outcome> {
    let began = Instant::now();
    let options = ClusterOptions { workers_at_once: true, ..scene::options(EXECUTORS) };
    let scene = Scene::start_with(options, &settings).await?;
    let started = began.elapsed();
    let client = scene.echo_client(1).await?;
    client.all(0..1).await.context("the first task")?;
    let first_result = began.elapsed();
    // This time is what is measured: nothing happens in it.
    sleep(SETTLE).await;
    let processes = scene.processes();
    let before = Snapshot::take(&processes)?;
    sleep(IDLE).await;
    let usage = Snapshot::take(&processes)?.since(&before);
    let memory = memory_mb(&processes);

    let mut figures = Figures::default();
    figures.set("first_result_ms", first_result.as_secs_f64() * 1000.0);
    figures.set("started_ms", started.as_secs_f64() * 1000.0);
    figures.set(PSS_MB, memory.values().sum());
    set_by_kind(&mut figures, PSS_MB, &memory, 1.0);
    let coordinators = [Kind::Leader, Kind::Followers];
    figures.set("idle_coordinators_pss_mb", coordinators.iter().filter_map(|kind| memory.get(kind)).sum());
    let idle: f64 = coordinators.iter().filter_map(|kind| usage.cpu_seconds.get(kind)).sum();
    figures.set("idle_coordinators_core_percent", idle * 100.0 / IDLE.as_secs_f64());
    set_by_kind(&mut figures, "idle_core_percent", &usage.cpu_seconds, 100.0 / IDLE.as_secs_f64());
    figures.set("idle_disk_kb_per_s", usage.written_mb * 1000.0 / IDLE.as_secs_f64());
    figures.set(FOREIGN_CPU, usage.foreign);
    scene.end(figures).await
}
