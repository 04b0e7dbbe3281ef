//! What `flmping` prints, as published.

use std::time::Duration;

use flame_sdk::TaskEnd;

use super::payload::PingOutput;
use crate::render::{Render, TaskRow, TaskTable};
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
pub fn table(session: &str, mut ends: Vec<TaskEnd>, color: bool) -> String {
    ends.sort_by_key(|end| end.task);
    let row = |end: &TaskEnd| TaskRow {
        session: session.to_owned(),
        task: end.task.to_string(),
        state: end.state.to_string(),
        output: shown(end),
    };
    TaskTable { rows: ends.iter().map(row).collect() }.sheet().print(color)
}

fn shown(end: &TaskEnd) -> String {
    match &end.message {
        Some(text) if !end.succeeded() => text.clone(),
        _ => PingOutput::shown(end.output.as_deref()),
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
