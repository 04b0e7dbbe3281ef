//! Collects figures, broken promises and doubts on the way, and makes the report of them.
//!
//! **Invariant:** a broken promise outweighs every doubt, and a doubt every success.

use std::time::Duration;

use anyhow::Result;
use flame_jepsen::{Judgement, Verdict};
use flame_testkit::Cluster;
use serde_json::Value;

use super::report::{Outcome, Report};

/// What the leader writes when it gives a worker up.
pub(super) const LEASE_RAN_OUT: &str = "a worker's lease has run out";

/// Findings of the checker that are quoted.
const FINDINGS_SHOWN_MAX: usize = 5;

/// What is known so far.
pub struct Judge {
    scenario: &'static str,
    figures: Vec<(&'static str, Value)>,
    broken: Vec<String>,
    doubts: Vec<String>,
}

impl Judge {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(scenario: &'static str) -> Self {
        Self { scenario, figures: Vec::new(), broken: Vec::new(), doubts: Vec::new() }
    }

    /// A figure for the report.
    pub fn figure(&mut self, name: &'static str, value: impl Into<Value>) {
        self.figures.push((name, value.into()));
    }

    /// The same for times: all of them in milliseconds, in the order in which they came.
    pub fn times(&mut self, name: &'static str, times: &[Duration]) {
        self.figure(name, times.iter().map(|time| millis(*time)).collect::<Vec<_>>());
    }

    /// A promise. Without it the scenario has failed.
    pub fn require(&mut self, is_kept: bool, otherwise: impl FnOnce() -> String) {
        if !is_kept {
            self.broken.push(otherwise());
        }
    }

    /// A condition for the scenario to prove anything.
    pub fn presume(&mut self, is_met: bool, otherwise: impl FnOnce() -> String) {
        if !is_met {
            self.doubts.push(otherwise());
        }
    }

    /// No worker may have been given up.
    ///
    /// # Errors
    /// If the logs of the coordinators cannot be read.
    pub fn nobody_evicted(&mut self, cluster: &Cluster) -> Result<()> {
        let evicted = cluster.written(LEASE_RAN_OUT)?;
        self.figure("evicted", evicted);
        self.require(evicted == 0, || format!("{evicted} workers were given up"));
        Ok(())
    }

    /// What the checker has found, all of it; so many tasks were submitted.
    pub fn verdict(&mut self, verdict: &Verdict, submitted: u64) {
        let Verdict { succeeded, lost, duplicated, reruns, .. } = verdict;
        self.figure("submitted", submitted);
        self.figure("succeeded", *succeeded);
        self.figure("lost", *lost);
        self.figure("duplicated", *duplicated);
        self.figure("reruns", *reruns);
        self.presume(verdict.judgement != Judgement::Inconclusive, || "nobody could be asked".to_owned());
        self.require(*succeeded == submitted, || format!("{succeeded} of {submitted} tasks have succeeded"));
        self.broken.extend(verdict.findings.iter().take(FINDINGS_SHOWN_MAX).map(ToString::to_string));
        if let Some(more) = verdict.findings.len().checked_sub(FINDINGS_SHOWN_MAX).filter(|more| *more > 0) {
            self.broken.push(format!("{more} more findings"));
        }
    }

    /// The report.
    #[must_use]
    pub fn report(self) -> Report {
        let outcome = match (self.broken.is_empty(), self.doubts.is_empty()) {
            (false, _) => Outcome::Failed(self.broken),
            (true, false) => Outcome::Inconclusive(self.doubts),
            (true, true) => Outcome::Passed,
        };
        Report { scenario: self.scenario, outcome, figures: self.figures }
    }
}

/// As figures show it.
#[must_use]
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_promise_outweighs_a_doubt_and_a_doubt_a_success() {
        let judged = |is_kept, is_met| {
            let mut judge = Judge::new("test");
            judge.require(is_kept, || "broken".to_owned());
            judge.presume(is_met, || "doubtful".to_owned());
            judge.report().outcome
        };
        assert_eq!(judged(true, true), Outcome::Passed);
        assert_eq!(judged(true, false), Outcome::Inconclusive(vec!["doubtful".to_owned()]));
        assert_eq!(judged(false, true), Outcome::Failed(vec!["broken".to_owned()]));
        assert_eq!(judged(false, false), Outcome::Failed(vec!["broken".to_owned()]));
    }

    #[test]
    fn a_verdict_without_witnesses_is_a_doubt() {
        let mut judge = Judge::new("test");
        judge.verdict(&flame_jepsen::check(&flame_jepsen::History::default()), 0);
        assert_eq!(judge.report().outcome, Outcome::Inconclusive(vec!["nobody could be asked".to_owned()]));
    }

    #[test]
    fn missing_tasks_are_a_broken_promise() {
        let mut judge = Judge::new("test");
        judge.verdict(&flame_jepsen::check(&flame_jepsen::History::default()), 3);
        assert_eq!(judge.report().outcome, Outcome::Failed(vec!["0 of 3 tasks have succeeded".to_owned()]));
    }
}
