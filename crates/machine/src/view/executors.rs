//! Executors.

use std::ops::Bound;

use flame_types::{
    AppName, Epoch, ExecutorKey, ExecutorState, NodeName, Resources, SessionId, SessionKey, Shim, WallMs,
};

use crate::state::{Executor, State};

/// An executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorView {
    /// Its key.
    pub key: ExecutorKey,
    /// The id that is shown.
    pub id: String,
    /// Published state.
    pub state: ExecutorState,
    /// The worker it runs on.
    pub node: NodeName,
    /// The session it belongs to; `None` once it has given it up.
    pub session: Option<SessionKey>,
    /// The id of that session.
    pub session_id: Option<SessionId>,
    /// The application whose service it runs; `None` when it is not known.
    pub app: Option<AppName>,
    /// How its service is run; `None` when the application is gone.
    pub shim: Option<Shim>,
    /// What it holds.
    pub resources: Resources,
    /// Tasks it runs at a time.
    pub slots: u32,
    /// Tasks in its queue, running ones included.
    pub queued: u64,
    /// It gets no new task and leaves its session when it is done.
    pub retiring: bool,
    /// Keys it publishes.
    pub attributes: u64,
    /// Tasks it completed for this session.
    pub completed: u64,
    /// Changes with every assignment and change of session.
    pub epoch: Epoch,
    /// When it was placed.
    pub created: WallMs,
}

/// The executor with this key.
#[must_use]
pub fn executor(state: &State, key: ExecutorKey) -> Option<ExecutorView> {
    state.executors.get(&key).map(|executor| executor_view(state, executor))
}

/// A page of executors by key.
#[must_use]
pub fn executors(state: &State, from: Option<ExecutorKey>, limit: usize) -> Vec<ExecutorView> {
    let start = from.map_or(Bound::Unbounded, Bound::Excluded);
    let page = state.executors.range((start, Bound::Unbounded)).take(limit);
    page.map(|(_, executor)| executor_view(state, executor)).collect()
}

/// The id under which an executor is shown: a UUID (version 8) that follows from its key alone, so that every node
/// shows the same one and nobody has to store it.
#[must_use]
pub fn executor_uuid(key: ExecutorKey) -> String {
    const VERSION: u128 = 8 << 76;
    const VERSION_MASK: u128 = 0xf << 76;
    const VARIANT: u128 = 0b10 << 62;
    const VARIANT_MASK: u128 = 0b11 << 62;
    let bits = (u128::from(mixed(key.0)) << 64) | u128::from(mixed(!key.0));
    let bits = (bits & !VERSION_MASK & !VARIANT_MASK) | VERSION | VARIANT;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        (bits >> 96) as u32,
        (bits >> 80) as u16,
        (bits >> 64) as u16,
        (bits >> 48) as u16,
        bits & 0xffff_ffff_ffff
    )
}

/// A bijection of 64 bits that looks random.
fn mixed(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

fn executor_view(state: &State, executor: &Executor) -> ExecutorView {
    let row = &executor.row;
    let session = executor.is_attached().then_some(row.session);
    let live = session.and_then(|session| state.sessions.get(&session)).map(|session| session.asked.id.clone());
    let closed = || session.and_then(|session| state.closed.get(&session)).map(|row| row.id.clone());
    ExecutorView {
        key: row.key,
        id: executor_uuid(row.key),
        state: row.state,
        node: row.node.clone(),
        session,
        session_id: live.or_else(closed),
        app: row.app.clone(),
        shim: row.app.as_ref().and_then(|app| state.apps.get(app)).map(|app| app.row.spec.shim),
        resources: row.resources,
        slots: row.slots,
        queued: executor.queue.len() as u64,
        retiring: row.retiring,
        attributes: executor.attributes.len() as u64,
        completed: row.completed,
        epoch: row.epoch,
        created: row.created,
    }
}
