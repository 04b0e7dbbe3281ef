//! The pause after a kill is measured although everybody who submits within the window waits for results.

use std::time::Duration;

use anyhow::{Result, ensure};
use flame_chaos::run::{Run, RunOptions, Workload};
use flame_testkit::{ClusterOptions, wait_until};

const LIMIT: Duration = Duration::from_secs(60);

/// Enough that the steady submitter does not run out of them.
const TASKS: u64 = 20_000;

const WINDOW: usize = 150;

/// Nobody stands for election sooner after the last heartbeat: the shortest time-out less one heartbeat.
const PAUSE_MIN: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn a_full_window_does_not_hide_the_pause_of_writes() -> Result<()> {
    // Without workers nothing ends: the window is full for good.
    let cluster = ClusterOptions { workers: 0, ..ClusterOptions::default() };
    let mut run = Run::start(RunOptions { cluster, services_max: 1, window: WINDOW }).await?;
    let load = run.load.clone();
    let workload = Workload { tasks: TASKS, slow_every: 0, slow: Duration::ZERO };
    let submitting = tokio::spawn(async move { load.submit(workload, "silence").await });
    let acknowledged = |at_least: u64| {
        let ledger = run.ledger.clone();
        wait_until(LIMIT, "submits are acknowledged although the window is full", move || {
            let tally = ledger.tally();
            async move {
                ensure!(tally.acknowledged >= at_least, "{tally:?}");
                Ok(())
            }
        })
    };
    acknowledged(WINDOW as u64 + 10).await?;
    let leader = run.cluster.leader().await?;
    run.ledger.fault();
    run.cluster.kill_coordinator(leader.id).await?;
    let so_far = run.ledger.tally().acknowledged;
    acknowledged(so_far + 10).await?;
    let (write_gap, _) = run.ledger.gaps();
    ensure!(write_gap >= PAUSE_MIN, "the longest silence is {write_gap:?}: the leader was dead for longer");
    submitting.abort();
    run.cluster.shutdown().await
}
