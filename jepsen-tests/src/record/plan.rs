//! What a run was meant to do: what must have happened for it to prove anything, and within which bounds.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{FaultKind, Nanos};
use crate::checkers::CheckerId;
use crate::generate::Workload;

/// What was meant to happen.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<Workload>,
    /// Checkers that must have judged. All others judge too, if they can.
    #[serde(default)]
    pub checkers: BTreeSet<CheckerId>,
    /// What must have happened.
    #[serde(default)]
    pub wants: Wants,
    /// What must have been fast enough.
    #[serde(default)]
    pub bounds: Bounds,
    /// Whether what has ended may leave by its age while the run goes on.
    #[serde(default)]
    pub retention: bool,
}

/// At least so many of each; without them the run is inconclusive.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wants {
    /// Operations that were done.
    pub operations: u64,
    /// Leaders after the first.
    pub leader_changes: u64,
    /// Leases that ran out.
    pub lease_expiries: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// Operations whose outcome stayed unknown.
    pub unknown_outcomes: u64,
    /// Snapshots that were installed.
    pub snapshots: u64,
    /// Faults of each of these kinds, at least one, not skipped.
    pub faults: BTreeSet<FaultKind>,
}

/// How long what may take.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// From the heal to rest.
    pub settle: Nanos,
    /// The longest silence of writes, if it is bounded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_gap: Option<Nanos>,
    /// How long a lease is.
    pub lease: Nanos,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { settle: Nanos::from_secs(60), write_gap: None, lease: Nanos::from_secs(10) }
    }
}
