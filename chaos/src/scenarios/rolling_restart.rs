//! `rolling-restart`: every coordinator is stopped and started again in turn, as an operator does it, under load.
//!
//! Whoever leads hands over before it stops, so nobody notices: no call fails, and hardly any takes long.

use anyhow::Result;
use flame_testkit::{Build, ClusterOptions};

use super::judge::Judge;
use super::report::Report;
use super::rolling::{Rolling, SERVICES, SUBMIT_EVERY, WINDOW, takes};
use crate::run::{Run, RunOptions, Traffic};

const NAME: &str = "rolling-restart";

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

/// Plays it.
///
/// # Errors
/// If the cluster does not start, a call is refused, or a coordinator does not come back.
pub async fn run(options: Options) -> Result<Report> {
    let cluster = ClusterOptions { coordinators: options.coordinators, workers: 2, ..ClusterOptions::default() };
    let mut run = Run::start(RunOptions { cluster, services_max: SERVICES, window: WINDOW }).await?;
    let mut judge = Judge::new(NAME);
    let traffic = Traffic::start(&run.load, "rolling", SUBMIT_EVERY, takes);
    let mut rolling = Rolling::default();
    for round in 1..=options.rounds {
        rolling.round(&mut run, &format!("round {round}"), Build::Present).await?;
    }
    let submitted = traffic.stop().await?;
    run.load.settle(submitted).await?;
    run.agreement().await?;
    rolling.judge(&mut judge, &run, submitted).await?;
    run.cluster.shutdown().await?;
    Ok(judge.report())
}
