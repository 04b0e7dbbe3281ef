//! `restart-1m`: all coordinators killed at once while a million tasks wait, and started again: the time to the first
//! result, and whether every task is served, the last one included.
//!
//! The session is suspended while the tasks are submitted, and resumed once the cluster is back; the worker and its
//! services live on, as they do when coordinators die. The client that submitted the tasks gets all results, and compares
//! each with its input.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_sdk::SubmittedTasks;
use futures::stream::{self, StreamExt};
use tokio::time::{Instant, timeout};

use super::queue_1m::{expect_pending, submit};
use crate::accounting::Snapshot;
use crate::client::check;
use crate::figures::{FOREIGN_CPU, Figures, TASKS_PER_S};
use crate::scene::Scene;
use crate::settings::Settings;
use crate::workloads::Outcome;

const TASKS: u64 = 1_000_000;
const EXECUTORS: u32 = 2;

/// For the next result, whatever has happened.
const RESULT_LIMIT: Duration = Duration::from_secs(120);

/// What came after the restart.
struct Served {
    first: Instant,
    last: Instant,
    count: u64,
}

/// One run.
pub async fn run(settings: Settings) -> Result<Outcome> {
    let tasks = settings.tasks_or(TASKS);
    let mut scene = Scene::start(EXECUTORS, &settings).await?;
    let session = scene.echo_session(EXECUTORS).await?;
    scene.connection.suspend_session(&session).await.context("suspend the session")?;
    let stream = scene.connection.open_stream(&session).await?;
    let submitted = submit(&stream, tasks).await?;
    expect_pending(&scene, &session, tasks).await?;

    scene.cluster.kill_all_coordinators().await?;
    // Their counters went with them, so what they use from here on is all that counts.
    let before = Snapshot::take(&scene.processes())?;
    let began = Instant::now();
    scene.cluster.start_all_coordinators().await?;
    let ready = began.elapsed();
    scene.connection.resume_session(&session).await.context("resume the session")?;
    let resumed = began.elapsed();
    let served = collect(submitted).await?;
    let usage = Snapshot::take(&scene.processes())?.since(&before);

    let mut figures = Figures::default();
    figures.set("first_result_s", (served.first - began).as_secs_f64());
    figures.set("last_result_s", (served.last - began).as_secs_f64());
    figures.set("ready_s", ready.as_secs_f64());
    figures.set("resumed_s", resumed.as_secs_f64());
    figures.set(TASKS_PER_S, served.count as f64 / (served.last - served.first).as_secs_f64());
    figures.set("served", served.count as f64);
    figures.set(FOREIGN_CPU, usage.foreign);
    let lost = tasks - served.count;
    figures.set("lost", lost as f64);
    expect_pending(&scene, &session, 0).await?;
    scene.cluster.shutdown().await?;
    if lost > 0 {
        return Ok(Outcome::Wrong(figures, format!("{lost} of {tasks} tasks gave no result")));
    }
    Ok(Outcome::Measured(figures))
}

/// Waits for all results, in whatever order they come. Task numbers begin with 1, inputs with 0.
async fn collect(submitted: Vec<SubmittedTasks>) -> Result<Served> {
    let mut results = stream::select_all(submitted);
    let (mut first, mut last, mut count) = (None, None, 0);
    loop {
        let end = timeout(RESULT_LIMIT, results.next()).await;
        let end = end.with_context(|| format!("after {count} results no other came"))?;
        let Some(end) = end else { break };
        let end = end.context("the end of a task cannot be learned")?;
        ensure!(end.task.0 > 0, "task numbers begin with 1");
        check(end.succeeded(), end.output.as_ref(), end.message.as_deref(), end.task.0 - 1)?;
        let now = Instant::now();
        first.get_or_insert(now);
        last = Some(now);
        count += 1;
    }
    let (first, last) = first.zip(last).context("no result came")?;
    Ok(Served { first, last, count })
}
