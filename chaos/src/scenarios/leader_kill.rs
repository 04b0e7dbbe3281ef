//! `leader-kill`: the leader dies again and again, under steady load from clients on all nodes, while tasks of no time,
//! of a second and of half a minute run on many workers.
//!
//! Nothing may be lost, recorded twice or run again, and no worker may be given up: all that anybody notices is a pause.

use std::time::Duration;

use anyhow::{Context, Result};
use flame_testkit::{ClusterOptions, Profile};
use flame_types::CoordinatorId;

use super::judge::Judge;
use super::report::Report;
use crate::run::{Run, RunOptions, Traffic};

const NAME: &str = "leader-kill";

/// Between two submits.
const SUBMIT_EVERY: Duration = Duration::from_micros(2_500);

/// Submitted and not finished at a time: enough that no submit waits for a result.
const WINDOW: usize = 20_000;

/// After a kill, the next comes when so many tasks have been submitted and have ended.
const TASKS_BETWEEN: u64 = 400;

/// Flags of `flame-chaos leader-kill`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How often.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    times: u64,
    /// Workers, of one service each.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1000))]
    workers: u32,
    /// Coordinators: 3 or 5.
    #[arg(long, default_value_t = 3)]
    coordinators: usize,
    /// How many coordinators die together, the leader among them. A majority must be left.
    #[arg(long, default_value_t = 1)]
    together: usize,
    /// Notice a lost leader in half the time.
    #[arg(long)]
    fast: bool,
}

/// One task in two hundred takes half a minute, one in ten a second.
fn takes(number: u64) -> Duration {
    match number {
        number if number.is_multiple_of(200) => Duration::from_secs(30),
        number if number.is_multiple_of(10) => Duration::from_secs(1),
        _ => Duration::ZERO,
    }
}

/// Plays it.
///
/// # Errors
/// If the cluster does not start, or does not come back.
pub async fn run(options: Options) -> Result<Report> {
    anyhow::ensure!(
        options.together >= 1 && 2 * options.together < options.coordinators,
        "of {} coordinators {} cannot die together: no majority would be left",
        options.coordinators,
        options.together
    );
    let cluster = ClusterOptions {
        coordinators: options.coordinators,
        workers: options.workers as usize,
        worker_resources: "cpu=1,mem=1g".to_owned(),
        profile: if options.fast { Profile::Fast } else { Profile::Default },
        ..ClusterOptions::default()
    };
    eprintln!("==> starting {} coordinators and {} workers", options.coordinators, options.workers);
    let mut run = Run::start(RunOptions { cluster, services_max: options.workers, window: WINDOW }).await?;
    let mut judge = Judge::new(NAME);
    let traffic = Traffic::start(&run.load, "kill", SUBMIT_EVERY, takes);
    let (mut writes, mut results) = (Vec::new(), Vec::new());
    for kill in 1..=options.times {
        let (write, result) = kill_once(&mut run, &options, &mut judge, kill).await?;
        let (shown_write, shown_result) = (write.as_millis(), result.as_millis());
        eprintln!("    kill {kill} of {}: write gap {shown_write} ms, result gap {shown_result} ms", options.times);
        writes.push(write);
        results.push(result);
    }
    let submitted = traffic.stop().await?;
    eprintln!("==> {submitted} tasks are submitted; waiting for the last");
    run.load.settle(submitted).await?;
    run.agreement().await?;
    judge.figure("kills", options.times);
    judge.figure("workers", options.workers);
    judge.times("write_gaps_ms", &writes);
    judge.times("result_gaps_ms", &results);
    judge.verdict(&run.verdict().await?, submitted);
    judge.nobody_evicted(&run.cluster)?;
    run.cluster.shutdown().await?;
    Ok(judge.report())
}

/// Kills the leader, and others with it, and brings them back. Returns the longest silences of submits and of results.
async fn kill_once(run: &mut Run, options: &Options, judge: &mut Judge, kill: u64) -> Result<(Duration, Duration)> {
    // With tasks that run, and half a minute of them on the way.
    run.runs(1).await?;
    run.goes_on(TASKS_BETWEEN).await?;
    let leader = run.cluster.leader().await?;
    let others = run.cluster.coordinator_ids().into_iter().filter(|id| *id != leader.id);
    let victims: Vec<CoordinatorId> = std::iter::once(leader.id).chain(others.take(options.together - 1)).collect();
    let running = run.running().await?;
    judge.presume(running > 0, || format!("no task ran at kill {kill}"));
    run.ledger.fault();
    run.cluster.kill_coordinators(&victims).await?;
    run.goes_on(TASKS_BETWEEN).await.with_context(|| format!("after kill {kill}\n{}", run.cluster.tails()))?;
    run.leader_after(leader).await?;
    let gaps = run.ledger.gaps();
    run.cluster.start_all_coordinators().await?;
    for id in victims {
        run.catches_up(id).await?;
    }
    Ok(gaps)
}
