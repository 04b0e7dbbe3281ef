//! What each session wants and may have.

use std::collections::BTreeMap;

use flame_types::{AppName, ClusterMs, ExecutorKey, Resources, SessionKey, SessionState, Shim, limits};

use super::rooms::Rooms;
use crate::command::WaitReason;
use crate::state::{Node, Session, State};

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

impl Claim<'_> {
    /// Executors it should get more.
    pub fn missing(&self) -> u32 {
        self.target.saturating_sub(self.have + self.placed).min(self.wished())
    }

    /// Executors it could use beyond its target.
    pub fn wished(&self) -> u32 {
        if !self.may_grow() {
            return 0;
        }
        let room = self.session.max_instances.saturating_sub(self.held + self.placed);
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

    /// Whether it may take part in the sharing beyond what it has.
    pub fn may_grow(&self) -> bool {
        self.blocked.is_none() && !self.backing_off
    }
}

/// Claims of all sessions that want or hold executors, in order of their keys.
pub(super) fn claims<'s>(state: &'s State, rooms: &Rooms<'s>) -> Vec<Claim<'s>> {
    // Many sessions ask for the same: workers are counted once for each kind.
    let mut possible: BTreeMap<(Shim, Resources), u32> = BTreeMap::new();
    let active = state.active.iter().filter_map(|key| state.sessions.get(key));
    let claims = active.filter_map(|session| {
        let mut claim = claim(state, session)?;
        let kind = (claim.shim, claim.resources);
        claim.possible = *possible.entry(kind).or_insert_with(|| rooms.capacity_for(kind.0, kind.1));
        claim.blocked = blocked(state, &claim);
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
        blocked: None,
        backing_off: session.row.not_before > state.now(),
        target: 0,
        placed: 0,
        taken: 0,
    })
}

/// Why a session can get no executor, even when everything else is gone.
///
/// Workers whose stream is down for a moment (after a change of leader: all of them) count as if they were there:
/// nobody should read that no worker is large enough because the large one is just reconnecting.
fn blocked(state: &State, claim: &Claim<'_>) -> Option<WaitReason> {
    let failures = claim.session.row.bind_failures;
    if failures >= state.cluster.config.bind_failures_max {
        return Some(WaitReason::BindFailures { failures });
    }
    if claim.possible >= claim.batch {
        return None;
    }
    let known = || state.nodes.values().filter(|node| node.row.expired.is_none());
    if known().next().is_none() {
        return Some(WaitReason::NoWorkers);
    }
    let running = || known().filter(|node| node.row.shims.contains(&claim.shim));
    if running().next().is_none() {
        return Some(WaitReason::NoShim { shim: claim.shim });
    }
    let fits = |node: &Node| claim.resources.count_in(node.row.capacity).min(limits::NODE_EXECUTORS_MAX as u64);
    let all = u32::try_from(running().map(fits).sum::<u64>()).unwrap_or(u32::MAX);
    Some(match all {
        0 => WaitReason::TooLarge { resources: claim.resources },
        possible if possible < claim.batch => WaitReason::Gang { batch_size: claim.batch, possible },
        _ => WaitReason::Busy,
    })
}

/// An executor as the planner sees it.
pub(super) fn idle_since(state: &State, key: ExecutorKey) -> Option<ClusterMs> {
    state.executors.get(&key).filter(|executor| executor.is_idle()).map(|executor| executor.row.idle_since)
}
