//! `power-cut`: the disk of one coordinator, or of all, loses what was not synced, and the process dies with it.
//!
//! Whatever was acknowledged must be there afterwards.

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use flame_testkit::ClusterOptions;
use flame_types::CoordinatorId;

use super::judge::Judge;
use super::report::Report;
use crate::disks::Disks;
use crate::probe;
use crate::run::{Run, RunOptions, Traffic};

const NAME: &str = "power-cut";

const SUBMIT_EVERY: Duration = Duration::from_micros(2_500);
const WINDOW: usize = 10_000;
const SERVICES: u32 = 8;
const COORDINATORS: usize = 3;
const TASKS_BETWEEN: u64 = 400;

/// Whose power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Victim {
    /// Whoever leads.
    Leader,
    /// Somebody who does not.
    Follower,
    /// Everybody at once.
    All,
}

/// Flags of `flame-chaos power-cut`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Whose disk; each of the three in turn when not given.
    #[arg(long, value_enum)]
    of: Option<Victim>,
    /// How often, each.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    times: u64,
}

fn takes(number: u64) -> Duration {
    if number.is_multiple_of(20) { Duration::from_millis(500) } else { Duration::ZERO }
}

/// Plays it.
///
/// # Errors
/// If the cluster or its disks do not come back.
pub async fn run(options: Options) -> Result<Report> {
    if let Err(reason) = probe::power_cut() {
        return Ok(Report::skipped(NAME, reason));
    }
    let mut disks = Disks::make(COORDINATORS)?;
    let cluster = ClusterOptions {
        coordinators: COORDINATORS,
        data_dirs: disks.folders(),
        workers: 2,
        ..ClusterOptions::default()
    };
    let mut run = Run::start(RunOptions { cluster, services_max: SERVICES, window: WINDOW }).await?;
    let mut judge = Judge::new(NAME);
    let traffic = Traffic::start(&run.load, "power", SUBMIT_EVERY, takes);
    let victims = options.of.map_or_else(|| Victim::value_variants().to_vec(), |victim| vec![victim]);
    let mut cuts = 0_u64;
    for victim in victims {
        for _ in 0..options.times {
            cut(&mut run, &mut disks, victim, &mut judge).await?;
            cuts += 1;
        }
    }
    let submitted = traffic.stop().await?;
    run.load.settle(submitted).await?;
    run.agreement().await?;
    judge.figure("cuts", cuts);
    judge.verdict(&run.verdict().await?, submitted);
    run.cluster.shutdown().await?;
    Ok(judge.report())
}

async fn cut(run: &mut Run, disks: &mut Disks, victim: Victim, judge: &mut Judge) -> Result<()> {
    run.goes_on(TASKS_BETWEEN).await?;
    let leader = run.cluster.leader().await?;
    let ids = run.cluster.coordinator_ids();
    let is_hit = |id: &CoordinatorId| match victim {
        Victim::Leader => *id == leader.id,
        Victim::Follower => *id != leader.id,
        Victim::All => true,
    };
    let count = if victim == Victim::All { ids.len() } else { 1 };
    let hit: Vec<usize> = (0..ids.len()).filter(|index| is_hit(&ids[*index])).take(count).collect();
    let running = run.running().await?;
    judge.presume(running > 0, || "no task ran when the power was cut".to_owned());
    let names: Vec<CoordinatorId> = hit.iter().map(|index| ids[*index]).collect();
    eprintln!("==> the power of coordinators {names:?} is cut");
    for index in &hit {
        disks.cut_power_of(*index)?;
    }
    run.cluster.kill_coordinators(&names).await?;
    for index in &hit {
        disks.power_on_of(*index)?;
    }
    if victim != Victim::All {
        run.goes_on(TASKS_BETWEEN).await?;
    }
    run.cluster.start_all_coordinators().await?;
    for id in names {
        run.catches_up(id).await?;
    }
    Ok(())
}
