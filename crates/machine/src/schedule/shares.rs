//! What each session should hold: priority tiers first, then dominant-resource fairness.
//!
//! A session's *dominant share* is the largest of its shares of processors, memory and graphics processors. In every
//! step the session of the highest tier with the smallest share gets one executor more (a gang that is not complete: all
//! that are missing), until nothing fits or nobody wants more. Shares are compared exactly, in integers.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

use flame_types::{AppName, Resources};

use super::claims::Claim;

/// A share as a fraction. A whole of zero has a part above zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    part: u64,
    whole: u64,
}

impl Share {
    /// The dominant share of `held` in `total`.
    pub fn dominant(held: Resources, total: Resources) -> Self {
        let shares = [
            Self { part: held.cpu, whole: total.cpu },
            Self { part: held.memory, whole: total.memory },
            Self { part: held.gpu.into(), whole: total.gpu.into() },
        ];
        let none = Self { part: 0, whole: 1 };
        shares.into_iter().filter(|share| share.part > 0).max().unwrap_or(none)
    }
}

impl Ord for Share {
    fn cmp(&self, other: &Self) -> Ordering {
        // A part of nothing is more than any part of something: that is what multiplying crosswise says of it, too.
        let left = u128::from(self.part) * u128::from(other.whole);
        let right = u128::from(other.part) * u128::from(self.whole);
        left.cmp(&right)
    }
}

impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Share {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Share {}

/// Sets the target of every claim.
pub(super) fn set_targets(claims: &mut [Claim<'_>], total: Resources) {
    let mut sharing = Sharing { total, left: total, apps: BTreeMap::new() };
    // What a session holds within its minimum stays with it, whoever wants it.
    for claim in claims.iter_mut() {
        let kept = claim.min.min(claim.have).min(claim.demand);
        sharing.give(claim, kept);
    }
    let priorities: BTreeSet<Reverse<u32>> = claims.iter().map(|claim| Reverse(claim.priority)).collect();
    let mut tiers: BTreeMap<Reverse<u32>, Vec<usize>> = priorities.into_iter().map(|tier| (tier, Vec::new())).collect();
    for (place, claim) in claims.iter().enumerate() {
        tiers.entry(Reverse(claim.priority)).or_default().push(place);
    }
    for tier in tiers.values() {
        for place in tier {
            let claim = &mut claims[*place];
            while claim.target < claim.wanted().min(claim.min) && sharing.step(claim) {}
        }
        sharing.fill(claims, tier);
    }
}

struct Sharing<'s> {
    total: Resources,
    left: Resources,
    apps: BTreeMap<&'s AppName, u32>,
}

impl<'s> Sharing<'s> {
    /// Hands out executors, always to the session with the smallest share. Among equals one that holds the executor
    /// already goes first, so that nothing moves for nothing.
    fn fill(&mut self, claims: &mut [Claim<'s>], tier: &[usize]) {
        let mut queue: BTreeSet<(Share, bool, usize)> =
            tier.iter().map(|place| self.entry(&claims[*place], *place)).collect();
        while let Some((_, _, place)) = queue.pop_first() {
            let claim = &mut claims[place];
            if claim.target < claim.wanted() && self.step(claim) {
                queue.insert(self.entry(claim, place));
            }
        }
    }

    fn entry(&self, claim: &Claim<'_>, place: usize) -> (Share, bool, usize) {
        let share = Share::dominant(claim.resources.times(claim.target.into()), self.total);
        (share, claim.target >= claim.have, place)
    }

    /// One executor more, or all that a gang lacks, if they fit.
    fn step(&mut self, claim: &mut Claim<'s>) -> bool {
        let wanted = claim.wanted();
        let step = claim.batch.saturating_sub(claim.target).max(1).min(wanted.saturating_sub(claim.target));
        let in_app = self.apps.get(claim.app).copied().unwrap_or(0);
        if step == 0 || in_app.saturating_add(step) > claim.app_max {
            return false;
        }
        if !claim.resources.times(step.into()).fits(self.left) {
            return false;
        }
        self.give(claim, step);
        true
    }

    fn give(&mut self, claim: &mut Claim<'s>, count: u32) {
        claim.target += count;
        self.left = self.left.saturating_minus(claim.resources.times(count.into()));
        *self.apps.entry(claim.app).or_default() += count;
    }
}
