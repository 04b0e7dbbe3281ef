//! How tasks end, and what becomes of a start that comes to nothing.
//!
//! **Invariant:** a task reaches its end in [`Apply::end_task`] or, together with its neighbours, when its session is
//! closed; nowhere else.

use std::collections::BTreeSet;

use flame_types::{ExecutorKey, Payload, RetryCause, SessionKey, TaskNo, TaskState, Token, kept_text};

use super::batch::Apply;
use crate::event::Event;
use crate::row::{AttemptLoss, AttemptRow, FinishedRow, Row, RowKey, Table};
use crate::state::{AssignmentRow, PENDING_ENTRIES_MAX, PendingTask, Story, Timer};

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
}

/// Why a start gave no result.
#[derive(Clone, Debug)]
pub(super) enum Loss {
    /// The service died with this task alone at hand.
    Crashed(String),
    /// The service died with several tasks at hand. It may have been done with some of them, and said so into a stream that
    /// died with it: which one killed it, nobody knows.
    CrashedAmong(String),
    /// The worker was lost.
    Worker(String),
}

/// A start that the service has answered with a failure, or that took too long.
pub(super) struct Failure {
    /// The assignment, which is over.
    pub row: AssignmentRow,
    /// The start.
    pub attempt: Option<AttemptRow>,
    pub output: Option<Payload>,
    pub message: Option<String>,
    pub ran_us: u64,
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
        self.acquit(key, task);
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

    /// A start has failed: the task is tried again, or ends with this failure when it has failed often enough. It ends,
    /// too, when so many tasks of its session wait by themselves that there is no room for one more.
    pub(super) fn fail_attempt(&mut self, failure: Failure) {
        let Failure { row, attempt, output, message, ran_us } = failure;
        let session = self.state.sessions.get(&row.session).expect("a task that has not ended has a live session");
        let (limit, room) = (session.terms.retry.failed, session.pending.entries() < PENDING_ENTRIES_MAX);
        let mut story = row.story.unwrap_or_default();
        let starts = story.count(RetryCause::Failed);
        if starts >= limit.starts_max || !room {
            let (state, story) = (TaskState::Failed, Some(story));
            return self.end_task(row.session, row.task, Ending { state, output, message, ran_us, story, attempt });
        }
        if let Some(attempt) = attempt {
            let said = message.filter(|message| !message.is_empty()).unwrap_or_else(|| "no reason was given".into());
            let why = kept_text(format!("task failed: {said}"));
            let lost = Some(AttemptLoss { at: self.wall, why, cause: RetryCause::Failed });
            story.push(AttemptRow { lost, ..attempt });
        }
        self.try_again(row.session, row.task, row.attempt, story, limit.wait_ms(starts));
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
        let session = self.state.sessions.get(&row.session).expect("a task that has not ended has a live session");
        let limits = session.terms.retry;
        let mut story = row.story.unwrap_or_default();
        story.suspect |= !matches!(loss, Loss::Worker(_));
        let (cause, limit, why) = match loss {
            Loss::Crashed(detail) => (RetryCause::Crashed, limits.crashed, format!("service crashed: {detail}")),
            Loss::CrashedAmong(detail) | Loss::Worker(detail) => (RetryCause::Lost, limits.lost, detail.clone()),
        };
        let starts = story.count(cause);
        if let Some(node) = node {
            let started = row.started.unwrap_or(wall);
            let lost = Some(AttemptLoss { at: wall, why: kept_text(why), cause });
            story.push(AttemptRow { attempt: row.attempt, started, node, lost });
        }
        if starts < limit.starts_max {
            return self.try_again(row.session, row.task, row.attempt, story, limit.wait_ms(starts));
        }
        let message = match loss {
            Loss::Crashed(detail) => format!("service crashed {starts} times; last: {detail}"),
            Loss::CrashedAmong(detail) | Loss::Worker(detail) => format!("worker lost {starts} times; last: {detail}"),
        };
        let (state, message, story) = (TaskState::Failed, Some(message), Some(story));
        let ending = Ending { state, output: None, message, ran_us: 0, story, attempt: None };
        self.end_task(row.session, row.task, ending);
    }

    /// Takes all tasks of an executor that is gone. Those that had begun have lost a start, the others nothing. When its
    /// service died with one of them at hand, that one is to blame; with several it may be any of them.
    pub(super) fn empty_queue(&mut self, key: ExecutorKey, loss: &Loss, began: impl Fn(Token, &AssignmentRow) -> bool) {
        let queue: Vec<Token> = self.state.executors[&key].queue.iter().copied().collect();
        let begun: BTreeSet<Token> =
            queue.iter().copied().filter(|token| began(*token, &self.state.assignments[token])).collect();
        let loss = match loss {
            Loss::Crashed(detail) if begun.len() > 1 => {
                Loss::CrashedAmong(format!("its service crashed with {} tasks at hand: {detail}", begun.len()))
            }
            same => same.clone(),
        };
        for token in queue {
            if begun.contains(&token) {
                self.lose_attempt(token, &loss);
            } else {
                self.return_task(token);
            }
        }
    }

    /// The task waits for its next start, after a while.
    fn try_again(&mut self, session: SessionKey, task: TaskNo, attempt: u32, story: Box<Story>, wait_ms: u64) {
        let not_before = self.state.cluster.time.plus(wait_ms);
        if story.suspect {
            self.suspect(session, task);
        }
        self.insert_pending(session, task, PendingTask { story, not_before });
        self.task_event(session, task, TaskState::Pending, attempt);
    }

    /// From now on the executors of a session have one task at a time.
    fn suspect(&mut self, key: SessionKey, task: TaskNo) {
        let session = self.state.sessions.get_mut(&key).expect("a task that has not ended has a live session");
        let is_first = session.suspects.is_empty();
        session.suspects.insert(task);
        if is_first {
            self.executors_of_session_changed(key);
        }
    }

    /// A task has ended. When it was the last suspect of its session, executors have as many tasks as before.
    fn acquit(&mut self, key: SessionKey, task: TaskNo) {
        let session = self.state.sessions.get_mut(&key).expect("a task that has not ended has a live session");
        if session.suspects.remove(&task) && session.suspects.is_empty() {
            self.executors_of_session_changed(key);
        }
    }

    fn executors_of_session_changed(&mut self, key: SessionKey) {
        let executors: Vec<ExecutorKey> = self.state.sessions[&key].executors.iter().copied().collect();
        for executor in executors {
            self.state.index_executor(executor);
        }
        self.touch(key);
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
}
