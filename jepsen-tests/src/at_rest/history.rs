//! What the three witnesses say.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use flame_types::{CoordinatorId, TaskNo, TaskState};
use serde::{Deserialize, Serialize};

/// The mark a client puts into a task's input, unique in its run. It tells a task that was executed twice from a task
/// that was submitted twice.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(pub Arc<str>);

impl Nonce {
    /// The mark with this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Arc::from(text))
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// First witness, a client: "the cluster told me that this task exists".
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Acknowledgement {
    /// The mark in its input.
    pub nonce: Nonce,
    /// The number the cluster gave it.
    pub task: TaskNo,
}

/// First witness, a client: "the cluster told me that this task has ended, so".
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ToldResult {
    /// The task.
    pub task: TaskNo,
    /// How it ended.
    pub completion: Completion,
}

/// How a task ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Completion {
    /// A state that ends a task.
    pub state: TaskState,
    /// What the service returned.
    pub output: Option<Vec<u8>>,
}

/// Second witness, a node: one task as its API shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObservedTask {
    /// Its number.
    pub task: TaskNo,
    /// The mark in its input.
    pub nonce: Nonce,
    /// Its state.
    pub state: TaskState,
    /// Its output, once it has one.
    pub output: Option<Vec<u8>>,
    /// How many times its story says that it ended.
    pub recorded_completions: u32,
}

/// Second witness, a node: every task of the session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeView {
    /// Who was asked.
    pub node: CoordinatorId,
    /// What it shows.
    pub tasks: Vec<ObservedTask>,
}

/// Third witness, the service: "I run this now".
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Execution {
    /// The mark in the input.
    pub nonce: Nonce,
    /// The service process.
    pub pid: u32,
}

/// Everything the witnesses of one run say about one session.
#[derive(Clone, Default, Debug)]
pub struct History {
    /// Submits with a good answer.
    pub acknowledged: Vec<Acknowledgement>,
    /// Submits whose answer was lost: they may have been done or not.
    pub unresolved: Vec<Nonce>,
    /// Ends that clients saw, in the order in which they saw them. A task may be told of more than once.
    pub told: Vec<ToldResult>,
    /// One view of each node, taken when everything had come to rest.
    pub views: Vec<NodeView>,
    /// The service's log.
    pub executions: Vec<Execution>,
    /// Tasks whose worker was taken from them: these may have been executed again.
    pub may_rerun: BTreeSet<Nonce>,
}
