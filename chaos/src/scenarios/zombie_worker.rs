//! `zombie-worker`: a worker stands still for longer than its lease and then goes on, as if nothing had been.
//!
//! Its services do not stand still: they finish what they have. So when it wakes it has results of tasks that were given
//! to others. Each task must end once, with the result that was recorded first, and the zombie must say what it drops.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_jepsen::{Execution, Nonce};
use flame_testkit::{ClusterOptions, wait_until};

use super::judge::{Judge, LEASE_RAN_OUT};
use super::report::Report;
use crate::run::{Run, RunOptions, Traffic};

const NAME: &str = "zombie-worker";

const SUBMIT_EVERY: Duration = Duration::from_millis(150);
const WINDOW: usize = 1_000;

/// Two workers with eight services each.
const SERVICES: u32 = 16;

/// All but a few services have something to do.
const RUNNING_MIN: u64 = 10;

/// The worker that stands still.
const ZOMBIE: usize = 0;

/// For it to come back once it may.
const BACK_LIMIT: Duration = Duration::from_secs(60);

/// What a worker writes when its tasks were given to others.
pub(super) const SUPERSEDED: &str = "the lease had run out";

/// Flags of `flame-chaos zombie-worker`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// For how long it stands still, in seconds. Its lease lasts ten.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How often.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    times: u64,
}

fn takes(_number: u64) -> Duration {
    Duration::from_secs(2)
}

/// Plays it.
///
/// # Errors
/// If the cluster does not start, or the worker does not come back.
pub async fn run(options: Options) -> Result<Report> {
    let cluster = ClusterOptions { workers: 2, ..ClusterOptions::default() };
    let mut run = Run::start(RunOptions { cluster, services_max: SERVICES, window: WINDOW }).await?;
    let mut judge = Judge::new(NAME);
    let traffic = Traffic::start(&run.load, "zombie", SUBMIT_EVERY, takes);
    let mut taken = BTreeSet::new();
    for _ in 0..options.times {
        taken.extend(stand_still(&mut run, options.seconds).await?);
    }
    let submitted = traffic.stop().await?;
    run.load.settle(submitted).await?;
    run.agreement().await?;
    let lapsed = run.cluster.written(LEASE_RAN_OUT)?;
    judge.figure("leases_run_out", lapsed);
    judge.presume(lapsed as u64 >= options.times, || "its lease did not run out each time".to_owned());
    let dropped = run.cluster.worker_written(ZOMBIE, SUPERSEDED)?;
    judge.figure("refused_and_told", dropped);
    judge.presume(dropped as u64 >= options.times, || "it had nothing that was given to others".to_owned());
    judge.figure("permitted_reruns", repeated(&run.executions_so_far()?, &taken));
    judge.verdict(&run.verdict_but_for(taken).await?, submitted);
    run.cluster.shutdown().await?;
    Ok(judge.report())
}

/// Stops the worker and lets it go on. Returns the tasks that were taken from it.
async fn stand_still(run: &mut Run, seconds: u64) -> Result<BTreeSet<Nonce>> {
    run.runs(RUNNING_MIN).await?;
    let attached = run.cluster.worker_written(ZOMBIE, "attached to the leader")?;
    let pid = run.cluster.worker_pid(ZOMBIE).context("the worker runs")?;
    run.cluster.pause_worker(ZOMBIE)?;
    eprintln!("==> worker {} stands still for {seconds} s", ZOMBIE + 1);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    // Its services live as long as it does.
    let its_own = run.executions_so_far()?.into_iter().filter(|execution| parent(execution.pid) == Some(pid));
    let taken = its_own.map(|execution| execution.nonce).collect();
    run.cluster.resume_worker(ZOMBIE)?;
    wait_until(BACK_LIMIT, "the worker is attached again", || async {
        let now = run.cluster.worker_written(ZOMBIE, "attached to the leader")?;
        ensure!(now > attached, "it is not");
        Ok(())
    })
    .await?;
    Ok(taken)
}

/// How often these tasks were run beyond the first time.
pub(super) fn repeated(executions: &[Execution], tasks: &BTreeSet<Nonce>) -> usize {
    let theirs: Vec<_> = executions.iter().filter(|execution| tasks.contains(&execution.nonce)).collect();
    let distinct: BTreeSet<_> = theirs.iter().map(|execution| &execution.nonce).collect();
    theirs.len() - distinct.len()
}

/// The parent of a process that lives.
pub(super) fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything; after it come the state and the parent.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_runs_are_counted_once_each() {
        let run = |nonce: &str| Execution { nonce: Nonce::new(nonce), pid: 1 };
        let tasks = BTreeSet::from([Nonce::new("a"), Nonce::new("b")]);
        assert_eq!(repeated(&[run("a"), run("b"), run("a"), run("a"), run("c"), run("c")], &tasks), 2);
    }

    #[test]
    fn a_process_has_a_parent() {
        assert_eq!(parent(std::process::id()), Some(std::os::unix::process::parent_id()));
        assert_eq!(parent(u32::MAX), None);
    }
}
