//! What `flmping` prints, as published.

use std::time::Duration;

use flame_sdk::model::Task;
use flame_types::TaskState;

use super::payload::PingOutput;
use crate::render::{Render, TaskTable};
use crate::time::thousands;

/// The line before the tasks.
#[must_use]
pub fn created(session: &str, took: Duration, tasks: u64) -> String {
    format!(
        "Session <{session}> was created in <{} ms>, start to run <{}> tasks in the session:\n",
        thousands(took.as_millis()),
        thousands(tasks.into())
    )
}

/// The line after the tasks.
#[must_use]
pub fn completed(tasks: u64, took: Duration) -> String {
    format!("<{}> tasks was completed in <{} ms>.\n", thousands(tasks.into()), thousands(took.as_millis()))
}

/// A row for each task.
#[must_use]
pub fn table(mut tasks: Vec<Task>, color: bool) -> String {
    tasks.sort_by_key(|task| task.number().unwrap_or_default());
    let outputs = tasks.iter().map(shown).collect();
    TaskTable { tasks, outputs }.sheet().print(color)
}

fn shown(task: &Task) -> String {
    match task.failure() {
        Some(text) => text.to_owned(),
        None => PingOutput::shown(task.spec.output.as_deref()),
    }
}

/// The summary of `--perf`.
#[must_use]
pub fn benchmark(tasks: u64, succeeded: u64, took: Duration) -> String {
    let seconds = took.as_secs_f64();
    // Whole tasks: digits behind the point would be noise.
    let rate = if seconds > 0.0 { (tasks as f64 / seconds).round() as u128 } else { 0 };
    let rule = "=".repeat(40);
    format!(
        "{rule}\n BENCHMARK RESULTS\n{rule}\n Duration:    {seconds:.3} s\n Succeeded:   {}/{}\n Failed:      {}\n \
         Throughput:  {} tasks/sec\n{rule}\n",
        thousands(succeeded.into()),
        thousands(tasks.into()),
        thousands((tasks - succeeded).into()),
        thousands(rate),
    )
}

/// Whether a task ended well.
pub(super) fn succeeded(task: &Task) -> bool {
    task.status.state.is(TaskState::Succeed)
}
