//! How tasks end, and what becomes of a start that gives no result.
//!
//! **Invariant:** a task reaches its end in [`Apply::end_task`] or, together with its neighbours, when its session is
//! closed; nowhere else.

use flame_types::{ExecutorKey, Payload, RetryPolicy, SessionKey, TaskNo, TaskState, Token, kept_text};

use super::batch::Apply;
use crate::event::Event;
use crate::row::{AttemptLoss, AttemptRow, FinishedRow, Row, RowKey, Table};
use crate::state::{AssignmentRow, PendingTask, Story, Timer};

/// How a task ended.
pub(super) struct Ending {
    pub state: TaskState,
    pub output: Option<Payload>,
    pub message: Option<String>,
    pub ran_us: u64,
    pub story: Option<Box<Story>>,
    /// The start that was going on.
    pub attempt: Option<AttemptRow>,
}

impl Ending {
    pub fn cancelled(story: Option<Box<Story>>, attempt: Option<AttemptRow>) -> Self {
        Self { state: TaskState::Cancelled, output: None, message: None, ran_us: 0, story, attempt }
    }

    pub fn failed(message: String, story: Option<Box<Story>>, attempt: Option<AttemptRow>) -> Self {
        Self { state: TaskState::Failed, output: None, message: Some(message), ran_us: 0, story, attempt }
    }
}

/// Why a start gave no result.
#[derive(Clone, Debug)]
pub(super) enum Loss {
    /// The service died.
    Crashed(String),
    /// The worker was lost.
    Worker(String),
}

impl Apply<'_> {
    /// The task has reached its end: it is counted, written and told. The caller has taken it out of where it was.
    pub(super) fn end_task(&mut self, key: SessionKey, task: TaskNo, ending: Ending) {
        let now = self.state.cluster.time;
        let session = self.state.sessions.get_mut(&key).expect("a task that has not ended has a live session");
        if session.row.kept_tasks() == 0 {
            session.row.oldest_done = now;
        }
        match ending.state {
            TaskState::Succeed => session.row.succeed += 1,
            TaskState::Failed => session.row.failed += 1,
            TaskState::Cancelled => session.row.cancelled += 1,
            TaskState::Pending | TaskState::Running => unreachable!("these are not ends"),
        }
        let mut story = ending.story.unwrap_or_default();
        if let Some(attempt) = ending.attempt {
            story.push(attempt);
        }
        let attempts = story.attempts;
        let attempt = attempts.last().map_or(0, |attempt| attempt.attempt);
        let row = FinishedRow {
            state: ending.state,
            output: ending.output,
            message: ending.message.map(kept_text),
            finished: self.wall,
            ran_us: ending.ran_us,
            attempts,
        };
        let bytes = row.kept_bytes();
        let (state, output, message) = (row.state, row.output.clone(), row.message.clone());
        let ended = Event::Ended { session: key, task, state, attempt, output, message };
        self.changes.put(RowKey::task(Table::Finished, key, task), Row::Finished(Box::new(row)));
        let done = self.changes.done.entry(key).or_default();
        done.tasks.push(task);
        done.bytes += bytes;
        self.keep(key, bytes);
        self.events.push(ended);
        self.touch(key);
    }

    /// Ends an assigned task whose place in the queue stays taken until the worker answers.
    pub(super) fn cancel_assigned(&mut self, token: Token) {
        let (row, attempt) = self.vacate(token);
        self.end_task(row.session, row.task, Ending::cancelled(row.story, attempt));
    }

    /// An assigned task leaves its assignment, of which only the place in the queue is left. Returns the assignment as
    /// it was, and the start that was going on.
    pub(super) fn vacate(&mut self, token: Token) -> (AssignmentRow, Option<AttemptRow>) {
        let attempt = self.present_attempt(token);
        let row = self.state.assignments.get_mut(&token).expect("the caller holds a token of the state");
        let before = row.clone();
        row.cancelled = true;
        row.recalled = false;
        row.story = None;
        row.deadline = None;
        self.changes.executors.insert(before.executor);
        self.unassign(token, &before);
        (before, attempt)
    }

    /// Takes an assignment and its place in the queue away. The caller says [`Apply::queue_changed`] afterwards.
    pub(super) fn free_place(&mut self, token: Token) -> Option<AssignmentRow> {
        let row = self.state.assignments.remove(&token)?;
        self.changes.executors.insert(row.executor);
        if !row.cancelled {
            self.unassign(token, &row);
        }
        if let Some(executor) = self.state.executors.get_mut(&row.executor) {
            // Tasks end in the order of the queue, but for those that are cancelled or taken back.
            match executor.queue.front() {
                Some(first) if *first == token => drop(executor.queue.pop_front()),
                _ => executor.queue.retain(|queued| *queued != token),
            }
        }
        Some(row)
    }

    /// The start of an assignment that is going on, if it has begun.
    fn present_attempt(&self, token: Token) -> Option<AttemptRow> {
        let row = self.state.assignments.get(&token)?;
        let started = row.started?;
        let node = self.state.executors.get(&row.executor)?.row.node.clone();
        Some(AttemptRow { attempt: row.attempt, started, node, lost: None })
    }

    /// Gives a task back that did not start. It burns no attempt and, having a lower number than those that never
    /// ran, goes to the front.
    pub(super) fn return_task(&mut self, token: Token) {
        let Some(row) = self.free_place(token) else { return };
        if row.cancelled {
            return;
        }
        let pending = PendingTask { story: row.story.unwrap_or_default(), not_before: Default::default() };
        self.insert_pending(row.session, row.task, pending);
        if row.started.is_some() {
            self.task_event(row.session, row.task, TaskState::Pending, row.attempt);
        }
    }

    /// A start gave no result: the task is tried again, or fails when it has been tried often enough.
    pub(super) fn lose_attempt(&mut self, token: Token, loss: &Loss) {
        let wall = self.wall;
        let node = self.state.assignments.get(&token).and_then(|row| self.state.executors.get(&row.executor));
        let node = node.map(|executor| executor.row.node.clone());
        let Some(row) = self.free_place(token) else { return };
        if row.cancelled {
            return;
        }
        let policy = self.retry_policy(row.session);
        let mut story = row.story.unwrap_or_default();
        let (lost, ended) = match loss {
            Loss::Crashed(detail) => {
                story.crashed += 1;
                let starts = story.crashed;
                let ended = format!("service crashed {starts} times; last: {detail}");
                (format!("service crashed: {detail}"), (starts >= policy.crashed_starts_max).then_some(ended))
            }
            Loss::Worker(detail) => {
                story.lost += 1;
                let starts = story.lost;
                let ended = format!("worker lost {starts} times; last: {detail}");
                (detail.clone(), (starts >= policy.lost_starts_max).then_some(ended))
            }
        };
        if let Some(node) = node {
            let started = row.started.unwrap_or(wall);
            let lost = Some(AttemptLoss { at: wall, why: kept_text(lost) });
            story.push(AttemptRow { attempt: row.attempt, started, node, lost });
        }
        if let Some(message) = ended {
            return self.end_task(row.session, row.task, Ending::failed(message, Some(story), None));
        }
        let not_before = self.state.cluster.time.plus(story.backoff_ms(&policy));
        self.insert_pending(row.session, row.task, PendingTask { story, not_before });
        self.task_event(row.session, row.task, TaskState::Pending, row.attempt);
    }

    /// Takes all tasks of an executor that is gone. Those that had begun have lost a start, the others nothing.
    pub(super) fn empty_queue(&mut self, key: ExecutorKey, loss: &Loss, began: impl Fn(Token, &AssignmentRow) -> bool) {
        let queue: Vec<Token> = self.state.executors[&key].queue.iter().copied().collect();
        for token in queue {
            if began(token, &self.state.assignments[&token]) {
                self.lose_attempt(token, loss);
            } else {
                self.return_task(token);
            }
        }
    }

    fn insert_pending(&mut self, session: SessionKey, task: TaskNo, pending: PendingTask) {
        let now = self.state.cluster.time;
        self.state.index_retry(session, task, pending.not_before);
        let found = self.state.sessions.get_mut(&session).expect("a task that has not ended has a live session");
        found.pending.insert(task, pending, now);
        self.changes.pending.insert((session, task));
        self.touch(session);
    }

    fn unassign(&mut self, token: Token, row: &AssignmentRow) {
        if let Some(deadline) = row.deadline {
            self.state.timers.remove(deadline, Timer::Timeout(token));
        }
        if let Some(session) = self.state.sessions.get_mut(&row.session) {
            session.assigned.remove(&row.task);
            session.running -= u64::from(row.started.is_some());
        }
        self.touch(row.session);
    }

    fn retry_policy(&self, session: SessionKey) -> RetryPolicy {
        let own = self.state.sessions.get(&session).and_then(|session| session.asked.spec.retry);
        own.unwrap_or(self.state.cluster.config.retry)
    }
}
