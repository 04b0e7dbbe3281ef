//! Tasks that have not ended, and where to look for the others.

use std::collections::BTreeMap;

use flame_types::{ClusterMs, ExecutorKey, NodeName, SessionKey, TaskNo, TaskOptions, TaskState, Token, WallMs};

use crate::row::AttemptRow;
use crate::state::{Session, State, Story};

/// Where a task is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskPlace {
    /// It waits in its session.
    Pending,
    /// It is with an executor.
    Assigned {
        /// The token it was given under.
        token: Token,
        /// Who has it.
        executor: ExecutorKey,
        /// The worker of that executor.
        node: NodeName,
        /// Since when it is shown as Running; `None` while it is queued behind another one and shown as Pending.
        started: Option<WallMs>,
    },
    /// It has ended: a row of [`crate::Table::Finished`], or one of [`crate::Table::CancelledRange`] that covers it,
    /// says how. When there is none, retention has removed it.
    Ended,
    /// There is no such task.
    Unknown,
}

/// A task that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskView {
    /// Its number.
    pub no: TaskNo,
    /// Pending or Running, as shown.
    pub state: TaskState,
    /// Its starts, the last one last; the last one still runs if the task is Running.
    pub attempts: Vec<AttemptRow>,
    /// What its user asked for.
    pub options: TaskOptions,
    /// It waits for this time before it is tried again.
    pub not_before: Option<ClusterMs>,
    /// Who has it.
    pub executor: Option<ExecutorKey>,
}

/// Where a task is.
#[must_use]
pub fn task_place(state: &State, session: SessionKey, task: TaskNo) -> TaskPlace {
    let Some(found) = state.sessions.get(&session) else {
        let tasks = state.closed.get(&session).map_or(0, |row| row.tasks);
        return if (1..=tasks).contains(&task.0) { TaskPlace::Ended } else { TaskPlace::Unknown };
    };
    if task < TaskNo::FIRST || task >= found.row.next_task {
        return TaskPlace::Unknown;
    }
    if let Some(token) = found.assigned.get(&task) {
        let row = &state.assignments[token];
        let node = state.executors[&row.executor].row.node.clone();
        return TaskPlace::Assigned { token: *token, executor: row.executor, node, started: row.started };
    }
    if found.pending.contains(found.row.head, task) { TaskPlace::Pending } else { TaskPlace::Ended }
}

/// A task that has not ended; `None` when it has, or when there is none of this number.
#[must_use]
pub fn task(state: &State, session: SessionKey, task: TaskNo) -> Option<TaskView> {
    let found = state.sessions.get(&session)?;
    match task_place(state, session, task) {
        TaskPlace::Pending => Some(pending_view(state, found, task)),
        TaskPlace::Assigned { token, .. } => Some(assigned_view(state, task, token)),
        TaskPlace::Ended | TaskPlace::Unknown => None,
    }
}

/// The tasks of a session that have not ended and have numbers above `from`, in order, at most `limit`.
#[must_use]
pub fn live_tasks(state: &State, session: SessionKey, from: TaskNo, limit: usize) -> Vec<TaskView> {
    let Some(found) = state.sessions.get(&session) else { return Vec::new() };
    let first = from.next();
    let mut views: BTreeMap<TaskNo, TaskView> = BTreeMap::new();
    for (task, token) in found.assigned.range(first..).take(limit) {
        views.insert(*task, assigned_view(state, *task, *token));
    }
    for task in found.pending.numbers(found.row.head, first, limit) {
        views.insert(task, pending_view(state, found, task));
    }
    views.into_values().take(limit).collect()
}

fn pending_view(state: &State, session: &Session, task: TaskNo) -> TaskView {
    let single = session.pending.task(task);
    let story = single.map(|pending| (*pending.story).clone()).unwrap_or_default();
    let not_before = single.map(|pending| pending.not_before).filter(|at| *at > state.cluster.time);
    let Story { options, attempts, .. } = story;
    TaskView { no: task, state: TaskState::Pending, attempts, options, not_before, executor: None }
}

fn assigned_view(state: &State, task: TaskNo, token: Token) -> TaskView {
    let row = &state.assignments[&token];
    let Story { options, mut attempts, .. } = row.story.as_deref().cloned().unwrap_or_default();
    if let Some(started) = row.started {
        let node = state.executors[&row.executor].row.node.clone();
        attempts.push(AttemptRow { attempt: row.attempt, started, node, lost: None });
    }
    let shown = if row.started.is_some() { TaskState::Running } else { TaskState::Pending };
    TaskView { no: task, state: shown, attempts, options, not_before: None, executor: Some(row.executor) }
}
