//! The two clocks.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Wall time: milliseconds since the Unix epoch, stamped by the proposer, **for display only**.
/// Nothing expires or waits by it, since it may jump.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallMs(pub i64);

/// Cluster time: milliseconds during which the cluster had a leader. It advances only by the deltas that leaders
/// stamp into log entries, so it never jumps, never runs back, and stands still while nobody leads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterMs(pub u64);

impl ClusterMs {
    /// The instant `ms` later.
    #[must_use]
    pub fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`; zero when `earlier` lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for ClusterMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}
