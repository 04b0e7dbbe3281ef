//! Why a worker runs nothing more of a session.
//!
//! **Invariant:** nothing stands against a worker only if apply would place an executor of the session there, as far as
//! that is up to the worker.

use std::collections::BTreeMap;

use flame_types::{ExecutorKey, ExecutorState, NodeName, Resources, Shim, limits};

use crate::state::{Executor, Node, Session, State};

/// What a worker has to say about one more executor of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReasons {
    /// Its name.
    pub node: NodeName,
    /// What stands against one. Empty: there is room.
    pub reasons: Vec<NodeReason>,
    /// Executors of the session that are here already.
    pub executors: Vec<ExecutorHere>,
}

/// What stands against a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeReason {
    /// Its lease is over.
    Expired,
    /// Its stream is down; its lease still runs.
    Detached,
    /// It takes no new executors.
    Cordoned,
    /// It gives up what it has.
    Draining,
    /// It does not run services of this kind.
    NoShim { shim: Shim },
    /// It would not be large enough if it were empty.
    TooSmall { short: Vec<Shortage> },
    /// There is no room now.
    Full { short: Vec<Shortage> },
    /// It has as many executors as a worker may have.
    ExecutorLimit { max: u32 },
    /// So many executors in a row failed here, of the session or of enough others: it is avoided for a while.
    Avoided { failures: u32, in_ms: u64 },
    /// It was avoided, and one executor is on trial: the next comes when that one has entered its session.
    OnTrial { failures: u32 },
}

/// A resource of which there is too little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Its name: cpu, memory or gpu.
    pub resource: &'static str,
    /// What an executor of the session needs.
    pub needs: u64,
    /// What there is.
    pub has: u64,
}

/// An executor of the session on this worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutorHere {
    /// Its key.
    pub executor: ExecutorKey,
    /// What it does.
    pub doing: Doing,
}

/// What an executor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Its service starts, or enters the session.
    Entering,
    /// It gets no new task and leaves the session when it is done with these.
    Retiring { tasks: u64 },
    /// It has something to do.
    Busy { running: u64, queued: u64 },
    /// It has nothing to do.
    Idle,
}

/// All workers, by name.
pub(super) fn explain_nodes(state: &State, session: &Session) -> Vec<NodeReasons> {
    let mut here: BTreeMap<&NodeName, Vec<ExecutorHere>> = BTreeMap::new();
    for key in &session.executors {
        let executor = &state.executors[key];
        let doing = doing(state, executor);
        here.entry(&executor.row.node).or_default().push(ExecutorHere { executor: *key, doing });
    }
    let node = |(name, node): (&NodeName, &Node)| NodeReasons {
        node: name.clone(),
        reasons: node_reasons(state, session, node),
        executors: here.remove(name).unwrap_or_default(),
    };
    state.nodes.iter().map(node).collect()
}

fn node_reasons(state: &State, session: &Session, node: &Node) -> Vec<NodeReason> {
    let (mut reasons, row) = (Vec::new(), &node.row);
    if row.expired.is_some() {
        reasons.push(NodeReason::Expired);
    } else if !row.attached {
        reasons.push(NodeReason::Detached);
    }
    if row.draining {
        reasons.push(NodeReason::Draining);
    } else if row.cordoned {
        reasons.push(NodeReason::Cordoned);
    }
    let shim = state.apps.get(session.app()).map(|app| app.row.spec.shim);
    if let Some(shim) = shim.filter(|shim| !row.shims.contains(shim)) {
        reasons.push(NodeReason::NoShim { shim });
    }
    let needs = session.asked.spec.resources;
    let too_small = shortages(needs, row.capacity);
    let mut full = shortages(needs, node.free());
    // What it never has it does not lack just now.
    full.retain(|short| !too_small.iter().any(|never| never.resource == short.resource));
    if !too_small.is_empty() {
        reasons.push(NodeReason::TooSmall { short: too_small });
    }
    if !full.is_empty() {
        reasons.push(NodeReason::Full { short: full });
    }
    if node.executors.len() >= limits::NODE_EXECUTORS_MAX {
        let max = u32::try_from(limits::NODE_EXECUTORS_MAX).unwrap_or(u32::MAX);
        reasons.push(NodeReason::ExecutorLimit { max });
    }
    reasons.extend(distrust(state, session, node));
    reasons
}

fn distrust(state: &State, session: &Session, node: &Node) -> Option<NodeReason> {
    if state.trusts(node, session) {
        return None;
    }
    let failures = node.row.bind_failures;
    let in_ms = node.row.avoidance.until.since(state.now());
    Some(if in_ms > 0 { NodeReason::Avoided { failures, in_ms } } else { NodeReason::OnTrial { failures } })
}

fn shortages(needs: Resources, has: Resources) -> Vec<Shortage> {
    let all = [
        Shortage { resource: "cpu", needs: needs.cpu, has: has.cpu },
        Shortage { resource: "memory", needs: needs.memory, has: has.memory },
        Shortage { resource: "gpu", needs: needs.gpu.into(), has: has.gpu.into() },
    ];
    all.into_iter().filter(|short| short.needs > short.has).collect()
}

fn doing(state: &State, executor: &Executor) -> Doing {
    let tasks = executor.queue.len() as u64;
    if executor.row.retiring {
        return Doing::Retiring { tasks };
    }
    if executor.row.state != ExecutorState::Bound {
        return Doing::Entering;
    }
    if executor.is_idle() {
        return Doing::Idle;
    }
    let runs = |token: &&flame_types::Token| {
        state.assignments.get(*token).is_some_and(|row| row.started.is_some() && !row.cancelled)
    };
    let running = executor.queue.iter().filter(runs).count() as u64;
    Doing::Busy { running, queued: tasks - running }
}
