//! `make demo`: tasks run through a three-node cluster whose leader is killed half-way, with nothing lost.
//!
//! Progress goes to stderr. Stdout gets the figures at the moment of the kill, and one last line with the outcome.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use flame_jepsen::{Judgement, Verdict};
use flame_testkit::{ClusterOptions, Leader, Profile, wait_until};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::run::{Ledger, Run, RunOptions, Tally, Workload};

/// The leader is killed once this share is acknowledged and finished, in percent …
const KILL_FROM_PERCENT: u64 = 40;
/// … and the demo proves nothing if it takes until after this one.
const KILL_UNTIL_PERCENT: u64 = 70;
/// The earliest moment that counts as half-way.
const HALF_WAY_FROM_PERCENT: u64 = 30;

/// For the run to come half-way.
const HALF_WAY_LIMIT: Duration = Duration::from_secs(300);

/// How many may be submitted and not finished: so that acknowledging and finishing go along together. One submitter goes
/// on whether or not anything finishes, so that the pause of writes is seen.
const WINDOW: usize = 400;

/// The user has had enough.
#[derive(Clone, Copy, Debug)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted; everything that was started has been ended")
    }
}

impl std::error::Error for Interrupted {}

/// Flags of `flame-chaos demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many tasks.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(2_000..=1_000_000))]
    tasks: u64,
    /// Every so-manieth task takes a second, the others no time at all.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    slow_every: u64,
    /// Coordinators: 3 or 5.
    #[arg(long, default_value_t = 3)]
    coordinators: usize,
    /// Workers.
    #[arg(long, default_value_t = 2)]
    workers: usize,
}

/// Runs the demo. True if nothing was lost, duplicated or run again. Ctrl-C ends it and everything it has started.
///
/// # Errors
/// If the cluster does not start, the kill cannot be made half-way, or something is left behind.
pub async fn run(options: Options) -> Result<bool> {
    tokio::select! {
        outcome = play(options) => outcome,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("wait for Ctrl-C")?;
            Err(Interrupted.into())
        }
    }
}

async fn play(options: Options) -> Result<bool> {
    step(&format!("starting {} coordinators and {} workers", options.coordinators, options.workers));
    let mut run = Run::start(run_options(&options)).await?;
    let leader = run.cluster.leader().await?;
    step(&format!(
        "coordinator {} leads in term {}; submitting {} tasks through all nodes",
        leader.id, leader.term, options.tasks
    ));
    let progress = show_progress(&run, options.tasks);
    let began = run.ledger.now();
    let submitting = submit(&run, &options);
    kill_half_way(&mut run, leader, options.tasks).await?;
    submitting.await.context("the submitting task broke")??;
    run.load.settle(options.tasks).await?;
    let took = run.ledger.now().saturating_sub(began);
    let next = run.cluster.leader().await?;
    step(&format!(
        "coordinator {} leads in term {}; everything has ended; coordinator {} comes back",
        next.id, next.term, leader.id
    ));
    run.cluster.start_coordinator(leader.id).await?;
    run.agreement().await?;
    progress.abort();
    step("asking every node for every task, and counting what the services wrote down");
    let verdict = run.verdict().await?;
    let (write_gap, result_gap) = run.ledger.gaps();
    step("stopping everything");
    run.cluster.shutdown().await?;
    if verdict.judgement != Judgement::Valid {
        eprintln!("{verdict}");
    }
    println!("{}", last_line(&verdict, write_gap, result_gap, options.tasks, took));
    Ok(verdict.judgement == Judgement::Valid
        && verdict.submitted == options.tasks
        && verdict.succeeded == options.tasks)
}

fn run_options(options: &Options) -> RunOptions {
    let cluster = ClusterOptions {
        coordinators: options.coordinators,
        workers: options.workers,
        profile: Profile::Default,
        ..ClusterOptions::default()
    };
    RunOptions { cluster, services_max: 16, window: WINDOW }
}

fn submit(run: &Run, options: &Options) -> JoinHandle<Result<()>> {
    let (slow_every, slow) = (options.slow_every, Duration::from_secs(1));
    let workload = Workload { tasks: options.tasks, slow_every, slow };
    let load = run.load.clone();
    tokio::spawn(async move { load.submit(workload, "demo").await })
}

/// Waits until enough is acknowledged and finished and something runs, then kills the leader with SIGKILL.
async fn kill_half_way(run: &mut Run, leader: Leader, tasks: u64) -> Result<()> {
    let running = wait_until(HALF_WAY_LIMIT, "the run is half-way and some tasks are running", || async {
        let tally = run.ledger.tally();
        ensure!(tally.finished * 100 >= tasks * KILL_FROM_PERCENT, "{tally:?}");
        let running = run.running().await?;
        ensure!(running > 0, "no task runs just now");
        Ok(running)
    })
    .await?;
    let Tally { acknowledged, finished, .. } = run.ledger.tally();
    run.ledger.fault();
    run.cluster.kill_coordinator(leader.id).await?;
    let percent = |count: u64| count as f64 * 100.0 / tasks as f64;
    println!(
        "kill: leader={} term={} acknowledged={:.1}% finished={:.1}% running={running}",
        leader.id,
        leader.term,
        percent(acknowledged),
        percent(finished)
    );
    let half_way = HALF_WAY_FROM_PERCENT as f64..=KILL_UNTIL_PERCENT as f64;
    if !half_way.contains(&percent(acknowledged)) || !half_way.contains(&percent(finished)) {
        bail!(
            "the kill did not come half-way ({HALF_WAY_FROM_PERCENT} to {KILL_UNTIL_PERCENT} %): this run proves nothing"
        );
    }
    Ok(())
}

fn last_line(verdict: &Verdict, write_gap: Duration, result_gap: Duration, tasks: u64, took: Duration) -> String {
    let Verdict { submitted, succeeded, lost, duplicated, reruns, .. } = verdict;
    let per_second = (tasks as f64 / took.as_secs_f64().max(f64::MIN_POSITIVE)).round();
    format!(
        "demo: submitted={submitted} succeeded={succeeded} lost={lost} duplicated={duplicated} reruns={reruns} \
         write_gap_ms={} result_gap_ms={} tasks_per_s={per_second}",
        write_gap.as_millis(),
        result_gap.as_millis(),
    )
}

/// One line a second until it is aborted.
fn show_progress(run: &Run, tasks: u64) -> JoinHandle<()> {
    let ledger = run.ledger.clone();
    tokio::spawn(async move {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            eprintln!("{}", progress_line(&ledger, tasks));
        }
    })
}

fn progress_line(ledger: &Ledger, tasks: u64) -> String {
    const BAR_CHARS: u64 = 30;
    let Tally { acknowledged, finished, unresolved } = ledger.tally();
    let filled = (finished * BAR_CHARS / tasks.max(1)).min(BAR_CHARS);
    let bar = "#".repeat(filled as usize) + &"-".repeat((BAR_CHARS - filled) as usize);
    let seconds = ledger.now().as_secs();
    let doubt = if unresolved == 0 { String::new() } else { format!(", {unresolved} answers lost") };
    format!("{seconds:>4} s [{bar}] {acknowledged} acknowledged, {finished} finished of {tasks}{doubt}")
}

fn step(text: &str) {
    eprintln!("==> {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_as_promised() {
        let verdict = Verdict {
            submitted: 10_000,
            succeeded: 10_000,
            lost: 0,
            duplicated: 0,
            reruns: 0,
            never_done: 0,
            findings: Vec::new(),
            judgement: Judgement::Valid,
        };
        let line = last_line(
            &verdict,
            Duration::from_millis(812),
            Duration::from_millis(950),
            10_000,
            Duration::from_secs(20),
        );
        assert_eq!(
            line,
            "demo: submitted=10000 succeeded=10000 lost=0 duplicated=0 reruns=0 write_gap_ms=812 result_gap_ms=950 tasks_per_s=500"
        );
    }

    #[test]
    fn progress_shows_what_is_known() {
        let ledger = Ledger::default();
        let line = progress_line(&ledger, 100);
        assert!(line.ends_with("0 acknowledged, 0 finished of 100"), "{line}");
    }
}
