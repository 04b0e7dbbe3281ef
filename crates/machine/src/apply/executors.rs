//! The life of an executor: Void → Binding → Bound → Unbinding → (Binding | Releasing) → gone.
//!
//! **Invariant:** the resources of an executor are free only when it has left, or when its node has expired.

use std::collections::BTreeSet;

use flame_types::{ExecutorKey, ExecutorState, RetryCause, Token, kept_text, limits};

use super::batch::Apply;
use super::ending::Loss;
use super::hand_over::Chance;
use crate::cluster_event::ClusterEvent;
use crate::command::{Attributes, FailureCause};
use crate::effect::Order;
use crate::state::{Node, SessionEvent};
use crate::view::executor_uuid;

impl Apply<'_> {
    /// The service has entered its session.
    pub(super) fn bound(&mut self, key: ExecutorKey) {
        let now = self.state.cluster.time;
        let executor = self.state.executors.get_mut(&key).expect("the caller has found it");
        executor.row.state = ExecutorState::Bound;
        executor.row.epoch = executor.row.epoch.next();
        executor.row.idle_since = now;
        let (node, session) = (executor.row.node.clone(), executor.row.session);
        let mut news = executor.queue.is_empty();
        if self.state.nodes.get_mut(&node).is_some_and(Node::forgive) {
            self.state.index_avoidance(&node);
            self.changes.nodes.insert(node);
            news = true;
        }
        if let Some(found) = self.state.sessions.get_mut(&session) {
            news |= found.row.bind_failures > 0;
            found.row.bind_failures = 0;
        }
        // What rode behind the order to enter runs now.
        self.promote(key);
        self.executor_changed(key);
        // With a task to run everything is as it was planned.
        self.placement_dirty |= news;
    }

    /// A bound executor without tasks gives its session up. It may serve another one of the same application.
    pub(super) fn unbind(&mut self, key: ExecutorKey) {
        self.leave_session(key, ExecutorState::Unbinding);
    }

    /// Its worker is told to stop it. Its resources are free once it has left.
    pub(super) fn stop(&mut self, key: ExecutorKey) {
        self.leave_session(key, ExecutorState::Releasing);
        let node = self.state.executors[&key].row.node.clone();
        self.order(&node, Order::Stop { executor: key });
    }

    /// It is gone and its resources are free. Its queue is empty.
    pub(super) fn remove_executor(&mut self, key: ExecutorKey) {
        let session = self.state.executors[&key].row.session;
        self.state.detach_executor(key);
        self.state.uncount_executor(key);
        let executor = self.state.executors.remove(&key).expect("it was found above");
        assert!(executor.queue.is_empty(), "an executor leaves without tasks");
        self.changes.executors.insert(key);
        self.changes.attributes.insert(key);
        self.touch(session);
        self.placement_dirty = true;
    }

    /// An executor gets nothing new and gives its session up when it has nothing to do any more. One that has not
    /// entered its session is stopped then.
    pub(super) fn retire(&mut self, key: ExecutorKey) {
        let executor = self.state.executors.get_mut(&key).expect("the caller has found it");
        if executor.queue.is_empty() {
            return if executor.row.state == ExecutorState::Bound { self.unbind(key) } else { self.stop(key) };
        }
        if executor.row.retiring {
            return;
        }
        executor.row.retiring = true;
        executor.row.epoch = executor.row.epoch.next();
        let queue: Vec<Token> = executor.queue.iter().copied().collect();
        if let Some(session) = self.state.sessions.get_mut(&executor.row.session) {
            session.retiring += 1;
        }
        self.recall_tokens(queue);
        self.executor_changed(key);
        self.placement_dirty = true;
    }

    /// Asks for tasks back that have not started.
    pub(super) fn recall_tokens(&mut self, tokens: Vec<Token>) {
        let mut asked = Vec::new();
        for token in tokens {
            if let Some(row) = self.state.assignments.get_mut(&token)
                && row.started.is_none()
                && !row.cancelled
            {
                row.recalled = true;
                self.changes.executors.insert(row.executor);
                asked.push(token);
            }
        }
        self.order_tokens(&asked, |tokens| Order::Recall { tokens });
    }

    /// Something left the queue of an executor.
    pub(super) fn queue_changed(&mut self, key: ExecutorKey) {
        let now = self.state.cluster.time;
        let Some(executor) = self.state.executors.get_mut(&key) else { return };
        if !executor.queue.is_empty() {
            self.promote(key);
            return self.executor_changed(key);
        }
        if executor.row.gone {
            return self.remove_executor(key);
        }
        executor.row.idle_since = now;
        if executor.row.retiring {
            return self.retire(key);
        }
        self.executor_changed(key);
    }

    /// An executor is gone without having been told to stop: its tasks go elsewhere, and the session waits before it
    /// gets another.
    pub(super) fn executor_lost(&mut self, key: ExecutorKey, started: &[Token], cause: FailureCause) {
        let loss = match &cause {
            FailureCause::Bind { message, .. } | FailureCause::Crashed { message } => Loss::Crashed(message.clone()),
        };
        self.blame(key, cause);
        self.empty_queue(key, &loss, |token, _| started.contains(&token));
        self.remove_executor(key);
    }

    /// Counts a failure against the session and the node of an executor.
    pub(super) fn blame(&mut self, key: ExecutorKey, cause: FailureCause) {
        let executor = &self.state.executors[&key];
        if !executor.is_attached() {
            return;
        }
        let (session, now) = (executor.row.session, self.state.cluster.time);
        let cause = match cause {
            FailureCause::Bind { return_code, message } => {
                self.bind_failed(key, return_code, &message);
                RetryCause::Refused
            }
            FailureCause::Crashed { .. } => RetryCause::Crashed,
        };
        let Some(found) = self.state.sessions.get_mut(&session) else { return };
        let failures = match cause {
            RetryCause::Refused => found.row.bind_failures,
            _ => {
                found.row.crashes = found.row.crashes.saturating_add(1);
                found.row.crashes
            }
        };
        let wait_ms = found.terms.retry.of(cause).wait_ms(failures);
        found.row.not_before = found.row.not_before.max(now.plus(wait_ms));
        self.touch(session);
    }

    /// Adds and removes keys that an executor publishes; what is beyond the limits is passed over.
    pub(super) fn publish(&mut self, key: ExecutorKey, attributes: &Attributes) {
        if attributes.is_empty() {
            return;
        }
        let Some(executor) = self.state.executors.get_mut(&key) else { return };
        for retracted in &attributes.retract {
            executor.attributes.remove(retracted);
        }
        insert_attributes(&mut executor.attributes, &attributes.publish);
        self.changes.attributes.insert(key);
    }

    /// Replaces the keys that an executor publishes.
    pub(super) fn publish_all(&mut self, key: ExecutorKey, attributes: &[Vec<u8>]) {
        let Some(executor) = self.state.executors.get_mut(&key) else { return };
        let mut all = BTreeSet::new();
        insert_attributes(&mut all, attributes);
        if executor.attributes != all {
            executor.attributes = all;
            self.changes.attributes.insert(key);
        }
    }

    fn leave_session(&mut self, key: ExecutorKey, state: ExecutorState) {
        self.state.detach_executor(key);
        let executor = self.state.executors.get_mut(&key).expect("the caller has found it");
        executor.row.state = state;
        executor.row.epoch = executor.row.epoch.next();
        self.executor_changed(key);
        if state == ExecutorState::Unbinding {
            self.chances.push_back(Chance::Unbound(key));
        }
        self.placement_dirty = true;
    }

    /// An executor has not entered its session. That counts against its worker; and against its session, unless its worker
    /// is the more suspect of the two: something has failed there before, and nothing on another one that could serve the
    /// session. So one bad worker does not use up the limit of a session.
    fn bind_failed(&mut self, key: ExecutorKey, return_code: i32, message: &str) {
        let row = &self.state.executors[&key].row;
        let (session, node, app) = (row.session, row.node.clone(), row.app.clone());
        let (now, limits) = (self.state.cluster.time, self.state.cluster.config.avoidance);
        let is_suspect = self.state.nodes.get(&node).is_some_and(|found| found.row.bind_failures > 0);
        let found = self.state.sessions.get(&session);
        let is_excused = is_suspect && found.is_some_and(|found| self.state.has_better_node(found));
        if let (Some(found), Some(app)) = (self.state.nodes.get_mut(&node), app) {
            found.count_failure(session, &app, now, &limits);
            self.state.index_avoidance(&node);
            self.changes.nodes.insert(node.clone());
        }
        let Some(found) = self.state.sessions.get_mut(&session) else { return };
        let max = found.terms.retry.refused.starts_max;
        found.row.bind_failures = found.row.bind_failures.saturating_add(u32::from(!is_excused));
        let failures = found.row.bind_failures;
        let id = executor_uuid(key);
        let text =
            format!("Executor {id} on node {node} failed to bind session with return_code {return_code}: {message}");
        self.session_event(session, SessionEvent::BIND_FAILED, kept_text(text));
        if failures == max && !is_excused {
            let text = format!(
                "Session retry limit reached after {failures}/{max} failed attempts; new executor assignment is paused \
                 for this session; existing executors are unchanged."
            );
            self.session_event(session, SessionEvent::BIND_LIMIT, text);
            let id = self.state.sessions[&session].asked.id.clone();
            self.happened(ClusterEvent::SessionPaused { session: id, failures });
        }
    }
}

fn insert_attributes(into: &mut BTreeSet<Vec<u8>>, keys: &[Vec<u8>]) {
    for key in keys {
        if key.len() <= limits::ATTRIBUTE_KEY_BYTES_MAX && into.len() < limits::EXECUTOR_ATTRIBUTES_MAX {
            into.insert(key.clone());
        }
    }
}
