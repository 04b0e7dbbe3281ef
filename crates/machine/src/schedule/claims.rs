//! What each session wants and may have.

use std::collections::{BTreeMap, BTreeSet};

use flame_types::{AppName, ClusterMs, ExecutorKey, Resources, SessionKey, SessionState, Shim, limits};

use super::rooms::{Rooms, Wish};
use crate::command::WaitReason;
use crate::state::{Session, State};

/// A session as the planner sees it.
#[derive(Clone, Debug)]
pub(super) struct Claim<'s> {
    pub key: SessionKey,
    pub session: &'s Session,
    pub app: &'s AppName,
    pub app_max: u32,
    pub edition: u64,
    pub shim: Shim,
    pub priority: u32,
    pub resources: Resources,
    pub min: u32,
    pub batch: u32,
    /// Executors it wants.
    pub demand: u32,
    /// Executors it keeps: those that retire are not counted.
    pub have: u32,
    /// Executors it holds, retiring ones included: limits count them.
    pub held: u32,
    /// Executors of its kind that fit when everything is empty.
    pub possible: u32,
    /// Why no worker there is could serve it, were it empty.
    pub unserved: Option<WaitReason>,
    /// Why it can get none at all, whatever is free.
    pub blocked: Option<WaitReason>,
    /// It waits after a failure; what it has it keeps.
    pub backing_off: bool,
    /// What it should hold.
    pub target: u32,
    /// Executors placed for it by this plan.
    pub placed: u32,
    /// Executors taken from it by this plan.
    pub taken: u32,
}

impl<'s> Claim<'s> {
    /// What it asks a worker for.
    pub fn wish(&self) -> Wish<'s> {
        Wish { asker: self.session.asker(), shim: self.shim, resources: self.resources }
    }

    /// Executors it should get more.
    pub fn missing(&self) -> u32 {
        self.target.saturating_sub(self.have + self.placed).min(self.wished())
    }

    /// Executors it could use beyond its target.
    pub fn wished(&self) -> u32 {
        if !self.may_grow() {
            return 0;
        }
        let room = self.session.terms.max_instances.saturating_sub(self.held + self.placed);
        self.demand.saturating_sub(self.have + self.placed).min(room)
    }

    /// Executors it should lose when others need them.
    pub fn surplus(&self) -> u32 {
        self.have.saturating_sub(self.taken).saturating_sub(self.target)
    }

    /// Executors that must be placed together for any of them to be useful.
    pub fn step(&self) -> u32 {
        self.batch.saturating_sub(self.have + self.placed).max(1)
    }

    /// What it may be given: what the workers could hold for it, and one that may not grow competes only for what it
    /// has.
    pub fn wanted(&self) -> u32 {
        let most = if self.may_grow() { self.possible.max(self.have) } else { self.have };
        self.demand.min(most)
    }

    /// Whether it may take part in the sharing beyond what it has.
    pub fn may_grow(&self) -> bool {
        self.blocked.is_none() && !self.backing_off
    }
}

/// Claims of these sessions, in order of their keys.
pub(super) fn claims<'s>(state: &'s State, rooms: &Rooms<'s>, of: &BTreeSet<SessionKey>) -> Vec<Claim<'s>> {
    // Many sessions ask for the same: workers are counted once for each kind.
    let mut possible: BTreeMap<(Shim, Resources), u32> = BTreeMap::new();
    let mut unserved_kinds: BTreeMap<(Shim, Resources, u32), Option<WaitReason>> = BTreeMap::new();
    let sessions = of.iter().filter_map(|key| state.sessions.get(key));
    let claims = sessions.filter_map(|session| {
        let mut claim = claim(state, session)?;
        let kind = (claim.shim, claim.resources);
        claim.possible = *possible.entry(kind).or_insert_with(|| rooms.capacity_for(kind.0, kind.1));
        if claim.possible < claim.batch {
            let reason = unserved_kinds.entry((kind.0, kind.1, claim.batch));
            claim.unserved = reason.or_insert_with(|| unserved(state, kind.0, kind.1, claim.batch)).clone();
        }
        claim.blocked = blocked(&claim);
        Some(claim)
    });
    claims.collect()
}

fn claim<'s>(state: &'s State, session: &'s Session) -> Option<Claim<'s>> {
    let app = state.apps.get(session.app())?;
    let open = session.row.state == SessionState::Open;
    Some(Claim {
        key: session.key,
        session,
        app: &app.row.name,
        app_max: app.row.spec.max_instances,
        edition: app.row.edition,
        shim: app.row.spec.shim,
        priority: session.asked.spec.priority,
        resources: session.asked.spec.resources,
        min: if open { session.asked.spec.min_instances } else { 0 },
        batch: session.batch_size(),
        demand: session.demand,
        have: session.staying(),
        held: u32::try_from(session.executors.len()).unwrap_or(u32::MAX),
        possible: 0,
        unserved: None,
        blocked: None,
        backing_off: session.row.not_before > state.now(),
        target: 0,
        placed: 0,
        taken: 0,
    })
}

/// Why a session can get no executor, even when everything else is gone.
fn blocked(claim: &Claim<'_>) -> Option<WaitReason> {
    let failures = claim.session.row.bind_failures;
    if failures >= claim.session.terms.retry.refused.starts_max {
        return Some(WaitReason::BindFailures { failures });
    }
    let short = claim.possible < claim.batch;
    short.then(|| claim.unserved.clone().unwrap_or(WaitReason::Busy))
}

/// Why no worker there is could serve a session, were it empty; `None` when enough of them could.
///
/// Workers whose stream is down for a moment (after a change of leader: all of them) count as if they were there:
/// nobody should read that no worker is large enough because the large one is just reconnecting.
pub(super) fn unserved(state: &State, shim: Shim, resources: Resources, batch_size: u32) -> Option<WaitReason> {
    let (mut known, mut running, mut possible) = (false, false, 0u32);
    for node in state.nodes.values().filter(|node| node.row.expired.is_none()) {
        known = true;
        if node.row.shims.contains(&shim) {
            running = true;
            let fitting = resources.count_in(node.row.capacity).min(limits::NODE_EXECUTORS_MAX as u64);
            possible = possible.saturating_add(u32::try_from(fitting).unwrap_or(u32::MAX));
        }
        if possible >= batch_size {
            return None;
        }
    }
    Some(match (known, running, possible) {
        (false, ..) => WaitReason::NoWorkers,
        (_, false, _) => WaitReason::NoShim { shim },
        (_, _, 0) => WaitReason::TooLarge { resources },
        _ => WaitReason::Gang { batch_size, possible },
    })
}

/// An executor as the planner sees it.
pub(super) fn idle_since(state: &State, key: ExecutorKey) -> Option<ClusterMs> {
    state.executors.get(&key).filter(|executor| executor.is_idle()).map(|executor| executor.row.idle_since)
}
