//! `rolling-restart`: every coordinator is stopped and started again in turn, as an operator does it, under load.
//!
//! Whoever leads hands over before it stops, so nobody notices: no call fails, and hardly any takes long.

use std::time::Duration;

use anyhow::Result;
use flame_testkit::ClusterOptions;

use super::judge::{Judge, millis};
use super::leader_kill::LEASE_RAN_OUT;
use super::report::Report;
use crate::run::{Run, RunOptions, Traffic};

const NAME: &str = "rolling-restart";

const SUBMIT_EVERY: Duration = Duration::from_micros(2_500);
const WINDOW: usize = 10_000;
const SERVICES: u32 = 8;

/// Before and after each step.
const TASKS_BETWEEN: u64 = 400;

/// 99 of 100 calls that are made during one step take no longer.
const STEP_P99_MAX: Duration = Duration::from_millis(500);

/// Flags of `flame-chaos rolling-restart`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many times round.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Coordinators: 3 or 5.
    #[arg(long, default_value_t = 3)]
    coordinators: usize,
}

/// One task in twenty takes half a second.
fn takes(number: u64) -> Duration {
    if number.is_multiple_of(20) { Duration::from_millis(500) } else { Duration::ZERO }
}

/// Plays it.
///
/// # Errors
/// If the cluster does not start, a call is refused, or a coordinator does not come back.
pub async fn run(options: Options) -> Result<Report> {
    let cluster = ClusterOptions { coordinators: options.coordinators, workers: 2, ..ClusterOptions::default() };
    let mut run = Run::start(RunOptions { cluster, services_max: SERVICES, window: WINDOW }).await?;
    let mut judge = Judge::new(NAME);
    let traffic = Traffic::start(&run.load, "rolling", SUBMIT_EVERY, takes);
    let (mut percentiles, mut transfers) = (Vec::new(), 0_u64);
    for step in 0..options.rounds {
        for id in run.cluster.coordinator_ids() {
            run.runs(1).await?;
            run.goes_on(TASKS_BETWEEN).await?;
            transfers += u64::from(run.cluster.leader().await?.id == id);
            let begun = run.ledger.now();
            run.cluster.stop_coordinator(id).await?;
            run.goes_on(TASKS_BETWEEN).await?;
            run.cluster.start_coordinator(id).await?;
            run.catches_up(id).await?;
            let percentile = run.ledger.percentile(begun, 99).unwrap_or_default();
            eprintln!("    round {}, coordinator {id}: p99 of submits {} ms", step + 1, millis(percentile));
            percentiles.push(percentile);
        }
    }
    let submitted = traffic.stop().await?;
    run.load.settle(submitted).await?;
    run.agreement().await?;
    judge.figure("steps", percentiles.len());
    judge.figure("transfers", transfers);
    judge.presume(transfers > 0, || "no leader was restarted".to_owned());
    judge.times("p99_ms", &percentiles);
    let slowest = percentiles.iter().max().copied().unwrap_or_default();
    judge.require(slowest < STEP_P99_MAX, || format!("p99 of a step is {} ms", millis(slowest)));
    let unanswered = run.ledger.lost_answers();
    judge.figure("failed_calls", unanswered);
    judge.require(unanswered == 0, || format!("{unanswered} calls failed"));
    judge.verdict(&run.verdict().await?, submitted);
    let evicted = run.cluster.written(LEASE_RAN_OUT)?;
    judge.figure("evicted", evicted);
    judge.require(evicted == 0, || format!("{evicted} workers were given up"));
    run.cluster.shutdown().await?;
    Ok(judge.report())
}
