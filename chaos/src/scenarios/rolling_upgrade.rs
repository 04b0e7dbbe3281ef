//! `rolling-upgrade`: every coordinator goes to a newer build, back to the older one, and to the newer one again, one at a
//! time and under load from clients on all of them; then the feature level is raised.
//!
//! The newer build understands one level more. Until that is raised nobody notices which build is where; afterwards the
//! older one refuses to start.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_sdk::FlameError;
use flame_sdk::model::ClusterEvent;
use flame_testkit::{Binaries, Build, ClusterOptions, wait_until};

use super::judge::Judge;
use super::report::Report;
use super::rolling::{Rolling, SERVICES, SUBMIT_EVERY, WINDOW, takes};
use crate::run::{Run, RunOptions, Traffic};

const NAME: &str = "rolling-upgrade";

/// What the newer build understands.
const NEXT_LEVEL: u32 = 2;

/// What a coordinator exits with whose build does not understand the level.
const OUTDATED: i32 = 17;

/// What the newer build writes to the log as soon as the level allows it: the older one could not read it.
const ONLY_AT_NEXT: &str = "test_only";

/// Before and after the level is raised.
const TASKS_BETWEEN: u64 = 400;

/// For all members to hear that the level was raised.
const RAISED_LIMIT: Duration = Duration::from_secs(30);

/// Events that are looked at: far more than such a run makes.
const EVENTS_MAX: u32 = 10_000;

/// Flags of `flame-chaos rolling-upgrade`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Coordinators: 3 or 5.
    #[arg(long, default_value_t = 3)]
    coordinators: usize,
}

/// Plays it.
///
/// # Errors
/// If the cluster does not start, a call is refused, or a coordinator does not come back.
pub async fn run(options: Options) -> Result<Report> {
    if let Err(missing) = Binaries::find()?.path("flame-coordinator-next") {
        return Ok(Report::skipped(NAME, missing.to_string()));
    }
    let cluster = ClusterOptions { coordinators: options.coordinators, workers: 2, ..ClusterOptions::default() };
    let mut run = Run::start(RunOptions { cluster, services_max: SERVICES, window: WINDOW }).await?;
    let mut judge = Judge::new(NAME);
    let traffic = Traffic::start(&run.load, "upgrade", SUBMIT_EVERY, takes);
    let mut rolling = Rolling::default();
    at_level(&run, 1).await?;

    let first = *run.cluster.coordinator_ids().first().context("the cluster has coordinators")?;
    rolling.step(&mut run, "upgrade", first, Build::Next).await?;
    let early = refused(&run).await?;
    judge.require(early, || "the level was raised although two builds were at work".to_owned());
    for id in run.cluster.coordinator_ids().into_iter().filter(|id| *id != first) {
        rolling.step(&mut run, "upgrade", id, Build::Next).await?;
    }
    rolling.round(&mut run, "downgrade", Build::Present).await?;
    rolling.round(&mut run, "upgrade again", Build::Next).await?;
    let before = events(&run).await?;
    judge.require(before.iter().all(|event| event.kind != ONLY_AT_NEXT), || {
        "something of the next level was written before it was raised".to_owned()
    });
    at_level(&run, 1).await?;

    raise(&mut run, &mut rolling).await?;
    old_build_is_refused(&mut run, &mut rolling, &mut judge).await?;

    let submitted = traffic.stop().await?;
    run.load.settle(submitted).await?;
    run.agreement().await?;
    let after = events(&run).await?;
    let used = after.iter().filter(|event| event.kind == ONLY_AT_NEXT).count();
    judge.figure("written_at_next_level", used);
    judge.presume(used > 0, || "nothing of the next level was written".to_owned());
    judge.figure("level", NEXT_LEVEL);
    rolling.judge(&mut judge, &run, submitted).await?;
    run.cluster.shutdown().await?;
    Ok(judge.report())
}

/// Whether the level cannot be raised now.
async fn refused(run: &Run) -> Result<bool> {
    match run.any()?.upgrade(Some(NEXT_LEVEL)).await {
        Err(FlameError::FailedPrecondition(why)) => {
            eprintln!("    raising the level now is refused: {why}");
            Ok(true)
        }
        Err(error) => Err(error).context("raise the level too early"),
        Ok(_) => Ok(false),
    }
}

async fn raise(run: &mut Run, rolling: &mut Rolling) -> Result<()> {
    run.goes_on(TASKS_BETWEEN).await?;
    let begun = run.ledger.now();
    let raised = run.any()?.upgrade(None).await.context("raise the level")?;
    ensure!(raised.raised && raised.to == NEXT_LEVEL, "{raised:?}");
    at_level(run, NEXT_LEVEL).await?;
    run.goes_on(TASKS_BETWEEN).await?;
    rolling.measured(run, "raising the level", begun);
    Ok(())
}

/// One coordinator is put back to the older build, which ends at once; then it goes on with the newer one.
async fn old_build_is_refused(run: &mut Run, rolling: &mut Rolling, judge: &mut Judge) -> Result<()> {
    let leader = run.cluster.leader().await?.id;
    let others = run.cluster.coordinator_ids().into_iter();
    let id = others.filter(|id| *id != leader).max().context("there are followers")?;
    let begun = run.ledger.now();
    run.cluster.stop_coordinator(id).await?;
    run.cluster.use_build(id, Build::Present)?;
    let code = run.cluster.start_to_end(id).await?;
    judge.figure("old_build_exits_with", code);
    judge.require(code == OUTDATED, || format!("the older build ended with {code}\n{}", run.cluster.tail(id)));
    run.cluster.use_build(id, Build::Next)?;
    run.cluster.start_coordinator(id).await?;
    run.catches_up(id).await?;
    rolling.measured(run, &format!("an older build is refused, coordinator {id}"), begun);
    Ok(())
}

/// Waits until every coordinator says that the cluster runs at this level.
async fn at_level(run: &Run, level: u32) -> Result<()> {
    wait_until(RAISED_LIMIT, &format!("all run at level {level}"), || async {
        let levels = run.feature_levels().await?;
        ensure!(levels.iter().all(|(_, found)| *found == level), "{levels:?}");
        Ok(())
    })
    .await
}

async fn events(run: &Run) -> Result<Vec<ClusterEvent>> {
    Ok(run.any()?.list_cluster_events(0, EVENTS_MAX).await?.events)
}
