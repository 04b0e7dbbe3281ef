//! What workers hold: the operator's look at a node.

use std::collections::BTreeSet;
use std::ops::Bound;

use flame_types::{NodeName, SessionKey};

use super::cluster::{NodeView, node};
use super::executors::{ExecutorView, executor};
use crate::state::{Executor, Node, State};

/// A worker and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLoad {
    /// The worker.
    pub node: NodeView,
    /// For how long it is still avoided after such failures. `None`: nobody avoids it.
    pub avoided_ms: Option<u64>,
    /// Sessions that its executors serve.
    pub sessions: u64,
    /// Tasks that run here.
    pub running: u64,
    /// Tasks that are here and have not begun.
    pub queued: u64,
}

/// An executor and what it has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorLoad {
    /// The executor.
    pub executor: ExecutorView,
    /// Tasks that it runs.
    pub running: u64,
}

/// What a worker holds.
#[must_use]
pub fn node_load(state: &State, name: &str) -> Option<NodeLoad> {
    state.nodes.get(name).and_then(|found| load(state, found))
}

/// A page of workers by name.
#[must_use]
pub fn node_loads(state: &State, from: Option<&NodeName>, limit: usize) -> Vec<NodeLoad> {
    let start = from.map_or(Bound::Unbounded, Bound::Excluded);
    let page = state.nodes.range::<NodeName, _>((start, Bound::Unbounded)).take(limit);
    page.filter_map(|(_, node)| load(state, node)).collect()
}

/// The executors on a worker that have not left, by key. There are at most as many as a worker may have.
#[must_use]
pub fn executors_on(state: &State, name: &str) -> Vec<ExecutorLoad> {
    let keys = state.nodes.get(name).into_iter().flat_map(|node| &node.executors);
    let load = |key| {
        let running = state.executors.get(key).map_or(0, |executor| running(state, executor));
        executor(state, *key).map(|executor| ExecutorLoad { executor, running })
    };
    keys.filter_map(load).collect()
}

fn load(state: &State, found: &Node) -> Option<NodeLoad> {
    let executors = || found.executors.iter().filter_map(|key| state.executors.get(key));
    let sessions: BTreeSet<SessionKey> =
        executors().filter(|executor| executor.is_attached()).map(|executor| executor.row.session).collect();
    let (mut running_all, mut held) = (0, 0);
    for executor in executors() {
        running_all += running(state, executor);
        held += executor.queue.len() as u64;
    }
    let node = node(state, found.row.name.as_str())?;
    Some(NodeLoad {
        avoided_ms: node.avoided_until.map(|until| until.since(state.now())).filter(|ms| *ms > 0),
        node,
        sessions: sessions.len() as u64,
        running: running_all,
        queued: held - running_all,
    })
}

/// Tasks of an executor that have begun and have not ended.
fn running(state: &State, executor: &Executor) -> u64 {
    let rows = executor.queue.iter().filter_map(|token| state.assignments.get(token));
    rows.filter(|row| row.started.is_some() && !row.cancelled).count() as u64
}
