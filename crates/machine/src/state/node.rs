//! A node: one worker process and its machine.

use std::collections::BTreeSet;

use flame_types::{ClusterMs, Epoch, ExecutorKey, HelloNo, Incarnation, NodeName, NodeState, Resources, Shim, WallMs};
use serde::{Deserialize, Serialize};

use super::Avoidance;
use crate::command::Host;

/// A node as it lies on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRow {
    /// Its configured name.
    pub name: NodeName,
    /// The life of the worker that spoke last.
    pub incarnation: Incarnation,
    /// The number of its last Hello.
    pub hello: HelloNo,
    /// The machine it runs on.
    pub host: Host,
    /// What it can give to executors. Fixed for an incarnation.
    pub capacity: Resources,
    /// Shims it can run.
    pub shims: Vec<Shim>,
    /// Lease epoch: reports from an earlier one are refused.
    pub epoch: Epoch,
    /// Whether its stream stands.
    pub attached: bool,
    /// When its lease ran out, if it did.
    pub expired: Option<ClusterMs>,
    /// Takes no new executors.
    pub cordoned: bool,
    /// Gets no new tasks either.
    pub draining: bool,
    /// Executors that failed to bind here since the last that did not.
    pub bind_failures: u32,
    /// When it said its last Hello.
    pub seen: WallMs,
    /// Who is kept away from it for these failures, and until when.
    pub avoidance: Avoidance,
}

/// A node in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What lies on disk.
    pub row: NodeRow,
    /// Executors that have not left it. Derived.
    pub executors: BTreeSet<ExecutorKey>,
    /// What they hold together. Derived.
    pub allocated: Resources,
    /// What it adds to the capacity of the cluster: nothing while it is detached. Derived.
    pub counted: Resources,
    /// Until when it is avoided, if that lies ahead: as the state lists it. Derived.
    pub avoided: Option<ClusterMs>,
}

impl Node {
    /// A node without executors.
    #[must_use]
    pub fn new(row: NodeRow) -> Self {
        let (allocated, counted) = (Resources::ZERO, Resources::ZERO);
        Self { row, executors: BTreeSet::new(), allocated, counted, avoided: None }
    }

    /// What is left for further executors.
    #[must_use]
    pub fn free(&self) -> Resources {
        self.row.capacity.saturating_minus(self.allocated)
    }

    /// Whether it takes new executors at all. Not from everybody, when some have failed ([`Node::trust`]).
    #[must_use]
    pub fn takes_executors(&self) -> bool {
        self.row.attached && !self.row.cordoned && !self.row.draining
    }

    /// Whether it takes new tasks.
    #[must_use]
    pub fn takes_tasks(&self) -> bool {
        self.row.attached && !self.row.draining
    }

    /// Published state.
    #[must_use]
    pub fn state(&self) -> NodeState {
        match (self.row.attached, self.row.expired) {
            (true, _) => NodeState::Ready,
            (false, None) => NodeState::Unknown,
            (false, Some(_)) => NodeState::NotReady,
        }
    }
}
