//! The power of all coordinators' disks cut at once, in the middle of a run.
//!
//! The second test is the proof of the first: with syncing switched off, the same procedure must lose something.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use flame_chaos::disks::Disks;
use flame_chaos::probe;
use flame_chaos::run::Run;
use flame_jepsen::{Finding, History};
use flame_sdk::FlameError;
use flame_testkit::ClusterOptions;

use crate::scenes::{TASKS, everything_is_there, in_full_swing};

/// Accepted by the coordinator for this test and nothing else.
const NO_SYNC_FLAG: &str = "--unsafe-no-sync-for-tests";

const COORDINATORS: usize = 3;

/// What a coordinator exits with when its log or state is damaged …
const EXIT_DAMAGED: i32 = 11;
/// … and when it has less than it promised.
const EXIT_QUARANTINE: i32 = 13;

fn on_disks(disks: &Disks) -> ClusterOptions {
    ClusterOptions { coordinators: COORDINATORS, data_dirs: disks.folders(), ..ClusterOptions::default() }
}

/// Prints why, so that nobody takes a skipped test for a passed one.
fn skipped() -> bool {
    let reason = probe::power_cut().err();
    if let Some(reason) = &reason {
        eprintln!("SKIPPED, this machine cannot cut the power of a disk: {reason}");
    }
    reason.is_some()
}

/// All at once: the disks lose what was not synced, and the processes die.
async fn cut_and_restore(run: &mut Run, disks: &mut Disks) -> Result<()> {
    disks.cut_power()?;
    run.cluster.kill_all_coordinators().await?;
    disks.power_on()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_task_survives_a_power_cut_of_all_coordinators() -> Result<()> {
    if skipped() {
        return Ok(());
    }
    let mut disks = Disks::make(COORDINATORS)?;
    let (mut run, submitting) = in_full_swing(on_disks(&disks)).await?;
    cut_and_restore(&mut run, &mut disks).await?;
    run.cluster.start_all_coordinators().await?;
    run.cluster.leader().await?;
    everything_is_there(run, submitting).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_syncing_the_same_power_cut_loses_acknowledged_tasks() -> Result<()> {
    if skipped() {
        return Ok(());
    }
    let mut disks = Disks::make(COORDINATORS)?;
    let mut options = on_disks(&disks);
    options.coordinator_arguments = vec![NO_SYNC_FLAG.to_owned()];
    let (mut run, submitting) = in_full_swing(options).await?;
    // From here on nobody submits: what was acknowledged by now is what must be found.
    submitting.abort();
    cut_and_restore(&mut run, &mut disks).await?;
    let acknowledged = run.ledger.tally().acknowledged;
    let lost = loss(&mut run).await?;
    eprintln!("as it must be: {lost} (of {acknowledged} acknowledged tasks)");
    Ok(())
}

/// How the loss shows. It is an error if there is none, or if something else goes wrong.
async fn loss(run: &mut Run) -> Result<String> {
    if let Err(refused) = begin_again(run).await {
        // A coordinator that sees that it has less than it promised, or hears it from its peers, says so by its exit code.
        let ids = run.cluster.coordinator_ids();
        let codes: Vec<_> = ids.into_iter().filter_map(|id| run.cluster.exit_code(id)).collect();
        if codes.iter().any(|code| [EXIT_DAMAGED, EXIT_QUARANTINE].contains(code)) {
            return Ok(format!("coordinators refuse to serve what is left (exit codes {codes:?})"));
        }
        return Err(refused);
    }
    let history = match run.history().await {
        Ok(history) => history,
        Err(gone) if matches!(gone.downcast_ref(), Some(FlameError::NotFound(_))) => {
            return Ok(format!("not even the session is there: {gone:#}"));
        }
        Err(error) => return Err(error),
    };
    match missing(&history) {
        0 => bail!("nothing is lost of {TASKS}: this procedure cannot tell a synced log from one that is not"),
        lost => Ok(format!("{lost} acknowledged tasks are lost")),
    }
}

async fn begin_again(run: &mut Run) -> Result<()> {
    run.cluster.start_all_coordinators().await?;
    run.cluster.leader().await.map(drop)
}

/// Acknowledged tasks that a node does not have. (Some of the others may still run; that is no loss.)
fn missing(history: &History) -> usize {
    let findings = flame_jepsen::check(history).findings;
    let missing = findings.iter().filter_map(|finding| match finding {
        Finding::Missing { task, .. } | Finding::Swapped { task, .. } => Some(*task),
        _ => None,
    });
    missing.collect::<BTreeSet<_>>().len()
}
