//! `recover`: under load, two of three coordinators are lost with their disks. The third is made to go on alone, and two new
//! ones are added.
//!
//! Everything that the survivor held is there. What was acknowledged and it did not hold is lost, and counted; it can only be
//! what came last, and nothing at all if the survivor led.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use flame_jepsen::{Acknowledgement, Nonce, check};
use flame_testkit::ClusterOptions;
use flame_types::{CoordinatorId, TaskNo};

use super::judge::Judge;
use super::report::Report;
use crate::run::operator::Promised;
use crate::run::{Run, RunOptions, Traffic};

const NAME: &str = "recover";

const SUBMIT_EVERY: Duration = Duration::from_micros(2_500);
const WINDOW: usize = 4_000;
const SERVICES: u32 = 16;
const TASKS_BETWEEN: u64 = 400;

/// Tasks that run when the others are lost.
const RUNNING_MIN: u64 = 4;

/// Who is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Survivor {
    /// Whoever led.
    Leader,
    /// Somebody who did not.
    Follower,
}

/// Flags of `flame-chaos recover`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Who is left.
    #[arg(long, value_enum, default_value_t = Survivor::Follower)]
    pub survivor: Survivor,
}

fn takes(number: u64) -> Duration {
    if number.is_multiple_of(20) { Duration::from_secs(2) } else { Duration::ZERO }
}

/// Plays it.
///
/// # Errors
/// If the cluster does not start, or the survivor is refused.
pub async fn run(options: Options) -> Result<Report> {
    let cluster =
        ClusterOptions { workers: 2, worker_resources: "cpu=8,mem=8g".to_owned(), ..ClusterOptions::default() };
    let mut run = Run::start(RunOptions { cluster, services_max: SERVICES, window: WINDOW }).await?;
    let mut judge = Judge::new(NAME);
    let traffic = Traffic::start(&run.load, "recover", SUBMIT_EVERY, takes);
    run.goes_on(TASKS_BETWEEN).await?;
    run.runs(RUNNING_MIN).await?;
    let leader = run.cluster.leader().await?.id;
    let ids = run.cluster.coordinator_ids();
    let is_left = |id: &CoordinatorId| (*id == leader) == (options.survivor == Survivor::Leader);
    let left = ids.iter().copied().find(is_left).context("there is one")?;
    // Whatever was promised by now it is about to hold.
    let sure = Promised::now(&run.ledger);
    run.catches_up(left).await?;
    let running = run.running().await?;
    judge.presume(running > 0, || "no task ran when the others were lost".to_owned());

    let gone: Vec<_> = ids.into_iter().filter(|id| *id != left).collect();
    eprintln!("==> coordinators {gone:?} are lost with their disks; {left} is left");
    run.ledger.fault();
    run.cluster.kill_coordinators(&gone).await?;
    for id in &gone {
        run.cluster.wipe_data(*id)?;
        run.cluster.set_member(*id, false);
    }
    run.cluster.stop_coordinator(left).await?;
    let promised = Promised::now(&run.ledger).acknowledged;
    let recovered = run.cluster.recover_coordinator(left).await?;
    eprintln!("==> it is recovered: {recovered}");
    run.cluster.start_coordinator(left).await?;
    for _ in &gone {
        run.grow().await?;
    }
    run.goes_on(TASKS_BETWEEN).await.with_context(|| run.cluster.tails())?;
    let submitted = traffic.stop().await?;
    run.rests().await?;
    run.agreement().await?;
    judge.figure("survivor", if left == leader { "leader" } else { "follower" });
    judge.figure("running_then", running);
    judge.figure("held", recovered["held"].clone());
    judge.figure("unconfirmed", recovered["unconfirmed"].clone());
    judge_all(&run, &sure, &promised, submitted, left == leader, &mut judge).await?;
    run.cluster.shutdown().await?;
    Ok(judge.report())
}

async fn judge_all(
    run: &Run,
    sure: &Promised,
    promised: &[Acknowledgement],
    submitted: u64,
    led: bool,
    judge: &mut Judge,
) -> Result<()> {
    let mut history = run.history().await?;
    let held: BTreeSet<(TaskNo, Nonce)> =
        history.views.iter().flat_map(|view| &view.tasks).map(|task| (task.task, task.nonce.clone())).collect();
    let is_held = |ack: &&Acknowledgement| held.contains(&(ack.task, ack.nonce.clone()));
    let (kept, lost): (Vec<_>, Vec<_>) = promised.iter().partition(is_held);
    judge.figure("acknowledged_then", promised.len());
    judge.figure("acknowledged_and_lost", lost.len());
    judge.require(!led || lost.is_empty(), || format!("the leader survived, and {} tasks are lost", lost.len()));
    let early = sure.acknowledged.iter().filter(|ack| !is_held(ack)).count();
    judge.require(early == 0, || format!("{early} tasks are lost that the survivor held"));
    let (last_kept, first_lost) = (kept.iter().map(|ack| ack.task).max(), lost.iter().map(|ack| ack.task).min());
    judge.require(first_lost.is_none_or(|first| last_kept < Some(first)), || {
        format!("task {first_lost:?} is lost although task {last_kept:?}, which came later, is not")
    });

    // What is lost was never promised by this cluster; its numbers may have been given to others.
    let (numbers, nonces): (BTreeSet<_>, BTreeSet<_>) = lost.iter().map(|ack| (ack.task, ack.nonce.clone())).unzip();
    history.acknowledged.retain(|ack| !nonces.contains(&ack.nonce));
    history.told.retain(|told| !numbers.contains(&told.task));
    let ended = sure.ended();
    history.may_rerun = promised.iter().map(|ack| ack.nonce.clone()).filter(|nonce| !ended.contains(nonce)).collect();
    history.unresolved.extend(nonces);
    judge.verdict(&check(&history), submitted - lost.len() as u64);
    Ok(())
}
