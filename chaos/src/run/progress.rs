//! Waiting for a run to come so far.

use std::time::Duration;

use anyhow::{Result, ensure};
use flame_testkit::{Leader, wait_until};

use crate::run::setup::Run;

/// For tasks to go on, whatever was broken.
const LIMIT: Duration = Duration::from_secs(120);

impl Run {
    /// Waits until so many tasks more than now are acknowledged, and so many are finished.
    ///
    /// # Errors
    /// If that takes too long.
    pub async fn goes_on(&self, tasks: u64) -> Result<()> {
        let before = self.ledger.tally();
        wait_until(LIMIT, &format!("{tasks} more tasks are acknowledged and finished"), || async {
            let tally = self.ledger.tally();
            let is_enough =
                tally.acknowledged >= before.acknowledged + tasks && tally.finished >= before.finished + tasks;
            ensure!(is_enough, "before: {before:?}; now: {tally:?}");
            Ok(())
        })
        .await
    }

    /// Waits until somebody leads in a later term.
    ///
    /// # Errors
    /// If that takes too long.
    pub async fn leader_after(&self, before: Leader) -> Result<Leader> {
        wait_until(LIMIT, &format!("a leader after term {}", before.term), || async {
            let leader = self.cluster.leader().await?;
            ensure!(leader.term > before.term, "{leader:?}");
            Ok(leader)
        })
        .await
    }

    /// Waits until so many tasks run.
    ///
    /// # Errors
    /// If that takes too long.
    pub async fn runs(&self, at_least: u64) -> Result<u64> {
        wait_until(LIMIT, &format!("{at_least} tasks run"), || async {
            let running = self.running().await?;
            ensure!(running >= at_least, "{running} run");
            Ok(running)
        })
        .await
    }
}
