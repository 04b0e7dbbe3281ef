//! Keeps derived fields true. Apply calls these after each change of a row, load calls them once for each thing:
//! so what is derived cannot depend on how the state came about.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use flame_types::{AppName, ClusterMs, ExecutorKey, ExecutorState, NodeName, Resources, SessionKey, SessionState};

use super::{News, State, Terms, Timer};

impl State {
    /// Adds a new executor to the counts of its node and application.
    pub(crate) fn count_executor(&mut self, key: ExecutorKey) {
        let row = &self.executors[&key].row;
        if let Some(node) = self.nodes.get_mut(&row.node) {
            node.executors.insert(key);
            node.allocated = node.allocated.plus(row.resources);
        }
        if let Some(app) = &row.app {
            *self.app_executors.entry(app.clone()).or_default() += 1;
        }
    }

    /// Takes an executor out of those counts; its resources are free.
    pub(crate) fn uncount_executor(&mut self, key: ExecutorKey) {
        let row = &self.executors[&key].row;
        if let Some(node) = self.nodes.get_mut(&row.node)
            && node.executors.remove(&key)
        {
            node.allocated = node.allocated.minus(row.resources).expect("an executor was counted before it left");
        }
        if let Some(app) = row.app.clone()
            && let Some(count) = self.app_executors.get_mut(&app)
        {
            *count -= 1;
            if *count == 0 {
                self.app_executors.remove(&app);
            }
        }
    }

    /// Executors of an application that have not left.
    pub(crate) fn app_instances(&self, app: &AppName) -> u32 {
        self.app_executors.get(app).copied().unwrap_or(0)
    }

    /// Sets what its session knows of an executor: whether it belongs to it, is ready, has room.
    pub(crate) fn index_executor(&mut self, key: ExecutorKey) {
        let now = self.cluster.time;
        let Some(executor) = self.executors.get_mut(&key) else { return };
        set_member(&mut self.unbinding, key, executor.row.state == ExecutorState::Unbinding);
        set_member(&mut self.leaving, key, executor.is_leaving());
        let serves = executor.row.state == ExecutorState::Bound && !executor.row.retiring;
        let takes_tasks = self.nodes.get(&executor.row.node).is_some_and(super::Node::takes_tasks);
        let ready = serves && takes_tasks;
        let prefetch_max = self.cluster.config.prefetch_max;
        let has_suspects = |session: &super::Session| !session.suspects.is_empty();
        executor.is_careful =
            executor.is_attached() && self.sessions.get(&executor.row.session).is_some_and(has_suspects);
        let listed = if ready { executor.place(prefetch_max) } else { None };
        let in_portion = executor.load().min(executor.portion(prefetch_max)).saturating_sub(executor.row.slots);
        let portioned = if ready { in_portion } else { 0 };

        let session = self.sessions.get_mut(&executor.row.session);
        let mut idle_until = None;
        if let Some(session) = session {
            if executor.is_attached() {
                session.executors.insert(key);
            }
            if executor.listed != listed {
                if let Some(old) = executor.listed.take() {
                    session.free.remove(&old);
                }
                session.free.extend(listed);
                executor.listed = listed;
            }
            session.ready = session.ready + u32::from(ready) - u32::from(executor.ready);
            executor.ready = ready;
            session.portioned = session.portioned + u64::from(portioned) - u64::from(executor.portioned);
            executor.portioned = portioned;
            if serves && executor.queue.is_empty() {
                let delay = self.apps.get(session.app()).map_or(0, |app| app.row.spec.delay_release_seconds);
                idle_until = Some(executor.row.idle_since.plus(delay.saturating_mul(1000)));
            }
            let overdue = idle_until.is_some_and(|until| until <= now);
            session.overdue = session.overdue + u32::from(overdue) - u32::from(executor.overdue);
            executor.overdue = overdue;
        }
        self.timers.replace(Timer::Idle(key), &mut executor.idle_timer, idle_until, now);
    }

    /// Takes an executor out of everything its session knows. Call it before its session or state changes so that it
    /// no longer belongs there.
    pub(crate) fn detach_executor(&mut self, key: ExecutorKey) {
        let Some(executor) = self.executors.get_mut(&key) else { return };
        if let Some(session) = self.sessions.get_mut(&executor.row.session) {
            if let Some(place) = executor.listed {
                session.free.remove(&place);
            }
            session.ready -= u32::from(executor.ready);
            session.portioned -= u64::from(executor.portioned);
            session.overdue -= u32::from(executor.overdue);
            if session.executors.remove(&key) && executor.row.retiring {
                session.retiring -= 1;
            }
        }
        executor.listed = None;
        executor.ready = false;
        executor.portioned = 0;
        executor.overdue = false;
        executor.row.retiring = false;
        if let Some(at) = executor.idle_timer.take() {
            self.timers.remove(at, Timer::Idle(key));
        }
        self.unbinding.remove(&key);
        self.leaving.remove(&key);
    }

    /// Sets what is derived from a session as a whole. Says what is new in that.
    pub(crate) fn index_session(&mut self, key: SessionKey) -> News {
        let (now, capacity) = (self.cluster.time, self.capacity);
        let gang_patience_ms = self.cluster.config.gang_patience_ms;
        let Some(session) = self.sessions.get_mut(&key) else {
            self.short.remove(&key);
            self.unsettled.remove(&key);
            return News { look: self.active.remove(&key), ..News::default() };
        };
        let (wanted, have) = (session.wanted(), session.staying());
        let fitting = u32::try_from(session.asked.spec.resources.count_in(capacity)).unwrap_or(u32::MAX);
        let (before, useful) = (session.useful, wanted.min(fitting.max(have.saturating_add(1))));
        set_member(&mut self.short, key, useful > have);
        // More matters when it is more than there is. Less matters to those who wait, to what was kept for this
        // session, and where executors are kept although they have been idle for long.
        let look = match useful.cmp(&before) {
            Ordering::Equal => false,
            Ordering::Greater => useful > have,
            Ordering::Less => before > have || !self.short.is_empty() || session.overdue > 0,
        };
        let (uneven, stuck) = (session.is_uneven(), session.stuck_tasks() > 0);
        session.useful = useful;
        session.demand = wanted;
        let placement = Some(session.row.not_before);
        let gang = session.row.gang_short_since.map(|since| since.plus(gang_patience_ms));
        self.timers.replace(Timer::Placement(key), &mut session.placement_timer, placement, now);
        self.timers.replace(Timer::Gang(key), &mut session.gang_timer, gang, now);
        let waits = session.row.wait.is_some();
        set_member(&mut self.active, key, wanted > 0 || !session.executors.is_empty() || waits);
        set_member(&mut self.unsettled, key, wanted != have || waits || session.overdue > 0 || uneven);
        let (spares, waits) = self.index_line(key);
        News { look: look || stuck, spares, waits }
    }

    /// Sets what a node adds to the capacity of the cluster. Sessions are to be indexed again when that changes.
    pub(crate) fn index_node(&mut self, name: &NodeName) -> bool {
        self.index_avoidance(name);
        let Some(node) = self.nodes.get_mut(name) else { return false };
        let counted = if node.row.attached { node.row.capacity } else { Resources::ZERO };
        let before = std::mem::replace(&mut node.counted, counted);
        self.capacity = self.capacity.saturating_minus(before).plus(counted);
        before != counted
    }

    /// Sets until when a node is listed as avoided.
    pub(crate) fn index_avoidance(&mut self, name: &NodeName) {
        let now = self.cluster.time;
        let Some(node) = self.nodes.get_mut(name) else { return };
        let until = Some(node.row.avoidance.until).filter(|until| *until > now);
        let before = std::mem::replace(&mut node.avoided, until);
        if before != until {
            if let Some(before) = before {
                self.avoided.remove(&(before, name.clone()));
            }
            self.avoided.extend(until.map(|until| (until, name.clone())));
            self.index_avoidance_timer();
        }
    }

    /// Takes out the nodes that have been avoided for long enough, and waits for the next one.
    pub(crate) fn end_avoidances(&mut self) {
        let now = self.cluster.time;
        while self.avoided.first().is_some_and(|(until, _)| *until <= now) {
            let Some((_, name)) = self.avoided.pop_first() else { break };
            if let Some(node) = self.nodes.get_mut(&name) {
                node.avoided = None;
            }
        }
        self.index_avoidance_timer();
    }

    /// A node is forgotten.
    pub(crate) fn remove_node(&mut self, name: &NodeName) {
        let Some(node) = self.nodes.remove(name) else { return };
        if let Some(until) = node.avoided {
            self.avoided.remove(&(until, name.clone()));
            self.index_avoidance_timer();
        }
    }

    fn index_avoidance_timer(&mut self) {
        let next = self.avoided.first().map(|(until, _)| *until);
        self.timers.replace(Timer::Avoidance, &mut self.avoidance_timer, next, self.cluster.time);
    }

    /// Removes the deadlines of a session that ends.
    pub(crate) fn unindex_session(&mut self, key: SessionKey) {
        let now = self.cluster.time;
        self.active.remove(&key);
        self.short.remove(&key);
        self.unsettled.remove(&key);
        self.unindex_line(key);
        let Some(session) = self.sessions.get_mut(&key) else { return };
        self.timers.replace(Timer::Placement(key), &mut session.placement_timer, None, now);
        self.timers.replace(Timer::Gang(key), &mut session.gang_timer, None, now);
        for (task, not_before) in session.pending.delayed(now) {
            self.timers.remove(not_before, Timer::Retry(key, task));
        }
    }

    /// Adds the deadline of a task that waits for its not-before time.
    pub(crate) fn index_retry(&mut self, session: SessionKey, task: flame_types::TaskNo, not_before: ClusterMs) {
        if not_before > self.cluster.time {
            self.timers.insert(not_before, Timer::Retry(session, task));
        }
    }

    /// Sets what holds for a session, after a change of the configuration.
    pub(crate) fn renew_terms(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        if let Some(app) = self.apps.get(&session.asked.spec.application) {
            session.terms = Terms::of(&session.asked.spec, &app.row.spec, &self.cluster.config);
        }
    }

    /// Sets everything derived again after a change of the configuration.
    pub(crate) fn index_all(&mut self) {
        let nodes: Vec<NodeName> = self.nodes.keys().cloned().collect();
        for name in nodes {
            self.index_node(&name);
        }
        let executors: Vec<ExecutorKey> = self.executors.keys().copied().collect();
        for key in executors {
            self.index_executor(key);
        }
        let sessions: Vec<SessionKey> = self.sessions.keys().copied().collect();
        for key in sessions {
            self.index_session(key);
        }
    }

    /// Whether tasks of the session may be given out now.
    pub(crate) fn may_dispatch(&self, key: SessionKey) -> bool {
        self.sessions.get(&key).is_some_and(|session| {
            session.row.state == SessionState::Open && session.ready >= session.batch_size() && !session.free.is_empty()
        })
    }
}

/// Makes a key a member of a set, or not.
fn set_member<K: Ord>(set: &mut BTreeSet<K>, key: K, is_member: bool) {
    if is_member {
        set.insert(key);
    } else {
        set.remove(&key);
    }
}
