//! `crash-points`: a coordinator dies at its N-th synced write, for each N of a range, leaders and followers in turn.
//!
//! A debugger stops the process at the very system call, so that every place between a write and its acknowledgement is
//! met sooner or later. Whatever was acknowledged must be there afterwards.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_testkit::{ClusterOptions, wait_until};
use flame_types::CoordinatorId;

use super::judge::Judge;
use super::report::Report;
use crate::probe;
use crate::run::{Run, RunOptions, Traffic};
use crate::tracer::{Fault, Tracer};

const NAME: &str = "crash-points";

const SUBMIT_EVERY: Duration = Duration::from_micros(2_500);
const WINDOW: usize = 20_000;
const SERVICES: u32 = 8;
const TASKS_BETWEEN: u64 = 50;

/// For a coordinator to come to its N-th write under load.
const DEATH_LIMIT: Duration = Duration::from_secs(60);

/// Flags of `flame-chaos crash-points`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The first N.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    from: u32,
    /// The last N.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    to: u32,
}

fn takes(number: u64) -> Duration {
    if number.is_multiple_of(20) { Duration::from_millis(500) } else { Duration::ZERO }
}

/// Plays it.
///
/// # Errors
/// If the cluster does not start, or a coordinator does not come back.
pub async fn run(options: Options) -> Result<Report> {
    ensure!(options.from <= options.to, "--from {} lies behind --to {}", options.from, options.to);
    if let Err(reason) = probe::debugger() {
        return Ok(Report::skipped(NAME, reason));
    }
    let cluster = ClusterOptions { workers: 2, ..ClusterOptions::default() };
    let mut run = Run::start(RunOptions { cluster, services_max: SERVICES, window: WINDOW }).await?;
    let mut judge = Judge::new(NAME);
    let traffic = Traffic::start(&run.load, "crash", SUBMIT_EVERY, takes);
    let (mut leaders, mut crashes) = (0_u64, 0_u64);
    for write in options.from..=options.to {
        let leader = run.cluster.leader().await?;
        let others = run.cluster.coordinator_ids().into_iter().filter(|id| *id != leader.id);
        let victim = if write.is_multiple_of(2) { others.min().unwrap_or(leader.id) } else { leader.id };
        crash(&mut run, victim, write).await?;
        crashes += 1;
        leaders += u64::from(victim == leader.id);
        eprintln!("    coordinator {victim} has died at synced write {write}");
        run.goes_on(TASKS_BETWEEN).await?;
        run.cluster.start_coordinator(victim).await?;
        run.catches_up(victim).await?;
    }
    let submitted = traffic.stop().await?;
    run.load.settle(submitted).await?;
    run.agreement().await?;
    judge.figure("crashes", crashes);
    judge.figure("of_leaders", leaders);
    judge.presume(leaders > 0 || options.from == options.to, || "no leader has died".to_owned());
    judge.verdict(&run.verdict().await?, submitted);
    run.cluster.shutdown().await?;
    Ok(judge.report())
}

async fn crash(run: &mut Run, victim: CoordinatorId, write: u32) -> Result<()> {
    let pid = run.cluster.coordinator_pid(victim).context("the coordinator runs")?;
    let debugger = Tracer::attach(pid, Fault::KillAt(write))?;
    wait_until(DEATH_LIMIT, &format!("coordinator {victim} dies at synced write {write}"), || {
        let has_ended = run.cluster.has_ended(victim);
        async move {
            ensure!(has_ended, "it lives");
            Ok(())
        }
    })
    .await?;
    drop(debugger);
    run.cluster.kill_coordinator(victim).await
}
