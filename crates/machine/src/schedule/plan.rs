//! The plan.

use std::collections::BTreeMap;

use flame_types::{AppName, ExecutorKey, Resources, SessionKey, Token};

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

/// Most tasks that [`left_behind`] names, and most of one session that it looks at.
const LEFT_BEHIND_MAX: usize = 1024;
const LOOKED_AT_MAX: usize = 64;

/// What the leader should propose about executors now, in this order. Empty when everything is as it should be.
#[must_use]
pub fn plan(state: &State) -> Vec<Command> {
    plan_for(state, Look::Unsettled)
}

/// The same plan, found by looking at every session that holds or wants anything.
pub(crate) fn plan_thoroughly(state: &State) -> Vec<Command> {
    plan_for(state, Look::Everybody)
}

/// Whose claims are looked at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Sessions that hold just what they want are left out, if that makes no difference.
    Unsettled,
    /// All.
    Everybody,
}

fn plan_for(state: &State, look: Look) -> Vec<Command> {
    let mut commands = Vec::new();
    let (claims, releases) = decide(state, look, &mut commands);
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
    let (claims, _) = decide(state, Look::Unsettled, &mut Vec::new());
    let place = claims.iter().position(|claim| claim.key == session)?;
    reason(state, &claims[place], highest_served(&claims))
}

/// Decides who gets and who gives. Placements go into `commands`; executors to be released come back.
fn decide<'s>(state: &'s State, look: Look, commands: &mut Vec<Command>) -> (Vec<Claim<'s>>, Vec<ExecutorKey>) {
    let mut rooms = Rooms::of(state);
    let total = to_be_shared(state, &rooms);
    let mut claims = match look {
        Look::Unsettled => claims(state, &rooms, &state.unsettled),
        Look::Everybody => claims(state, &rooms, &state.active),
    };
    if look == Look::Unsettled && !is_enough_for_all(state, &claims, total) {
        claims = super::claims::claims(state, &rooms, &state.active);
    }
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

/// Whether every session can be given what it wants, going by the sums. Then one that holds just that keeps it, gets no
/// more, and so has no part in the plan.
fn is_enough_for_all(state: &State, unsettled: &[Claim<'_>], total: Resources) -> bool {
    if state.short.is_empty() {
        return true;
    }
    let in_use = state.nodes.values().fold(Resources::ZERO, |sum, node| sum.plus(node.allocated));
    let (mut asked, mut held) = (Resources::ZERO, Resources::ZERO);
    let mut apps: BTreeMap<&AppName, (u32, u32, u32)> = BTreeMap::new();
    for claim in unsettled {
        asked = asked.plus(claim.resources.times(claim.wanted().into()));
        held = held.plus(claim.resources.times(claim.held.into()));
        let (asked, held, _) = apps.entry(claim.app).or_insert((0, 0, claim.app_max));
        *asked = asked.saturating_add(claim.wanted());
        *held = held.saturating_add(claim.held);
    }
    // What is in use and not held by these is held by settled sessions, or on its way out.
    let is_within_limit = |(app, (asked, held, max)): (&&AppName, &(u32, u32, u32))| {
        state.app_instances(app).saturating_sub(*held).saturating_add(*asked) <= *max
    };
    in_use.saturating_minus(held).plus(asked).fits(total) && apps.iter().all(is_within_limit)
}

/// What there is to share: workers that take executors, and what sessions hold elsewhere.
fn to_be_shared(state: &State, rooms: &Rooms<'_>) -> Resources {
    let elsewhere = state.nodes.values().filter(|node| rooms.find(&node.row.name).is_none());
    let rows = elsewhere.flat_map(|node| &node.executors).map(|key| &state.executors[key].row);
    let held =
        rows.filter(|row| state.sessions.get(&row.session).is_some_and(|session| session.executors.contains(&row.key)));
    held.fold(rooms.capacity(), |sum, row| sum.plus(row.resources))
}

/// Tasks queued behind others while executors of the same session stand idle. Very short tasks wait for each other by
/// intention: of a portion none is taken back here.
fn stuck_behind_others(state: &State, session: &Session) -> Vec<Token> {
    let stuck = usize::try_from(session.stuck_tasks()).unwrap_or(usize::MAX);
    if stuck == 0 {
        return Vec::new();
    }
    let waiting = |token: &&Token| is_waiting(state, **token);
    let asked_already = session.queued().saturating_sub(session.assigned.values().filter(waiting).count() as u64);
    let wanted = session.idle().count().saturating_sub(asked_already as usize).min(stuck);
    session.assigned.values().rev().filter(waiting).take(wanted).copied().collect()
}

/// Tasks that wait behind others although executors of their sessions stand idle, those of a portion included; of each
/// session some of the oldest. Who finds the same ones again after a while knows that the task before them is not as
/// short as was thought.
#[must_use]
pub fn left_behind(state: &State) -> Vec<Token> {
    let uneven = state.unsettled.iter().filter_map(|key| state.sessions.get(key)).filter(|session| session.is_uneven());
    let oldest = |session: &Session| {
        let looked_at = session.assigned.values().take(LOOKED_AT_MAX).copied();
        let idle = session.idle().take(LOOKED_AT_MAX).count();
        looked_at.filter(|token| is_waiting(state, *token)).take(idle).collect::<Vec<Token>>()
    };
    uneven.flat_map(oldest).take(LEFT_BEHIND_MAX).collect()
}

fn is_waiting(state: &State, token: Token) -> bool {
    state.assignments.get(&token).is_some_and(|row| row.started.is_none() && !row.recalled)
}
