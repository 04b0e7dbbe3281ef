//! Why one task does not run: a function from the state, for the operator who asks.
//!
//! **Invariant:** nothing stands against a waiting task only if dispatch would give it out now. Apply does so at once, so
//! between two entries every waiting task has a reason.
//!
//! **Invariant:** it costs as much as a plan. It is asked by people, never by the way of a task.

use flame_types::{
    AppName, ExecutorKey, ExecutorState, NodeName, SessionId, SessionKey, SessionState, TaskNo, Token, WallMs,
};

use super::explain_nodes::{NodeReasons, explain_nodes};
use super::plan;
use crate::command::WaitReason;
use crate::state::{Session, SessionEvent, State};

/// Where a task stands, and what stands against its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Its session.
    pub session: SessionId,
    /// The application of that.
    pub app: AppName,
    /// Where it is.
    pub standing: Standing,
    /// Why it does not run, apart from what the workers have to say. Empty unless it waits.
    pub reasons: Vec<Reason>,
    /// Of each worker that is known, by name: why it runs nothing more of this session. Empty unless it waits.
    pub nodes: Vec<NodeReasons>,
}

/// Where a task is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In its session.
    Waiting,
    /// With an executor that has not begun it.
    Queued {
        executor: ExecutorKey,
        node: NodeName,
        /// Tasks of the executor before it.
        ahead: u64,
        /// The executor has not entered the session yet.
        entering: bool,
        /// It is asked back.
        recalled: bool,
        /// The stream of the worker stands.
        attached: bool,
    },
    /// With an executor that has begun it.
    Running { executor: ExecutorKey, node: NodeName, attempt: u32, since: WallMs, attached: bool },
    /// It has ended; a row says how.
    Ended,
}

/// What stands against the start of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No task of its session starts.
    Suspended { state: SessionState },
    /// An earlier start came to nothing: it waits before the next.
    NotBefore { in_ms: u64, starts: u32, last: Option<String> },
    /// Others of its session come first.
    Behind { tasks: u64 },
    /// Its session starts tasks only while so many executors are ready together.
    Gang { batch_size: u32, ready: u32, held: u32 },
    /// Its session has no executor.
    NoExecutor,
    /// No executor of its session can take one more task: so many have not entered it yet, so many are on their way out
    /// or on workers that take no tasks, and the others are busy.
    ExecutorsBusy { executors: u32, entering: u32, out: u32 },
    /// Its session has as many executors as it may have.
    SessionLimit { max_instances: u32 },
    /// All sessions of the application together have as many executors as they may have.
    AppLimit { max_instances: u32 },
    /// Executors of its session failed to bind too often: it gets no new ones until it is resumed.
    BindFailures { failures: u32 },
    /// An executor of its session failed, or a gang was given back: the next is placed after a while.
    BackingOff { in_ms: u64 },
    /// Said with either of these: what the last executor said that failed to bind.
    LastFailure { message: String },
    /// A session of higher priority is served first.
    Priority { priority: u32 },
    /// No worker is known.
    NoWorkers,
    /// All workers together could not hold a whole gang, were they empty.
    GangTooLarge { batch_size: u32, possible: u32 },
}

impl Explanation {
    /// Whether the task could start now.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.standing == Standing::Waiting && self.reasons.is_empty()
    }
}

/// Why a task does not run; `None` when there is no such task.
#[must_use]
pub fn explain_task(state: &State, key: SessionKey, task: TaskNo) -> Option<Explanation> {
    let Some(session) = state.sessions.get(&key) else {
        let closed = state.closed.get(&key).filter(|row| (1..=row.tasks).contains(&task.0))?;
        return Some(Explanation {
            session: closed.id.clone(),
            app: closed.spec.application.clone(),
            standing: Standing::Ended,
            reasons: Vec::new(),
            nodes: Vec::new(),
        });
    };
    if task < TaskNo::FIRST || task >= session.row.next_task {
        return None;
    }
    let standing = match session.assigned.get(&task) {
        Some(token) => with_executor(state, *token),
        None if session.pending.contains(session.row.head, task) => Standing::Waiting,
        None => Standing::Ended,
    };
    let waits = standing == Standing::Waiting;
    Some(Explanation {
        session: session.asked.id.clone(),
        app: session.app().clone(),
        standing,
        reasons: if waits { reasons(state, session, task) } else { Vec::new() },
        nodes: if waits { explain_nodes(state, session) } else { Vec::new() },
    })
}

fn with_executor(state: &State, token: Token) -> Standing {
    let row = &state.assignments[&token];
    let executor = &state.executors[&row.executor];
    let (key, node) = (executor.row.key, executor.row.node.clone());
    let attached = state.nodes.get(&node).is_some_and(|node| node.row.attached);
    if let Some(since) = row.started {
        return Standing::Running { executor: key, node, attempt: row.attempt, since, attached };
    }
    let ahead = executor.queue.iter().take_while(|queued| **queued != token).count() as u64;
    let entering = executor.row.state != ExecutorState::Bound;
    Standing::Queued { executor: key, node, ahead, entering, recalled: row.recalled, attached }
}

/// In the order in which dispatch looks: the session, its line, its executors; then why it gets no further executor.
fn reasons(state: &State, session: &Session, task: TaskNo) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if session.row.state != SessionState::Open {
        reasons.push(Reason::Suspended { state: session.row.state });
    }
    reasons.extend(in_line(state, session, task));
    let lack = executors(state, session);
    let lacks = lack.is_some();
    reasons.extend(lack);
    if lacks && session.row.state == SessionState::Open {
        reasons.extend(placement(state, session));
    }
    reasons
}

/// What keeps the task from being the next one of its session.
fn in_line(state: &State, session: &Session, task: TaskNo) -> Option<Reason> {
    let now = state.now();
    if let Some(pending) = session.pending.task(task).filter(|pending| pending.not_before > now) {
        let lost = pending.story.attempts.iter().rev().find_map(|attempt| attempt.lost.as_ref());
        let starts = pending.story.attempts.last().map_or(0, |attempt| attempt.attempt);
        let last = lost.map(|lost| lost.why.clone());
        return Some(Reason::NotBefore { in_ms: pending.not_before.since(now), starts, last });
    }
    let tasks = session.pending.ahead_of(session.row.head, task);
    (tasks > 0).then_some(Reason::Behind { tasks })
}

/// What the session lacks to start one more task, whichever it is.
fn executors(state: &State, session: &Session) -> Option<Reason> {
    let held = u32::try_from(session.executors.len()).unwrap_or(u32::MAX);
    if session.ready < session.batch_size() && session.batch_size() > 1 {
        return Some(Reason::Gang { batch_size: session.batch_size(), ready: session.ready, held });
    }
    if held == 0 {
        return Some(Reason::NoExecutor);
    }
    if session.ready >= session.batch_size() && !session.free.is_empty() {
        return None;
    }
    let rows = session.executors.iter().map(|key| &state.executors[key].row);
    let entering = rows.filter(|row| row.state != ExecutorState::Bound && !row.retiring).count();
    let entering = u32::try_from(entering).unwrap_or(u32::MAX);
    let out = held.saturating_sub(session.ready).saturating_sub(entering);
    Some(Reason::ExecutorsBusy { executors: held, entering, out })
}

/// Why the session gets no further executor, whatever the workers have free.
fn placement(state: &State, session: &Session) -> Vec<Reason> {
    let (mut reasons, now) = (Vec::new(), state.now());
    let may_have = state.apps.get(session.app()).map_or(0, |app| app.row.spec.max_instances);
    let own = session.asked.spec.max_instances.unwrap_or(u32::MAX).min(may_have);
    if session.executors.len() >= own as usize {
        reasons.push(Reason::SessionLimit { max_instances: own });
    } else if state.app_instances(session.app()) >= may_have {
        reasons.push(Reason::AppLimit { max_instances: may_have });
    }
    if session.row.not_before > now {
        reasons.push(Reason::BackingOff { in_ms: session.row.not_before.since(now) });
    }
    if session.row.bind_failures >= session.terms.retry.refused.starts_max {
        reasons.push(Reason::BindFailures { failures: session.row.bind_failures });
    }
    let is_held_up =
        reasons.iter().any(|reason| matches!(reason, Reason::BackingOff { .. } | Reason::BindFailures { .. }));
    let mut failures = session.events.iter().rev().filter(|event| event.code == SessionEvent::BIND_FAILED);
    if is_held_up
        && session.row.bind_failures > 0
        && let Some(last) = failures.next()
    {
        reasons.push(Reason::LastFailure { message: last.message.clone() });
    }
    if state.nodes.is_empty() {
        reasons.push(Reason::NoWorkers);
    }
    match plan::explain(state, session.key) {
        Some(WaitReason::Priority { priority }) => reasons.push(Reason::Priority { priority }),
        Some(WaitReason::Gang { batch_size, possible }) => reasons.push(Reason::GangTooLarge { batch_size, possible }),
        // These are said above, or of each worker.
        Some(
            WaitReason::BindFailures { .. }
            | WaitReason::NoWorkers
            | WaitReason::NoShim { .. }
            | WaitReason::TooLarge { .. }
            | WaitReason::Busy
            | WaitReason::AppLimit { .. },
        )
        | None => {}
    }
    reasons
}
