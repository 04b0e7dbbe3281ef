//! A good history to start from, and small changes to it.

use std::collections::BTreeSet;

use flame_jepsen::{Acknowledgement, Completion, Execution, History, NodeView, Nonce, ObservedTask, ToldResult};
use flame_types::{CoordinatorId, TaskNo, TaskState};

/// Marks are `n-1`, `n-2`, …: task *k* carries `n-k`.
pub fn nonce(number: u64) -> Nonce {
    Nonce::new(&format!("n-{number}"))
}

pub fn execution(number: u64) -> Execution {
    Execution { nonce: nonce(number), pid: 100 }
}

pub fn told(number: u64, state: TaskState, output: &str) -> ToldResult {
    ToldResult { task: TaskNo(number), completion: Completion { state, output: Some(output.into()) } }
}

pub fn observed(number: u64) -> ObservedTask {
    ObservedTask {
        task: TaskNo(number),
        nonce: nonce(number),
        state: TaskState::Succeed,
        output: Some(format!("out-{number}").into_bytes()),
        recorded_completions: 1,
    }
}

/// So many tasks, acknowledged, executed once, told, and the same on three nodes.
pub fn good(tasks: u64) -> History {
    let numbers = || 1..=tasks;
    let view = |node| NodeView { node: CoordinatorId(node), tasks: numbers().map(observed).collect() };
    History {
        acknowledged: numbers().map(|n| Acknowledgement { nonce: nonce(n), task: TaskNo(n) }).collect(),
        unresolved: Vec::new(),
        told: numbers().map(|n| told(n, TaskState::Succeed, &format!("out-{n}"))).collect(),
        views: (1..=3).map(view).collect(),
        executions: numbers().map(execution).collect(),
        may_rerun: BTreeSet::new(),
    }
}

/// The task on every node.
pub fn on_every_node(history: &mut History, task: u64, change: impl Fn(&mut ObservedTask)) {
    for view in &mut history.views {
        view.tasks.iter_mut().filter(|observed| observed.task == TaskNo(task)).for_each(&change);
    }
}
