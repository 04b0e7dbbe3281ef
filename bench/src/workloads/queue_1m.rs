//! `queue-1m`: a million tasks that nobody can run yet: how fast they are taken, and what each costs while it waits.
//!
//! The cluster has no worker. Every task has an input of its own. The same number is then submitted once more as one
//! array, in a session of its own.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use flame_sdk::{SessionOptions, SessionStream, SubmittedTasks};
use flame_testkit::ClusterOptions;
use flame_types::TaskOptions;
use tokio::time::Instant;

use crate::figures::{Figures, SUBMITS_PER_S};
use crate::meter::Meter;
use crate::payload;
use crate::scene::{self, Scene, growth_each};
use crate::settings::Settings;
use crate::workloads::Outcome;

const TASKS: u64 = 1_000_000;

/// Handed to the SDK at once.
const PORTION: u64 = 10_000;

/// One run.
pub async fn run(settings: Settings) -> Result<Outcome> {
    let tasks = settings.tasks_or(TASKS);
    let options = ClusterOptions { workers: 0, ..scene::options(0) };
    let scene = Scene::start_with(options, &settings).await?;
    let session = open(&scene).await?;
    let stream = scene.connection.open_stream(&session).await?;
    let idle = scene.coordinators_pss()?;

    let meter = Meter::start(&scene, &settings).await?;
    let began = Instant::now();
    let submitted = submit(&stream, tasks).await?;
    let took = began.elapsed();
    let costs = meter.stop(&scene, tasks).await?;
    let full = scene.coordinators_pss()?;
    expect_pending(&scene, &session, tasks).await?;
    let array = open(&scene).await?;
    let array_took = submit_array(&scene, &array, tasks).await?;
    expect_pending(&scene, &array, tasks).await?;

    let mut figures = Figures::default();
    figures.set(SUBMITS_PER_S, tasks as f64 / took.as_secs_f64());
    figures.set("submit_s", took.as_secs_f64());
    figures.set("bytes_per_task_per_replica", growth_each(&idle, &full, tasks));
    figures.set("array_ms", array_took * 1000.0);
    figures.extend(costs);
    drop(submitted);
    scene.end(figures).await
}

async fn open(scene: &Scene) -> Result<String> {
    let options = SessionOptions::new(scene.register_echo().await?);
    scene.open_sessions(&options, 1).await?.pop().context("one session was opened")
}

/// Submits tasks with the inputs from 0 on, and waits until all are acknowledged.
///
/// # Errors
/// If a submit is refused.
pub async fn submit(stream: &SessionStream, tasks: u64) -> Result<Vec<SubmittedTasks>> {
    let options = Arc::new(TaskOptions::default());
    let mut submitted = Vec::new();
    let mut first = 0;
    while first < tasks {
        let end = tasks.min(first + PORTION);
        let inputs = (first..end).map(|number| Some(payload::input(number))).collect();
        submitted.push(stream.submit_many(inputs, &options).await.context("a submit was refused")?);
        first = end;
    }
    let mut acknowledged = 0;
    for portion in &mut submitted {
        let ranges = portion.accepted().await.context("a submit was refused")?;
        acknowledged += ranges.iter().map(|range| range.end().0 - range.start().0 + 1).sum::<u64>();
    }
    ensure!(acknowledged == tasks, "{acknowledged} of {tasks} submits were acknowledged");
    Ok(submitted)
}

/// Seconds until an array is acknowledged.
async fn submit_array(scene: &Scene, session: &str, tasks: u64) -> Result<f64> {
    let stream = scene.connection.open_stream(session).await?;
    let options = Arc::new(TaskOptions::default());
    let began = Instant::now();
    let mut array = stream.submit_array(tasks, Some(payload::input(0)), &options).await?;
    array.accepted().await.context("the array was refused")?;
    Ok(began.elapsed().as_secs_f64())
}

/// Checks that a session has exactly so many pending tasks.
///
/// # Errors
/// If it has another number.
pub async fn expect_pending(scene: &Scene, session: &str, tasks: u64) -> Result<()> {
    let pending = scene.connection.get_session(session).await?.status.pending;
    ensure!(pending == tasks, "session {session} has {pending} pending tasks, {tasks} were acknowledged");
    Ok(())
}
