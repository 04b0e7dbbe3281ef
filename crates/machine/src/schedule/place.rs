//! Executors for sessions below their target.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use flame_types::{AppName, Epoch, ExecutorKey, NodeName, Resources, SessionKey};

use super::claims::Claim;
use super::plan::PLAN_COMMANDS_MAX;
use super::release::Victims;
use super::rooms::Rooms;
use super::shares::Share;
use crate::command::Command;
use crate::state::State;

/// What an executor must have to serve a session: application, edition, resources.
type Kind<'s> = (&'s AppName, u64, Resources);

/// Executors of applications: in use, and on their way out.
#[derive(Clone, Copy, Debug, Default)]
struct AppUse {
    used: u32,
    leaving: u32,
}

/// One executor placed by the plan.
#[derive(Clone, Debug)]
struct Placed<'s> {
    node: &'s NodeName,
    room: usize,
    reuse: Option<(ExecutorKey, Epoch)>,
}

/// Places executors and, where there is no room, picks those that should make it.
pub(super) struct Placer<'s, 'p> {
    pub rooms: &'p mut Rooms<'s>,
    pub victims: &'p mut Victims<'s>,
    reusable: BTreeMap<Kind<'s>, Vec<(ExecutorKey, Epoch, usize)>>,
    apps: BTreeMap<&'s AppName, AppUse>,
    placed: BTreeMap<SessionKey, Vec<Placed<'s>>>,
    total: Resources,
}

impl<'s, 'p> Placer<'s, 'p> {
    pub fn new(state: &'s State, rooms: &'p mut Rooms<'s>, victims: &'p mut Victims<'s>, total: Resources) -> Self {
        let mut reusable: BTreeMap<Kind<'s>, Vec<(ExecutorKey, Epoch, usize)>> = BTreeMap::new();
        for key in &state.unbinding {
            let row = &state.executors[key].row;
            if let (Some(app), Some(room)) = (&row.app, rooms.find(&row.node)) {
                reusable.entry((app, row.edition, row.resources)).or_default().push((*key, row.epoch, room));
            }
        }
        let mut apps: BTreeMap<&'s AppName, AppUse> = BTreeMap::new();
        for (app, used) in &state.app_executors {
            apps.insert(app, AppUse { used: *used, leaving: 0 });
        }
        for app in state.leaving.iter().filter_map(|key| state.executors[key].row.app.as_ref()) {
            apps.entry(app).or_default().leaving += 1;
        }
        Self { rooms, victims, reusable, apps, placed: BTreeMap::new(), total }
    }

    /// Serves the claims, always the one of the highest priority with the smallest share: first up to their targets,
    /// then with whatever room nobody could use. What is above a target makes room again when it is needed.
    pub fn run(&mut self, claims: &mut [Claim<'s>]) {
        self.serve(claims, |claim| claim.missing(), true);
        self.serve(claims, |claim| claim.wished(), false);
    }

    fn serve(&mut self, claims: &mut [Claim<'s>], missing: fn(&Claim<'_>) -> u32, wait: bool) {
        let total = self.total;
        let entry = |claim: &Claim<'_>, place: usize| {
            let holds = claim.resources.times(u64::from(claim.have + claim.placed));
            (Reverse(claim.priority), Share::dominant(holds, total), place)
        };
        let needy = claims.iter().enumerate().filter(|(_, claim)| missing(claim) > 0);
        let mut queue: BTreeSet<_> = needy.map(|(place, claim)| entry(claim, place)).collect();
        for _ in 0..PLAN_COMMANDS_MAX {
            let Some((_, _, place)) = queue.pop_first() else { break };
            let step = claims[place].step();
            if step > missing(&claims[place]) {
                continue;
            }
            if self.place_step(&mut claims[place], step) {
                if missing(&claims[place]) > 0 {
                    queue.insert(entry(&claims[place], place));
                }
            } else if wait {
                self.wait_step(claims, place, missing(&claims[place]));
            }
        }
    }

    /// Places all executors of a step, or none.
    fn place_step(&mut self, claim: &mut Claim<'s>, step: u32) -> bool {
        let mut done: Vec<Placed<'s>> = Vec::new();
        for _ in 0..step {
            let Some(placed) = self.place_one(claim) else {
                done.into_iter().rev().for_each(|placed| self.undo(claim, placed));
                return false;
            };
            done.push(placed);
        }
        claim.placed += step;
        self.placed.entry(claim.key).or_default().extend(done);
        true
    }

    fn place_one(&mut self, claim: &Claim<'s>) -> Option<Placed<'s>> {
        let kind = (claim.app, claim.edition, claim.resources);
        let app = self.apps.entry(claim.app).or_default();
        // What an executor leaves behind may be kept for somebody whose turn comes before this claim's.
        let wish = claim.wish();
        let may_be_reused = |(_, _, room): &(_, _, usize)| {
            claim.resources.fits(self.rooms.coming(*room)) && self.rooms.admits(*room, wish)
        };
        let reusable = self.reusable.get_mut(&kind);
        let reuse = reusable.and_then(|all| Some(all.remove(all.iter().rposition(may_be_reused)?)));
        if let Some((executor, epoch, room)) = reuse {
            app.leaving = app.leaving.saturating_sub(1);
            self.rooms.reserve(room, claim.resources);
            self.rooms.begin_trial(room, wish);
            return Some(Placed { node: self.rooms.name(room), room, reuse: Some((executor, epoch)) });
        }
        if app.used >= claim.app_max {
            return None;
        }
        let room = self.rooms.best_now(wish)?;
        app.used += 1;
        self.rooms.take_now(room, claim.resources);
        self.rooms.begin_trial(room, wish);
        Some(Placed { node: self.rooms.name(room), room, reuse: None })
    }

    fn undo(&mut self, claim: &Claim<'s>, placed: Placed<'s>) {
        let app = self.apps.entry(claim.app).or_default();
        match placed.reuse {
            Some((executor, epoch)) => {
                app.leaving += 1;
                self.rooms.comes_free(placed.room, claim.resources);
                let kind = (claim.app, claim.edition, claim.resources);
                self.reusable.entry(kind).or_default().push((executor, epoch, placed.room));
            }
            None => {
                app.used -= 1;
                self.rooms.undo_now(placed.room, claim.resources);
            }
        }
    }

    /// There is no room now: keeps what is coming free for the claim, and where that is not enough picks executors
    /// that should go.
    fn wait_step(&mut self, claims: &mut [Claim<'s>], place: usize, missing: u32) {
        let (app, app_max) = (claims[place].app, claims[place].app_max);
        let wish = claims[place].wish();
        for _ in 0..missing.min(PLAN_COMMANDS_MAX as u32) {
            let app_use = self.apps.entry(app).or_default();
            let full = app_use.used.saturating_sub(app_use.leaving) >= app_max;
            if full && !self.victims.take_of_app(claims, place, self.rooms) {
                return;
            }
            let room = self.rooms.best_coming(wish);
            let Some(room) = room.or_else(|| self.victims.take_for_room(claims, place, self.rooms)) else { return };
            self.rooms.reserve(room, wish.resources);
            // With a victim of its own the application stays as it is: one goes, one comes.
            match (full, app_use.leaving) {
                (true, _) => {}
                (false, 0) => app_use.used += 1,
                (false, _) => app_use.leaving -= 1,
            }
        }
    }

    /// The commands, those of one session in their order.
    pub fn commands(self, claims: &[Claim<'s>], into: &mut Vec<Command>) {
        for claim in claims {
            let Some(placed) = self.placed.get(&claim.key) else { continue };
            let mut have = claim.held;
            let reused = placed.iter().filter(|placed| placed.reuse.is_some());
            let reused: Vec<_> = reused.map(|placed| (placed.node, 1, placed.reuse)).collect();
            let mut fresh: BTreeMap<&NodeName, u32> = BTreeMap::new();
            for placed in placed.iter().filter(|placed| placed.reuse.is_none()) {
                *fresh.entry(placed.node).or_default() += 1;
            }
            let fresh = fresh.into_iter().map(|(node, count)| (node, count, None));
            for (node, count, reuse) in reused.into_iter().chain(fresh) {
                let (session, resources) = (claim.key, claim.resources);
                into.push(Command::Place { node: node.clone(), session, resources, have, count, reuse });
                have += count;
            }
        }
    }

    /// Executors that gave their session up and that nobody wants.
    pub fn unwanted(&self, state: &State) -> Vec<(ExecutorKey, Epoch)> {
        let reused: BTreeSet<ExecutorKey> =
            self.placed.values().flatten().filter_map(|placed| Some(placed.reuse?.0)).collect();
        let unbinding = state.unbinding.iter().filter(|key| !reused.contains(key));
        unbinding.map(|key| (*key, state.executors[key].row.epoch)).collect()
    }
}
