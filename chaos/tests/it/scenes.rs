//! A run in full swing, and what every scene asks at the end.

use std::time::Duration;

use anyhow::{Result, ensure};
use flame_chaos::run::{Run, RunOptions, Workload};
use flame_jepsen::Judgement;
use flame_sdk::Connection;
use flame_testkit::{ClusterOptions, wait_until};
use flame_types::{TaskNo, TaskState};
use tokio::task::JoinHandle;

/// Enough that a run is still going when it is broken, and quick enough for every day.
pub const TASKS: u64 = 1_500;

const LIMIT: Duration = Duration::from_secs(120);

/// Starts a run and returns when a third is finished, some of it runs, and submits go on.
pub async fn in_full_swing(cluster: ClusterOptions) -> Result<(Run, JoinHandle<Result<()>>)> {
    let run = Run::start(RunOptions { cluster, services_max: 8, window: 300 }).await?;
    let workload = Workload { tasks: TASKS, slow_every: 25, slow: Duration::from_millis(500) };
    let load = run.load.clone();
    let submitting = tokio::spawn(async move { load.submit(workload, "crash").await });
    wait_until(LIMIT, "a third is finished and some tasks are running", || async {
        let tally = run.ledger.tally();
        ensure!(tally.finished >= TASKS / 3, "{tally:?}");
        ensure!(run.running().await? > 0, "nothing runs just now");
        Ok(())
    })
    .await?;
    ensure!(run.ledger.tally().acknowledged < TASKS, "everything is acknowledged already: nothing to break into");
    Ok((run, submitting))
}

/// Lets the run finish and asks all witnesses: every acknowledged task is there and has ended, once.
pub async fn everything_is_there(run: Run, submitting: JoinHandle<Result<()>>) -> Result<()> {
    submitting.await??;
    run.load.settle(TASKS).await?;
    run.agreement().await?;
    let verdict = run.verdict().await?;
    ensure!(verdict.judgement == Judgement::Valid, "{verdict}\n{}", run.cluster.tails());
    ensure!(verdict.submitted == TASKS && verdict.succeeded == TASKS, "{verdict}");
    eprintln!("{verdict}");
    run.cluster.shutdown().await
}

/// Until this one task has succeeded.
pub async fn succeeds(client: &Connection, session: &str, task: TaskNo) -> Result<()> {
    wait_until(LIMIT, &format!("task {task} of {session} has succeeded"), || async {
        let task = client.get_task(session, task).await?;
        ensure!(task.status.state.is(TaskState::Succeed), "{:?}", task.status);
        Ok(())
    })
    .await
}
