//! `cut-worker-with-leader`: the leader and a worker are cut off from everybody else, together.
//!
//! They go on talking to each other, and the old leader does not know that it leads no more. It must not keep the worker:
//! what the worker has is given to others, and what it gives later must be refused. Connections stay open all the while,
//! so nobody hears of anything but by silence.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use flame_jepsen::Nonce;
use flame_testkit::{ClusterOptions, wait_until};

use super::judge::{Judge, LEASE_RAN_OUT};
use super::report::Report;
use super::zombie_worker::{SUPERSEDED, parent, repeated};
use crate::net::Network;
use crate::probe;
use crate::run::{Run, RunOptions, Traffic};

const NAME: &str = "cut-worker-with-leader";

const COORDINATORS: usize = 3;
const WORKERS: usize = 2;

/// The worker that is cut off.
const CUT: usize = 0;

const SUBMIT_EVERY: Duration = Duration::from_millis(150);
const WINDOW: usize = 2_000;
const SERVICES: u32 = 16;
const RUNNING_MIN: u64 = 10;

/// A lease, counted from the last moment at which it can have been renewed.
const LEASE: Duration = Duration::from_secs(10);

const BACK_LIMIT: Duration = Duration::from_secs(60);

/// Flags of `flame-chaos cut-worker-with-leader`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// For how long, in seconds. A new leader gives every worker ten, and the tasks must have gone elsewhere.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(15..=600))]
    seconds: u64,
}

fn takes(_number: u64) -> Duration {
    Duration::from_secs(2)
}

/// Plays it.
///
/// # Errors
/// If the cluster does not start or does not come back.
pub async fn run(options: Options) -> Result<Report> {
    if let Err(reason) = probe::namespaces() {
        return Ok(Report::skipped(NAME, reason));
    }
    let network = Network::make(COORDINATORS + WORKERS)?;
    let (coordinators, workers) = network.hosts().split_at(COORDINATORS);
    let cluster = ClusterOptions {
        coordinators: COORDINATORS,
        workers: WORKERS,
        coordinator_hosts: coordinators.to_vec(),
        worker_hosts: workers.to_vec(),
        ..ClusterOptions::default()
    };
    let run = Run::start(RunOptions { cluster, services_max: SERVICES, window: WINDOW }).await?;
    let mut judge = Judge::new(NAME);
    let traffic = Traffic::start(&run.load, "cut", SUBMIT_EVERY, takes);
    run.runs(RUNNING_MIN).await?;
    let taken = cut(&run, &network, options.seconds, &mut judge).await?;
    let submitted = traffic.stop().await?;
    run.load.settle(submitted).await?;
    run.agreement().await?;
    let lapsed = run.cluster.written(LEASE_RAN_OUT)?;
    judge.figure("leases_run_out", lapsed);
    judge.presume(lapsed > 0, || "no lease ran out".to_owned());
    judge.figure("permitted_reruns", repeated(&run.executions_so_far()?, &taken));
    judge.verdict(&run.verdict_but_for(taken).await?, submitted);
    run.cluster.shutdown().await?;
    Ok(judge.report())
}

/// Cuts the leader and the worker off, and heals it. Returns the tasks that the worker may have had.
async fn cut(run: &Run, network: &Network, seconds: u64, judge: &mut Judge) -> Result<BTreeSet<Nonce>> {
    let leader = run.cluster.leader().await?;
    let ids = run.cluster.coordinator_ids();
    let at = ids.iter().position(|id| *id == leader.id).unwrap_or_default();
    let worker = run.cluster.worker_pid(CUT);
    let its_own = || -> Result<BTreeSet<Nonce>> {
        let executions = run.executions_so_far()?.into_iter();
        Ok(executions.filter(|execution| parent(execution.pid) == worker).map(|execution| execution.nonce).collect())
    };
    let (attached, told) =
        (run.cluster.worker_written(CUT, "attached to the leader")?, run.cluster.worker_written(CUT, SUPERSEDED)?);
    run.ledger.fault();
    network.cut_off(&[at, COORDINATORS + CUT])?;
    eprintln!("==> coordinator {} and worker {} are cut off, for {seconds} s", leader.id, CUT + 1);
    tokio::time::sleep(LEASE).await;
    let begun_in_time = its_own()?;
    tokio::time::sleep(Duration::from_secs(seconds).saturating_sub(LEASE)).await;
    let begun = its_own()?;
    let late = begun.difference(&begun_in_time).count();
    judge.figure("begun_after_the_lease", late);
    judge.require(late == 0, || format!("{late} tasks began on the worker after its lease"));
    network.heal()?;
    let next = run.leader_after(leader).await?;
    judge.figure("terms", next.term.0 - leader.term.0);
    judge.presume(next.id != leader.id, || "the same coordinator leads again".to_owned());
    wait_until(BACK_LIMIT, "the worker is attached again", || async {
        let now = run.cluster.worker_written(CUT, "attached to the leader")?;
        ensure!(now > attached, "it is not");
        Ok(())
    })
    .await?;
    run.goes_on(20).await?;
    let refused = run.cluster.worker_written(CUT, SUPERSEDED)? - told;
    judge.figure("refused_and_told", refused);
    judge.presume(refused > 0, || "the worker had nothing that was given to others".to_owned());
    Ok(begun)
}
