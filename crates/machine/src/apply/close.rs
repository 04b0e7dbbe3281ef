//! How sessions end: close, delete, expire.
//!
//! A closed session leaves memory but for one small row. Its executors are on their way out; tasks they still work on
//! have ended already, and only their places in the queues are taken until the workers answer.

use flame_types::{ExecutorState, SessionId, SessionKey, SessionState, TaskNo, TaskState, Token};

use super::batch::{Apply, Outcome};
use super::ending::Ending;
use crate::effect::Order;
use crate::event::Event;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::row::{CancelledRangeRow, ROW_BYTES, Row, RowKey, Table};
use crate::state::Drained;

impl Apply<'_> {
    pub(super) fn close(&mut self, id: &SessionId, force: bool) -> Outcome {
        let key = *self.state.ids.get(id).ok_or_else(|| Refusal::SessionNotFound(id.to_string()))?;
        let Some(session) = self.state.sessions.get(&key) else { return Ok(Reply::Done) };
        if session.running > 0 && !force {
            return Err(Refusal::RunningTasks);
        }
        self.cancel_all(key);
        self.let_executors_go(key);
        self.state.unindex_session(key);
        let session = self.state.sessions.remove(&key).expect("it was found above");
        if let Some(app) = self.state.apps.get_mut(session.app()) {
            app.sessions.remove(&key);
        }
        let closed = session.closed_row(self.wall, self.state.cluster.time);
        self.state.open_kept_bytes -= session.row.kept_bytes;
        self.state.closed_index.insert(&closed);
        self.state.closed.insert(key, closed);
        self.changes.closed.insert(id.clone(), key);
        self.changes.session_specs.insert(key);
        self.changes.sessions.insert(key);
        self.changes.session_events.insert(key);
        for table in [Table::Pending, Table::PendingRange, Table::Idempotency] {
            self.changes.delete_range(table, key);
        }
        self.events.push(Event::Session { session: key, state: SessionState::Closed });
        self.placement_dirty = true;
        Ok(Reply::Done)
    }

    pub(super) fn delete(&mut self, id: &SessionId) -> Outcome {
        let key = *self.state.ids.get(id).ok_or_else(|| Refusal::SessionNotFound(id.to_string()))?;
        if self.state.sessions.contains_key(&key) {
            return Err(Refusal::SessionStillOpen(id.to_string()));
        }
        self.forget(key);
        self.sweep();
        Ok(Reply::Done)
    }

    pub(super) fn expire(&mut self, sessions: &[SessionKey]) -> Outcome {
        for key in sessions {
            self.forget(*key);
        }
        self.sweep();
        Ok(Reply::Done)
    }

    /// Removes a closed session with all its tasks and objects; its id may be used again.
    fn forget(&mut self, key: SessionKey) {
        let Some(row) = self.state.closed.remove(&key) else { return };
        self.state.closed_index.remove(&row);
        self.state.ids.remove(&row.id);
        self.doom_session(&row.spec.application, &row.id);
        self.changes.closed.insert(row.id, key);
        for table in Table::OF_SESSION {
            self.changes.delete_range(*table, key);
        }
        self.events.push(Event::SessionGone { session: key });
    }

    /// Ends every task of a session. Those that never started are cancelled in ranges: one row and one event each.
    fn cancel_all(&mut self, key: SessionKey) {
        let session = self.state.sessions.get_mut(&key).expect("the caller has found it");
        let Drained { mut ranges, tasks } = session.pending.drain(session.row.head);
        let tokens: Vec<Token> = session.assigned.values().copied().collect();
        for (task, pending) in tasks {
            self.state.timers.remove(pending.not_before, crate::state::Timer::Retry(key, task));
            if pending.story.attempts.is_empty() {
                ranges.push((task, task));
            } else {
                self.end_task(key, task, Ending::cancelled(Some(pending.story), None));
            }
        }
        for token in &tokens {
            let row = &self.state.assignments[token];
            if row.started.is_none() && row.story.as_ref().is_none_or(|story| story.attempts.is_empty()) {
                ranges.push((row.task, row.task));
                self.vacate(*token);
            } else {
                self.cancel_assigned(*token);
            }
        }
        self.order_tokens(&tokens, |tokens| Order::Cancel { tokens });
        for (first, last) in merged(ranges) {
            let session = self.state.sessions.get_mut(&key).expect("the caller has found it");
            session.row.cancelled += last.0 - first.0 + 1;
            self.keep(key, ROW_BYTES);
            let row = CancelledRangeRow { last, finished: self.wall };
            self.changes.put(RowKey::task(Table::CancelledRange, key, first), Row::CancelledRange(row));
            self.events.push(Event::Tasks { session: key, first, last, state: TaskState::Cancelled });
        }
    }

    /// Executors of a session that ends: idle ones may serve another, busy ones when their places are free.
    fn let_executors_go(&mut self, key: SessionKey) {
        let executors: Vec<_> = self.state.sessions[&key].executors.iter().copied().collect();
        for executor in executors {
            let found = &self.state.executors[&executor];
            match (found.row.state, found.queue.is_empty()) {
                (ExecutorState::Bound, true) => self.unbind(executor),
                (ExecutorState::Bound | ExecutorState::Binding, false) => {
                    self.state.detach_executor(executor);
                    self.state.executors.get_mut(&executor).expect("it was found above").row.retiring = true;
                    self.state.leaving.insert(executor);
                    self.changes.executors.insert(executor);
                }
                _ => self.stop(executor),
            }
        }
    }
}

/// Ranges in order, neighbours made one.
fn merged(mut ranges: Vec<(TaskNo, TaskNo)>) -> Vec<(TaskNo, TaskNo)> {
    ranges.sort_unstable();
    let mut merged: Vec<(TaskNo, TaskNo)> = Vec::new();
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if end.next() == first => *end = last,
            _ => merged.push((first, last)),
        }
    }
    merged
}
