//! C15: what was meant to happen did happen: faults were installed, leaders changed, leases ran out, requests were sent again.
//!
//! It breaks no promise of the cluster when they did not; but a run in which nothing happened proves nothing, and that is
//! *inconclusive*. A fault that was skipped did not happen.
//!
//! *Source:* the vacuity rule of `reliability.md` 2.4; "a fault that could not be installed is skipped, never survived".

use std::collections::{BTreeMap, BTreeSet, HashSet};

use flame_types::Term;

use super::{Checker, CheckerId, Found};
use crate::facts::{End, Facts};
use crate::record::{FaultKind, NodeStep, What, WorkerStep};

/// The checker.
pub const CHECKER: Checker = Checker {
    id: CheckerId::C15,
    promise: "what was meant to happen did happen",
    source: "the vacuity rule: a run that proves nothing does not pass",
    needs: &[],
    check,
};

/// What really happened in a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Coverage {
    /// Operations that were answered.
    pub operations: u64,
    /// Operations whose outcome stayed unknown.
    pub unknown_outcomes: u64,
    /// Operations, or requests with the same id, that were sent again.
    pub retries: u64,
    /// Leaders after the first.
    pub leader_changes: u64,
    /// Leases that ran out.
    pub lease_expiries: u64,
    /// Snapshots that were installed.
    pub snapshots: u64,
    /// Faults that were installed, by kind.
    pub faults: BTreeMap<FaultKind, u64>,
    /// Faults that could not be installed, and why.
    pub skipped: BTreeMap<FaultKind, String>,
}

impl Coverage {
    /// Counts.
    #[must_use]
    pub fn of(facts: &Facts<'_>) -> Self {
        let mut coverage = Self::default();
        let mut requests = HashSet::new();
        for op in &facts.ops {
            coverage.operations += u64::from(op.answer().is_some());
            coverage.unknown_outcomes += u64::from(matches!(op.end, End::Info(_)));
            coverage.retries += u64::from(op.again);
            let is_known = op.operation.request().is_some_and(|request| !requests.insert(request));
            coverage.retries += u64::from(is_known);
        }
        for fault in &facts.faults {
            match fault.skipped {
                Some(why) => drop(coverage.skipped.insert(fault.kind, why.to_owned())),
                None => *coverage.faults.entry(fault.kind).or_default() += 1,
            }
        }
        coverage.count_events(facts);
        coverage
    }

    fn count_events(&mut self, facts: &Facts<'_>) {
        let mut terms: BTreeSet<Term> = BTreeSet::new();
        let mut evictions = HashSet::new();
        let mut lost = 0;
        for recorded in facts.events {
            match &recorded.what {
                What::Node(node) => match &node.step {
                    NodeStep::Leads { term } | NodeStep::Follows { term, .. } => drop(terms.insert(*term)),
                    NodeStep::SnapshotInstalled { .. } => self.snapshots += 1,
                    NodeStep::Evicted { index, worker, said: false } => drop(evictions.insert((index, worker))),
                    _ => {}
                },
                What::Worker(worker) if worker.step == WorkerStep::LeaseLost => lost += 1,
                _ => {}
            }
        }
        self.leader_changes = (terms.len() as u64).saturating_sub(1);
        // Both ends of a lease tell of its end, unless one of them is dead.
        self.lease_expiries = (evictions.len() as u64).max(lost);
    }
}

fn check(facts: &Facts<'_>, found: &mut Found) {
    let coverage = Coverage::of(facts);
    let wants = &facts.header.plan.wants;
    let counts = [
        ("operations", coverage.operations, wants.operations.max(1)),
        ("leader_changes", coverage.leader_changes, wants.leader_changes),
        ("lease_expiries", coverage.lease_expiries, wants.lease_expiries),
        ("retries", coverage.retries, wants.retries),
        ("unknown_outcomes", coverage.unknown_outcomes, wants.unknown_outcomes),
        ("snapshots", coverage.snapshots, wants.snapshots),
    ];
    for (name, happened, wanted) in counts {
        found.figure(name, happened);
        if happened < wanted {
            found.missing(format!("{happened} {name}, and the plan wants {wanted}"));
        }
    }
    found.figure("faults", coverage.faults.values().sum());
    for kind in &wants.faults {
        if coverage.faults.contains_key(kind) {
            continue;
        }
        let why = coverage.skipped.get(kind).map_or("it was never tried", String::as_str);
        found.missing(format!("no fault of the kind {kind:?}: {why}"));
    }
}
