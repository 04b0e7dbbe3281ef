//! Faults with their beginnings and ends.

use super::At;
use crate::record::{FaultKind, Nanos, Target};

/// A fault that was installed, or skipped.
#[derive(Clone, Debug)]
pub struct Fault<'r> {
    /// Its number.
    pub number: u32,
    /// Its kind.
    pub kind: FaultKind,
    /// Whom it hits.
    pub targets: &'r [Target],
    /// Since when it is there; `None` when it was skipped.
    pub from: Option<At>,
    /// Why it was skipped.
    pub skipped: Option<&'r str>,
    /// Until when.
    pub to: Option<At>,
}

impl Fault<'_> {
    /// Whether it was there at some time between these two.
    #[must_use]
    pub fn overlaps(&self, from: Nanos, to: Nanos) -> bool {
        self.from.is_some_and(|began| began.time <= to) && self.to.is_none_or(|ended| ended.time >= from)
    }

    /// Whether it hits this one.
    #[must_use]
    pub fn hits(&self, target: &Target) -> bool {
        self.targets.contains(target)
    }
}
