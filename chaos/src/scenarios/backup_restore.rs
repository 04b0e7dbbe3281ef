//! `backup-restore`: a backup is taken of a cluster in full swing, the cluster is lost, and another is made of the backup.
//!
//! The backup must not hold the old cluster up. Every task that was acknowledged before it was asked for is in the new
//! cluster, what had ended is not run again, and what had not ends there.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use flame_jepsen::{Judgement, Nonce, check};
use flame_testkit::{Cluster, ClusterOptions};
use serde_json::Value;

use super::judge::Judge;
use super::report::Report;
use crate::run::operator::{Promised, flmctl};
use crate::run::{Run, RunOptions, Traffic, Workload};

const NAME: &str = "backup-restore";

const SUBMIT_EVERY: Duration = Duration::from_micros(2_500);
const WINDOW: usize = 4_000;
const SERVICES: u32 = 16;
const WORKERS: usize = 2;

/// Tasks that run when the backup is taken.
const RUNNING_MIN: u64 = 4;

/// Flags of `flame-chaos backup-restore`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Tasks that have ended when the backup is taken, at least.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub tasks: u64,
}

/// One in twenty takes two seconds: there are always some that have not ended.
fn takes(number: u64) -> Duration {
    if number.is_multiple_of(20) { Duration::from_secs(2) } else { Duration::ZERO }
}

/// Plays it.
///
/// # Errors
/// If a cluster does not start, or the backup is refused.
pub async fn run(options: Options) -> Result<Report> {
    let workers =
        ClusterOptions { workers: WORKERS, worker_resources: "cpu=8,mem=8g".to_owned(), ..ClusterOptions::default() };
    let mut old = Run::start(RunOptions { cluster: workers.clone(), services_max: SERVICES, window: WINDOW }).await?;
    let mut judge = Judge::new(NAME);
    let traffic = Traffic::start(&old.load, "backup", SUBMIT_EVERY, takes);
    old.goes_on(options.tasks).await?;
    let running = old.runs(RUNNING_MIN).await?;
    let file = old.cluster.folder().join("cluster.backup");
    let (promised, taken) = back_up(&old, &file).await?;
    old.goes_on(options.tasks / 2).await?;
    judge.figure("running_then", running);
    for figure in ["index", "bytes", "digest"] {
        judge.figure(figure, taken[figure].clone());
    }
    let unfinished = promised.acknowledged.len() - promised.ended().len();
    judge.figure("acknowledged_then", promised.acknowledged.len());
    judge.figure("unfinished_then", unfinished);
    judge.presume(unfinished > 0, || "every task had ended when the backup was taken".to_owned());

    let submitted = traffic.stop().await?;
    old.load.settle(submitted).await?;
    old.agreement().await?;
    judge.verdict(&old.verdict().await?, submitted);

    old.cluster.kill_all_coordinators().await?;
    for worker in 0..WORKERS {
        old.cluster.kill_worker(worker).await?;
    }
    let (cluster, restored) = Cluster::restored(ClusterOptions { coordinators: 1, ..workers }, &file).await?;
    judge.require(restored["backup"]["digest"] == taken["digest"], || format!("another digest: {restored}"));
    let new = old.continued_on(cluster, WINDOW)?;
    go_on(&old, new, &promised, options.tasks / 10, &mut judge).await?;
    Ok(judge.report())
}

/// Takes a backup from a follower and checks it. What was promised before it was asked for must be in it.
async fn back_up(run: &Run, file: &Path) -> Result<(Promised, Value)> {
    let leader = run.cluster.leader().await?.id;
    let follower = run.cluster.coordinator_ids().into_iter().find(|id| *id != leader).context("a follower")?;
    let promised = Promised::now(&run.ledger);
    let (file, follower) = (file.display().to_string(), follower.to_string());
    let taken = flmctl(&run.cluster, &["cluster", "backup", &file, "--from", &follower]).await?;
    eprintln!("==> a backup was taken: {taken}");
    let verified = flmctl(&run.cluster, &["cluster", "backup", "--verify", &file]).await?;
    let same = verified["digest"] == taken["digest"] && verified["index"] == taken["index"];
    anyhow::ensure!(same, "the file says {verified}");
    Ok((promised, taken))
}

/// The new cluster grows, takes more tasks, and ends all of them.
async fn go_on(old: &Run, mut new: Run, promised: &Promised, more: u64, judge: &mut Judge) -> Result<()> {
    for _ in 0..2 {
        new.grow().await?;
    }
    new.load.submit(Workload { tasks: more, slow_every: 20, slow: Duration::from_millis(500) }, "restored").await?;
    new.load.settle(more).await?;
    new.rests().await?;
    new.agreement().await.context("the coordinators of the new cluster")?;

    let mut history = new.history().await?;
    let (ended, after) = (promised.ended(), Promised::now(&old.ledger));
    let nonces = after.acknowledged.iter().map(|ack| ack.nonce.clone());
    history.may_rerun = nonces.filter(|nonce| !ended.contains(nonce)).collect();
    // What was acknowledged while the backup was taken, or after it, may be in it or not.
    let sure: BTreeSet<Nonce> = promised.acknowledged.iter().map(|ack| ack.nonce.clone()).collect();
    let open = after.acknowledged.into_iter().map(|ack| ack.nonce).filter(|nonce| !sure.contains(nonce));
    history.unresolved.extend(open);
    history.acknowledged.extend(promised.acknowledged.iter().cloned());
    history.told.extend(promised.told.iter().cloned());
    let verdict = check(&history);
    judge.figure("restored", verdict.submitted);
    judge.figure("restored_lost", verdict.lost);
    judge.require(verdict.judgement == Judgement::Valid, || format!("in the new cluster: {verdict}"));
    judge.require(verdict.succeeded == verdict.submitted, || {
        format!("in the new cluster {} of {} tasks have succeeded", verdict.succeeded, verdict.submitted)
    });
    new.cluster.shutdown().await
}
