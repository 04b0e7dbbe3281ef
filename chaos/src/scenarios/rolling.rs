//! Stopping and starting every coordinator in turn under load, as an operator does it: what a restart and an upgrade share.

use std::time::Duration;

use anyhow::Result;
use flame_testkit::Build;
use flame_types::CoordinatorId;

use super::judge::{Judge, millis};
use crate::run::Run;

/// Between two submits.
pub(super) const SUBMIT_EVERY: Duration = Duration::from_micros(2_500);

/// Submitted and not finished at a time.
pub(super) const WINDOW: usize = 10_000;

/// Services.
pub(super) const SERVICES: u32 = 8;

/// Before and after each step.
const TASKS_BETWEEN: u64 = 400;

/// 99 of 100 calls that are made during one step take no longer.
const STEP_P99_MAX: Duration = Duration::from_millis(500);

/// One task in twenty takes half a second.
pub(super) fn takes(number: u64) -> Duration {
    if number.is_multiple_of(20) { Duration::from_millis(500) } else { Duration::ZERO }
}

/// What the steps so far were like.
#[derive(Default)]
pub(super) struct Rolling {
    percentiles: Vec<Duration>,
    transfers: u64,
}

impl Rolling {
    /// Every coordinator in turn, from this build.
    pub(super) async fn round(&mut self, run: &mut Run, what: &str, build: Build) -> Result<()> {
        for id in run.cluster.coordinator_ids() {
            self.step(run, what, id, build).await?;
        }
        Ok(())
    }

    /// One coordinator: it is stopped, started from this build, and has caught up.
    pub(super) async fn step(&mut self, run: &mut Run, what: &str, id: CoordinatorId, build: Build) -> Result<()> {
        run.runs(1).await?;
        run.goes_on(TASKS_BETWEEN).await?;
        self.transfers += u64::from(run.cluster.leader().await?.id == id);
        let begun = run.ledger.now();
        run.cluster.stop_coordinator(id).await?;
        run.goes_on(TASKS_BETWEEN).await?;
        run.cluster.use_build(id, build)?;
        run.cluster.start_coordinator(id).await?;
        run.catches_up(id).await?;
        self.measured(run, &format!("{what}, coordinator {id}"), begun);
        Ok(())
    }

    /// A step that has begun then is over.
    pub(super) fn measured(&mut self, run: &Run, what: &str, begun: Duration) {
        let percentile = run.ledger.percentile(begun, 99).unwrap_or_default();
        eprintln!("    {what}: p99 of submits {} ms", millis(percentile));
        self.percentiles.push(percentile);
    }

    /// What is required of a run without faults, once everything is at rest.
    pub(super) async fn judge(&self, judge: &mut Judge, run: &Run, submitted: u64) -> Result<()> {
        judge.figure("steps", self.percentiles.len());
        judge.figure("transfers", self.transfers);
        judge.presume(self.transfers > 0, || "no leader was restarted".to_owned());
        judge.times("p99_ms", &self.percentiles);
        let slowest = self.percentiles.iter().max().copied().unwrap_or_default();
        judge.require(slowest < STEP_P99_MAX, || format!("p99 of a step is {} ms", millis(slowest)));
        let unanswered = run.ledger.lost_answers();
        judge.figure("failed_calls", unanswered);
        judge.require(unanswered == 0, || format!("{unanswered} calls failed"));
        judge.verdict(&run.verdict().await?, submitted);
        judge.nobody_evicted(&run.cluster)?;
        Ok(())
    }
}
