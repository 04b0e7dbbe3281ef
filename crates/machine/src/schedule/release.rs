//! Executors that sessions should give up.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use flame_types::{ExecutorKey, ExecutorState, Resources, SessionState};

use super::claims::{Claim, idle_since};
use super::rooms::Rooms;
use crate::state::State;

/// An executor of a session that holds more than its target.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    executor: ExecutorKey,
    claim: usize,
    room: usize,
}

/// Executors that may be taken for others, and those that are.
pub(super) struct Victims<'s> {
    state: &'s State,
    /// In the order in which they go: lowest priority first, idle before starting before busy, the youngest first.
    candidates: Vec<Candidate>,
    taken: BTreeSet<ExecutorKey>,
}

impl<'s> Victims<'s> {
    pub fn new(state: &'s State, claims: &[Claim<'s>], rooms: &Rooms<'s>) -> Self {
        let mut candidates = Vec::new();
        for (claim, found) in claims.iter().enumerate().filter(|(_, claim)| claim.surplus() > 0) {
            for executor in &found.session.executors {
                let row = &state.executors[executor].row;
                if let (false, Some(room)) = (row.retiring, rooms.find(&row.node)) {
                    candidates.push(Candidate { executor: *executor, claim, room });
                }
            }
        }
        candidates.sort_by_key(|candidate| {
            let executor = &state.executors[&candidate.executor];
            let activity = match (executor.is_idle(), executor.row.state) {
                (true, _) => 0,
                (false, ExecutorState::Bound) => 2,
                _ => 1,
            };
            (claims[candidate.claim].priority, activity, Reverse(candidate.executor))
        });
        Self { state, candidates, taken: BTreeSet::new() }
    }

    /// Takes executors on one worker until the claim fits there, as few as possible. Says on which.
    pub fn take_for_room(&mut self, claims: &mut [Claim<'s>], needy: usize, rooms: &mut Rooms<'s>) -> Option<usize> {
        let wish = claims[needy].wish();
        let resources = wish.resources;
        let mut by_room: BTreeMap<usize, (Resources, Vec<Candidate>)> = BTreeMap::new();
        let mut surplus: BTreeMap<(usize, usize), u32> = BTreeMap::new();
        for candidate in &self.candidates {
            let is_of_use = rooms.runs(candidate.room, wish.shim) && !rooms.is_avoided(candidate.room, wish);
            if !self.may_take(claims, needy, candidate) || !is_of_use {
                continue;
            }
            // What one session can lose is counted per worker, since only one worker is chosen.
            let lost = surplus.entry((candidate.room, candidate.claim)).or_default();
            if *lost >= claims[candidate.claim].surplus() {
                continue;
            }
            let (coming, picked) =
                by_room.entry(candidate.room).or_insert_with(|| (rooms.coming(candidate.room), Vec::new()));
            if resources.fits(*coming) {
                continue;
            }
            *lost += 1;
            *coming = coming.plus(self.state.executors[&candidate.executor].row.resources);
            picked.push(*candidate);
        }
        let enough = by_room.into_iter().filter(|(_, (coming, _))| resources.fits(*coming));
        let (room, (_, picked)) = enough.min_by_key(|(_, (_, picked))| picked.len())?;
        for candidate in picked {
            self.take(claims, candidate, rooms);
        }
        Some(room)
    }

    /// Takes one executor of the same application, whose limit is reached.
    pub fn take_of_app(&mut self, claims: &mut [Claim<'s>], needy: usize, rooms: &mut Rooms<'s>) -> bool {
        let found = self.candidates.iter().find(|candidate| {
            self.may_take(claims, needy, candidate) && claims[candidate.claim].app == claims[needy].app
        });
        let Some(candidate) = found.copied() else { return false };
        self.take(claims, candidate, rooms);
        true
    }

    /// Executors that go whether or not somebody waits: those of suspended sessions, and idle ones after their delay.
    pub fn take_overdue(&mut self, claims: &mut [Claim<'s>]) {
        let now = self.state.now();
        for claim in claims.iter_mut() {
            let suspended = claim.session.row.state != SessionState::Open;
            let delay = self.state.apps.get(claim.app).map_or(0, |app| app.row.spec.delay_release_seconds);
            for executor in &claim.session.executors {
                if self.taken.contains(executor) || self.state.executors[executor].row.retiring {
                    continue;
                }
                let idle = idle_since(self.state, *executor);
                let overdue = idle.is_some_and(|since| since.plus(delay.saturating_mul(1000)) <= now);
                let spare = claim.have - claim.taken > claim.demand;
                if suspended || (overdue && spare) {
                    self.taken.insert(*executor);
                    claim.taken += 1;
                }
            }
        }
    }

    /// What is to be released.
    pub fn taken(&self) -> impl Iterator<Item = ExecutorKey> + '_ {
        self.taken.iter().copied()
    }

    /// Idle executors go to whoever has the same priority or a higher one, and so do busy ones.
    fn may_take(&self, claims: &[Claim<'s>], needy: usize, candidate: &Candidate) -> bool {
        let holder = &claims[candidate.claim];
        candidate.claim != needy
            && holder.surplus() > 0
            && holder.priority <= claims[needy].priority
            && !self.taken.contains(&candidate.executor)
    }

    fn take(&mut self, claims: &mut [Claim<'s>], candidate: Candidate, rooms: &mut Rooms<'s>) {
        self.taken.insert(candidate.executor);
        claims[candidate.claim].taken += 1;
        rooms.comes_free(candidate.room, self.state.executors[&candidate.executor].row.resources);
    }
}
