//! `no-quorum`: a majority of coordinators is dead for minutes, while tasks go on and end.
//!
//! Workers keep what they have and what it gave until somebody leads again; then every result is recorded, and nothing
//! runs again. Meanwhile no submit may be acknowledged, and no result told.

use std::time::Duration;

use anyhow::{Result, ensure};
use flame_testkit::{ClusterOptions, wait_until};
use flame_types::CoordinatorId;

use super::judge::{Judge, millis};
use super::report::Report;
use crate::run::{Run, RunOptions, Traffic};

const NAME: &str = "no-quorum";

const SUBMIT_EVERY: Duration = Duration::from_millis(10);
const WINDOW: usize = 4_000;
const SERVICES: u32 = 32;

/// Tasks that run when the majority dies.
const RUNNING_MIN: u64 = 20;

/// What was decided just before may take so long to be told.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long a submit waits for its acknowledgement.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// From the end of the trouble to the first acknowledgement.
const BACK_LIMIT: Duration = Duration::from_secs(60);

/// Flags of `flame-chaos no-quorum`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// For how long, in seconds.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(15..=3600))]
    pub seconds: u64,
}

/// Half of them take eight seconds: many run when the majority dies, and end long before it comes back.
fn takes(number: u64) -> Duration {
    if number.is_multiple_of(2) { Duration::from_secs(8) } else { Duration::from_millis(100) }
}

/// Plays it.
///
/// # Errors
/// If the cluster does not start or does not come back.
pub async fn run(options: Options) -> Result<Report> {
    let cluster =
        ClusterOptions { workers: 2, worker_resources: "cpu=16,mem=16g".to_owned(), ..ClusterOptions::default() };
    let mut run = Run::start(RunOptions { cluster, services_max: SERVICES, window: WINDOW }).await?;
    let mut judge = Judge::new(NAME);
    let probe = run.probe().await?;
    let traffic = Traffic::start(&run.load, "quorum", SUBMIT_EVERY, takes);
    let running = run.runs(RUNNING_MIN).await?;
    let submitted = traffic.stop().await?;
    let leader = run.cluster.leader().await?;
    let ids = run.cluster.coordinator_ids().into_iter();
    let victims: Vec<CoordinatorId> = ids.filter(|id| *id != leader.id).collect();
    run.cluster.kill_coordinators(&victims).await?;
    tokio::time::sleep(LAST_WORDS).await;
    let before = run.ledger.tally();
    eprintln!(
        "==> coordinators {victims:?} are dead and {running} tasks run; {} s without a majority",
        options.seconds
    );
    let (acknowledged, ()) =
        tokio::join!(probe.acknowledged(PROBE_LIMIT), tokio::time::sleep(Duration::from_secs(options.seconds)));
    let told = run.ledger.tally().finished - before.finished;
    judge.figure("running_then", running);
    judge.figure("acknowledged_without_quorum", acknowledged);
    judge.require(acknowledged == 0, || format!("{acknowledged} submits were acknowledged without a majority"));
    judge.figure("told_without_quorum", told);
    judge.require(told == 0, || format!("{told} results were told without a majority"));

    run.cluster.start_all_coordinators().await?;
    let back = run.ledger.now();
    wait_until(BACK_LIMIT, "a submit is acknowledged again", || async {
        ensure!(probe.acknowledged(PROBE_LIMIT).await > 0, "nobody acknowledges");
        Ok(())
    })
    .await?;
    judge.figure("back_after_ms", millis(run.ledger.now().saturating_sub(back)));
    run.load.settle(submitted).await?;
    run.agreement().await?;
    judge.verdict(&run.verdict().await?, submitted);
    judge.nobody_evicted(&run.cluster)?;
    run.cluster.shutdown().await?;
    Ok(judge.report())
}
