//! The plan.

use flame_types::{ExecutorKey, Resources, SessionKey, Token};

use super::claims::{Claim, claims};
use super::place::Placer;
use super::reasons::{highest_served, reason};
use super::release::Victims;
use super::rooms::Rooms;
use super::shares::set_targets;
use crate::command::{Command, WaitReason};
use crate::state::{Session, State};

/// Most commands of one plan. What is left is planned when these have been applied.
pub const PLAN_COMMANDS_MAX: usize = 1024;

/// What the leader should propose about executors now, in this order. Empty when everything is as it should be.
#[must_use]
pub fn plan(state: &State) -> Vec<Command> {
    let mut commands = Vec::new();
    let (claims, releases) = decide(state, &mut commands);
    commands.extend(releases.into_iter().map(|executor| {
        let epoch = state.executors[&executor].row.epoch;
        Command::Release { executor, epoch }
    }));
    let highest = highest_served(&claims);
    for claim in &claims {
        let reason = reason(state, claim, highest);
        if reason != claim.session.row.wait {
            commands.push(Command::Waiting { session: claim.key, reason });
        }
        let stuck = stuck_behind_others(state, claim.session);
        if !stuck.is_empty() {
            commands.push(Command::Recall { tokens: stuck });
        }
    }
    commands.truncate(PLAN_COMMANDS_MAX);
    commands
}

/// Why a session waits for executors now; `None` when it does not, or is not known.
#[must_use]
pub fn explain(state: &State, session: SessionKey) -> Option<WaitReason> {
    let (claims, _) = decide(state, &mut Vec::new());
    let place = claims.iter().position(|claim| claim.key == session)?;
    reason(state, &claims[place], highest_served(&claims))
}

/// Decides who gets and who gives. Placements go into `commands`; executors to be released come back.
fn decide<'s>(state: &'s State, commands: &mut Vec<Command>) -> (Vec<Claim<'s>>, Vec<ExecutorKey>) {
    let mut rooms = Rooms::of(state);
    let mut claims = claims(state, &rooms);
    let total = to_be_shared(state, &rooms, &claims);
    set_targets(&mut claims, total);
    let mut victims = Victims::new(state, &claims, &rooms);
    let mut placer = Placer::new(state, &mut rooms, &mut victims, total);
    placer.run(&mut claims);
    let mut releases: Vec<ExecutorKey> = placer.unwanted(state).into_iter().map(|(executor, _)| executor).collect();
    placer.commands(&claims, commands);
    victims.take_overdue(&mut claims);
    releases.extend(victims.taken());
    (claims, releases)
}

/// What there is to share: workers that take executors, and what sessions hold elsewhere.
fn to_be_shared(state: &State, rooms: &Rooms<'_>, claims: &[Claim<'_>]) -> Resources {
    let held = claims.iter().flat_map(|claim| claim.session.executors.iter()).map(|key| &state.executors[key].row);
    let elsewhere = held.filter(|row| rooms.find(&row.node).is_none());
    elsewhere.fold(rooms.capacity(), |sum, row| sum.plus(row.resources))
}

/// Tasks queued behind others while executors of the same session stand idle.
fn stuck_behind_others(state: &State, session: &Session) -> Vec<Token> {
    if !session.has_stuck_tasks() {
        return Vec::new();
    }
    let queued = session.assigned.len() as u64 - session.running;
    let idle = session.free.iter().take_while(|(load, _)| *load == 0).count();
    let waiting =
        |token: &&Token| state.assignments.get(token).is_some_and(|row| row.started.is_none() && !row.recalled);
    let asked_already = queued.saturating_sub(session.assigned.values().filter(waiting).count() as u64) as usize;
    session.assigned.values().rev().filter(waiting).take(idle.saturating_sub(asked_already)).copied().collect()
}
