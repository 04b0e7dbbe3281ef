//! Pending tasks to executors with room.
//!
//! **Invariant:** only here is a task assigned: its session open, not suspended and with a whole gang ready, the
//! executor bound to that session on an attached node that is not drained. One task may ride behind the order to enter
//! the session (`hand_over.rs`).

use flame_types::{ExecutorKey, ExecutorState, SessionKey, TaskNo, TaskState, Token};

use super::batch::Apply;
use crate::effect::Order;
use crate::state::{AssignmentRow, Session, State, Story, Timer};

impl Apply<'_> {
    /// Gives out tasks of a session while there are tasks and room: the first pending task to the least loaded
    /// executor, and what follows it until that has a portion.
    pub(super) fn dispatch(&mut self, key: SessionKey) {
        while self.state.may_dispatch(key) {
            let session = &self.state.sessions[&key];
            let Some((task, story)) = session.pending.next(session.row.head) else { break };
            let chosen = choose(self.state, session, story);
            let (executor, token) = match self.take_given_out(key, task) {
                Some(given_out) => (given_out.executor, given_out.token),
                None => (chosen, self.draw_token()),
            };
            let rest = self.state.executors[&executor].rest_of_portion(self.state.cluster.config.prefetch_max);
            self.put_into_queue(key, task, executor, token);
            for _ in 1..rest {
                let session = &self.state.sessions[&key];
                let Some((task, story)) = session.pending.next(session.row.head) else { break };
                if !story.is_none_or(|story| story.options.affinity.is_empty()) {
                    break;
                }
                let token = self.draw_token();
                self.put_into_queue(key, task, executor, token);
            }
            self.promote(executor);
            self.executor_changed(executor);
        }
        self.touched.remove(&key);
    }

    pub(super) fn assign(&mut self, key: SessionKey, task: TaskNo, executor: ExecutorKey) {
        let token = self.draw_token();
        self.put_into_queue(key, task, executor, token);
        self.promote(executor);
        self.executor_changed(executor);
    }

    fn draw_token(&mut self) -> Token {
        let token = self.state.cluster.next_token;
        self.state.cluster.next_token = token.next();
        self.changes.cluster = true;
        token
    }

    fn put_into_queue(&mut self, key: SessionKey, task: TaskNo, executor: ExecutorKey, token: Token) {
        let session = self.state.sessions.get_mut(&key).expect("dispatch has found it");
        let story = match session.pending.remove(task) {
            Some(pending) => {
                self.changes.pending.insert((key, task));
                Some(pending.story).filter(|story| **story != Story::default())
            }
            None => {
                if let Some(first) = session.pending.take_fresh(&mut session.row.head) {
                    self.changes.ranges.insert((key, first));
                }
                None
            }
        };
        session.assigned.insert(task, token);
        self.changes.sessions.insert(key);
        let attempt = story.as_ref().map_or(1, |story| story.next_attempt());
        let timeout_ms = story.as_ref().and_then(|story| story.options.timeout_ms).or(session.terms.task_timeout_ms);
        let row = AssignmentRow {
            session: key,
            task,
            attempt,
            executor,
            started: None,
            recalled: false,
            cancelled: false,
            deadline: None,
            story,
        };
        self.state.assignments.insert(token, row);
        self.changes.executors.insert(executor);
        let found = self.state.executors.get_mut(&executor).expect("the session lists executors that exist");
        found.queue.push_back(token);
        found.row.epoch = found.row.epoch.next();
        let node = found.row.node.clone();
        self.order(&node, Order::Assign { executor, session: key, task, attempt, token, timeout_ms });
    }

    /// The first `slots` tasks of a queue run: those that have just come so far are shown as Running. Nothing runs in an
    /// executor that has not entered its session.
    pub(super) fn promote(&mut self, key: ExecutorKey) {
        let executor = &self.state.executors[&key];
        if executor.row.state == ExecutorState::Binding {
            return;
        }
        let front = executor.queue.len().min(executor.row.slots as usize);
        for place in 0..front {
            let token = self.state.executors[&key].queue[place];
            let row = &self.state.assignments[&token];
            if row.started.is_none() && !row.recalled && !row.cancelled {
                self.start_running(token);
            }
        }
    }

    fn start_running(&mut self, token: Token) {
        let now = self.state.cluster.time;
        let row = &self.state.assignments[&token];
        let timeout = self.state.timeout_ms(row.session, row.story.as_deref());
        let row = self.state.assignments.get_mut(&token).expect("the caller has found it");
        row.started = Some(self.wall);
        if let Some(timeout_ms) = timeout {
            // A deadline that is already there would be lost: the index holds only those that lie ahead.
            let deadline = now.plus(timeout_ms.max(1));
            row.deadline = Some(deadline);
            self.state.timers.insert(deadline, Timer::Timeout(token));
        }
        let (session, task, attempt, executor) = (row.session, row.task, row.attempt, row.executor);
        if let Some(found) = self.state.sessions.get_mut(&session) {
            found.running += 1;
        }
        self.changes.executors.insert(executor);
        self.changes.sessions.insert(session);
        self.task_event(session, task, TaskState::Running, attempt);
    }
}

/// The least loaded executor with room; for a task with affinity the one among the first few that publishes most of
/// its keys.
fn choose(state: &State, session: &Session, story: Option<&Story>) -> ExecutorKey {
    let mut candidates = session.free.iter().map(|place| place.executor);
    let first = candidates.next().expect("dispatch has found room");
    let Some(keys) = story.map(|story| &story.options.affinity).filter(|keys| !keys.is_empty()) else { return first };
    let matching = |executor: ExecutorKey| {
        let attributes = &state.executors[&executor].attributes;
        keys.iter().filter(|key| attributes.contains(*key)).count()
    };
    let looked_at = state.cluster.config.affinity_candidates_max.saturating_sub(1) as usize;
    let (mut best, mut best_matching) = (first, matching(first));
    for executor in candidates.take(looked_at) {
        let found = matching(executor);
        if found > best_matching {
            (best, best_matching) = (executor, found);
        }
    }
    best
}
