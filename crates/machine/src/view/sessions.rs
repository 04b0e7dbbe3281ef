//! Sessions, closed ones included.

use std::ops::Bound;

use flame_types::{ExecutorState, Position, SessionId, SessionKey, SessionSpec, SessionState, WallMs};

use crate::command::WaitReason;
use crate::state::{ClosedRow, Session, SessionEvent, State};

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// Its key: rows of its tasks are found by it.
    pub key: SessionKey,
    /// Its id.
    pub id: SessionId,
    /// What its user asked for, with defaults filled in; without common data (a row of [`crate::Table::CommonData`])
    /// and without tokens.
    pub spec: SessionSpec,
    /// Most executors it may have: its own limit and that of its application.
    pub max_instances: u32,
    /// Length of the common data; `None` when there are none.
    pub common_data_bytes: Option<u64>,
    /// Published state.
    pub state: SessionState,
    /// Tasks ever submitted: they are numbered from 1 to this.
    pub tasks: u64,
    /// Tasks shown as Pending.
    pub pending: u64,
    /// Tasks shown as Running.
    pub running: u64,
    /// Tasks that ended well.
    pub succeed: u64,
    /// Tasks that ended badly.
    pub failed: u64,
    /// Tasks that were cancelled.
    pub cancelled: u64,
    /// Finished tasks that have left.
    pub trimmed: u64,
    /// What its rows count for: inputs, outputs and messages.
    pub kept_bytes: u64,
    /// Results that were recorded up to here have left.
    pub done_from: Position,
    /// When it was made.
    pub created: WallMs,
    /// When it was closed.
    pub completed: Option<WallMs>,
    /// Its events, the last one last.
    pub events: Vec<SessionEvent>,
    /// Why it waits for executors.
    pub wait: Option<WaitReason>,
    /// Executors that serve it now.
    pub bound: u32,
    /// Executors that are placed, starting or serving.
    pub executors: u32,
}

/// The key of the session with this id, closed or not.
#[must_use]
pub fn find_session(state: &State, id: &str) -> Option<SessionKey> {
    state.find_session(id)
}

/// The session with this key, closed or not.
#[must_use]
pub fn session(state: &State, key: SessionKey) -> Option<SessionView> {
    match state.sessions.get(&key) {
        Some(session) => Some(live_view(state, session)),
        None => state.closed.get(&key).map(closed_view),
    }
}

impl SessionView {
    /// Finished tasks whose results can be read.
    #[must_use]
    pub fn kept_tasks(&self) -> u64 {
        self.succeed + self.failed + self.cancelled - self.trimmed
    }
}

/// A page of sessions by key, closed ones included.
#[must_use]
pub fn sessions(state: &State, from: Option<SessionKey>, limit: usize) -> Vec<SessionView> {
    let range = (from.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
    let live = state.sessions.range(range).map(|(key, _)| *key).take(limit);
    let closed = state.closed.range(range).map(|(key, _)| *key).take(limit);
    let mut keys: Vec<SessionKey> = live.chain(closed).collect();
    keys.sort_unstable();
    keys.truncate(limit);
    keys.into_iter().filter_map(|key| session(state, key)).collect()
}

fn live_view(state: &State, session: &Session) -> SessionView {
    let serves = |key| state.executors.get(key).is_some_and(|found| found.row.state == ExecutorState::Bound);
    let mut spec = session.asked.spec.clone();
    spec.tokens.clear();
    SessionView {
        key: session.key,
        id: session.asked.id.clone(),
        spec,
        max_instances: session.terms.max_instances,
        common_data_bytes: session.asked.common_data_bytes,
        state: session.row.state,
        tasks: session.row.next_task.0 - 1,
        pending: session.shown_pending(),
        running: session.running,
        succeed: session.row.succeed,
        failed: session.row.failed,
        cancelled: session.row.cancelled,
        trimmed: session.row.trimmed,
        kept_bytes: session.row.kept_bytes + session.asked.common_data_bytes.unwrap_or(0),
        done_from: session.row.done_from,
        created: session.asked.created,
        completed: None,
        events: session.events.iter().cloned().collect(),
        wait: session.row.wait.clone(),
        bound: u32::try_from(session.executors.iter().filter(|key| serves(key)).count()).unwrap_or(u32::MAX),
        executors: u32::try_from(session.executors.len()).unwrap_or(u32::MAX),
    }
}

fn closed_view(row: &ClosedRow) -> SessionView {
    SessionView {
        key: row.key,
        id: row.id.clone(),
        spec: row.spec.clone(),
        max_instances: row.spec.max_instances.unwrap_or(u32::MAX),
        common_data_bytes: row.common_data_bytes,
        state: SessionState::Closed,
        tasks: row.tasks,
        pending: 0,
        running: 0,
        succeed: row.succeed,
        failed: row.failed,
        cancelled: row.cancelled,
        trimmed: row.trimmed,
        kept_bytes: row.kept_bytes,
        done_from: row.done_from,
        created: row.created,
        completed: Some(row.closed),
        events: row.events.iter().cloned().collect(),
        wait: None,
        bound: 0,
        executors: 0,
    }
}
