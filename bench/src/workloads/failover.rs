//! `failover`: the leader is killed again and again while clients submit on all nodes; how long they wait for the next
//! acknowledgement and the next result, and whether anything was lost, recorded twice, or run again.
//!
//! Load, clients, evidence and the checker are those of the chaos tests.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_chaos::run::{Run, RunOptions, Workload};
use flame_jepsen::{Judgement, Verdict, execution_log};
use flame_testkit::{ClusterOptions, Profile, wait_until};

use crate::accounting::Snapshot;
use crate::figures::{FOREIGN_CPU, Figures};
use crate::scene;
use crate::settings::Settings;
use crate::statistics::Latencies;
use crate::workloads::Outcome;

/// Tasks between two kills: three seconds of load.
const TASKS_PER_KILL: u64 = 1_200;
const KILLS: u64 = 20;

/// Between two submits. A steady load, whatever the cluster does: only so is there a submit open when the leader dies,
/// and the silence can be measured.
const SUBMIT_EVERY: Duration = Duration::from_micros(2_500);

/// Submitted and not finished at a time: never reached, so that no submit waits for a result.
const WINDOW: usize = 2 * TASKS_PER_KILL as usize;

const SERVICES: u32 = 8;

/// Some tasks take a little, so that several run when the leader dies.
const SLOW_EVERY: u64 = 10;
const SLOW: Duration = Duration::from_millis(100);

/// The leader dies when between so many percent of a stretch have finished.
const KILL_PERCENT: std::ops::Range<usize> = 20..50;

const LIMIT: Duration = Duration::from_secs(120);

/// Twenty kills.
pub async fn run(settings: Settings, profile: Profile) -> Result<Outcome> {
    let kills = (settings.tasks_or(KILLS * TASKS_PER_KILL) / TASKS_PER_KILL).max(1);
    let cluster = ClusterOptions { profile, ..scene::options(SERVICES) };
    let mut run = Run::start(RunOptions { cluster, services_max: SERVICES, window: WINDOW }).await?;
    let services = warm_up(&run).await?;
    let before = Snapshot::take(&scene::processes(&run.cluster, None))?;
    let (mut writes, mut results) = (Vec::new(), Vec::new());
    for kill in 1..=kills {
        let percent = Settings { seed: settings.seed.wrapping_add(kill), ..settings.clone() }.pick(KILL_PERCENT.len());
        let (write, result) = kill_once(&mut run, kill, (KILL_PERCENT.start + percent) as u64).await?;
        eprintln!(
            "    kill {kill} of {kills}: write gap {} ms, result gap {} ms",
            write.as_millis(),
            result.as_millis()
        );
        writes.push(write);
        results.push(result);
    }
    let usage = Snapshot::take(&scene::processes(&run.cluster, None))?.since(&before);
    let verdict = run.verdict().await?;
    let mut figures = Figures::default();
    set_gaps(&mut figures, "write_gap_ms", Latencies::of(writes));
    set_gaps(&mut figures, "result_gap_ms", Latencies::of(results));
    set_verdict(&mut figures, &verdict);
    // A worker that was given up has lost its services, and others have taken their places.
    let new = executors(&run)?.difference(&services).count();
    figures.set("evicted", new as f64);
    figures.set("kills", kills as f64);
    figures.set(FOREIGN_CPU, usage.foreign);
    run.cluster.shutdown().await?;
    let expected = (kills + 1) * TASKS_PER_KILL;
    if verdict.judgement == Judgement::Valid && verdict.succeeded == expected {
        return Ok(Outcome::Measured(figures));
    }
    Ok(Outcome::Wrong(figures, format!("{} of {expected} tasks succeeded; {verdict}", verdict.succeeded)))
}

/// One stretch of load without a kill, until every service has run something; their processes.
async fn warm_up(run: &Run) -> Result<BTreeSet<u32>> {
    run.load.submit_every(workload(), "warm-up", SUBMIT_EVERY).await?;
    run.load.settle(TASKS_PER_KILL).await?;
    let services = executors(run)?;
    ensure!(services.len() == SERVICES as usize, "only {} of {SERVICES} services have run a task", services.len());
    Ok(services)
}

/// The processes that have run tasks so far.
fn executors(run: &Run) -> Result<BTreeSet<u32>> {
    let log = std::fs::read_to_string(run.executions()).context("read the log of executions")?;
    Ok(execution_log::parse(&log)?.into_iter().map(|execution| execution.pid).collect())
}

/// A stretch of load in which the leader dies; the longest silences around its death. The dead one comes back.
async fn kill_once(run: &mut Run, kill: u64, percent: u64) -> Result<(Duration, Duration)> {
    let leader = run.cluster.leader().await?;
    let load = run.load.clone();
    let prefix = format!("kill-{kill}");
    let submitting = tokio::spawn(async move { load.submit_every(workload(), &prefix, SUBMIT_EVERY).await });
    // The warm-up and the stretches before this one.
    let finished_before = kill * TASKS_PER_KILL;
    let due = finished_before + TASKS_PER_KILL * percent / 100;
    wait_until(LIMIT, "enough of this stretch is finished", || async {
        let tally = run.ledger.tally();
        ensure!(tally.finished >= due, "{tally:?}");
        Ok(())
    })
    .await?;
    run.ledger.fault();
    run.cluster.kill_coordinator(leader.id).await?;
    submitting.await.context("the submitting task broke")??;
    run.load.settle(finished_before + TASKS_PER_KILL).await?;
    let gaps = run.ledger.gaps();
    run.cluster.start_coordinator(leader.id).await?;
    run.agreement().await?;
    Ok(gaps)
}

fn workload() -> Workload {
    Workload { tasks: TASKS_PER_KILL, slow_every: SLOW_EVERY, slow: SLOW }
}

fn set_gaps(figures: &mut Figures, name: &str, gaps: Latencies) {
    for (suffix, percent) in [("p50", 50.0), ("max", 100.0)] {
        if let Some(value) = gaps.percentile_ms(percent) {
            figures.set(&format!("{name}_{suffix}"), value);
        }
    }
}

fn set_verdict(figures: &mut Figures, verdict: &Verdict) {
    for (name, count) in [("lost", verdict.lost), ("duplicated", verdict.duplicated), ("reruns", verdict.reruns)] {
        figures.set(name, count as f64);
    }
}
