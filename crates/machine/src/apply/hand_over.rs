//! An idle executor changes from its session to one that waits, in the very entry that makes it possible.
//!
//! The planner can do the same, but each of its steps is an entry of its own: the executor is released, then placed,
//! then reports, then is given a task. Here it is told to enter the other session at once, and the first task rides
//! behind that order.
//!
//! It happens only where the planner would come to the same, going by what can be seen at a glance; everything else is
//! left to it:
//! * the executor is idle and more than its session wants ([`Spare`]), or has given its session up;
//! * there is no room for a new executor, so that the other session could be served in no other way;
//! * the other session runs the same service with the same resources, has a task that could start now and no executor
//!   at all, and none of a higher or the same priority has waited for longer ([`Turn`]); nor is there any other that the
//!   planner might put first;
//! * the priority of the session that gives is not higher.
//!
//! **Invariant:** a task that rides behind the order to enter a session is shown as Pending until the worker has said
//! that the executor has entered. If it never does, the task has not been started: it burns no attempt.

use flame_types::{ExecutorKey, ExecutorState, SessionKey};

use super::batch::Apply;
use crate::effect::Order;
use crate::state::{Executor, Node, Spare};

/// Sessions of other applications that are looked at and passed over because their application may have no more
/// executors. With more of them in front the planner decides.
const PASSED_OVER_MAX: usize = 8;

/// Something that may have made a change of session possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chance {
    /// An executor has given its session up.
    Unbound(ExecutorKey),
    /// A session has more executors than it wants, and some of them are idle. The planner is to look if that stays so.
    Spare(SessionKey, bool),
    /// A session waits for an executor.
    Waits(SessionKey),
}

impl Apply<'_> {
    /// Changes one executor from its session to another, if this chance allows it.
    pub(super) fn take_chance(&mut self, chance: Chance) {
        match chance {
            Chance::Unbound(executor) => {
                let to = self.state.executors.get(&executor).and_then(|found| self.waiting_for(found, None));
                if let Some(to) = to {
                    self.hand_over(executor, to);
                }
            }
            Chance::Spare(session, look) => self.give_spare(session, look),
            Chance::Waits(session) => {
                if let Some(executor) = self.executor_for(session) {
                    self.hand_over(executor, session);
                }
            }
        }
    }

    /// An executor is to serve another session with the same process: its worker is told, and the first task goes with
    /// that.
    pub(super) fn hand_over(&mut self, key: ExecutorKey, to: SessionKey) {
        self.touch(self.state.executors[&key].row.session);
        self.state.detach_executor(key);
        let executor = self.state.executors.get_mut(&key).expect("the caller has found it");
        executor.row.session = to;
        executor.row.state = ExecutorState::Binding;
        executor.row.epoch = executor.row.epoch.next();
        executor.row.ran_us_mean = 0;
        executor.row.completed = 0;
        let (node, resources) = (executor.row.node.clone(), executor.row.resources);
        self.note_probe(key);
        self.executor_changed(key);
        self.order(&node, Order::Start { executor: key, session: to, resources });
        self.send_first_task(key, to);
    }

    /// The first task of a session goes to an executor that is only about to enter it.
    fn send_first_task(&mut self, key: ExecutorKey, to: SessionKey) {
        let Some(session) = self.state.sessions.get_mut(&to) else { return };
        // What waits is over. (What had been told of it stays among its events.)
        session.row.wait = None;
        self.changes.sessions.insert(to);
        let next = session.pending.next(session.row.head).map(|(task, _)| task);
        let takes_tasks = self.state.nodes.get(&self.state.executors[&key].row.node).is_some_and(Node::takes_tasks);
        // A gang starts together, when all of it is there.
        if let Some(task) = next
            && session.batch_size() == 1
            && takes_tasks
        {
            self.assign(to, task, key);
        }
    }

    fn give_spare(&mut self, session: SessionKey, look: bool) {
        let found = self.state.spare_executor(session);
        let priority = self.state.sessions.get(&session).map(|found| found.asked.spec.priority);
        let to = found.and_then(|executor| self.waiting_for(&self.state.executors[&executor], priority));
        let (Some(executor), Some(to)) = (found, to.filter(|to| !self.state.has_room_for(*to))) else {
            self.placement_dirty |= look;
            return;
        };
        self.hand_over(executor, to);
        // With that the one session has what the other had, and the planner need not look; unless one of them has more
        // to give, or wants more.
        let gives = self.state.sessions.get(&session).is_some_and(|found| found.wanted() < found.staying());
        let wants = self.state.sessions.get(&to).is_some_and(|found| found.wanted() > found.staying());
        self.chances.push_back(Chance::Spare(session, gives || (look && wants)));
    }

    /// The session that an executor should serve next; none when it would not be its turn. `held` is the priority of
    /// the session that gives.
    fn waiting_for(&self, executor: &Executor, held: Option<u32>) -> Option<SessionKey> {
        let row = &executor.row;
        let app = row.app.as_ref()?;
        let node = self.state.nodes.get(&row.node)?;
        let takes_executors = node.takes_executors();
        let gives = held.is_some() || row.state == ExecutorState::Unbinding;
        if !takes_executors || !gives || self.state.apps.get(app)?.row.edition != row.edition {
            return None;
        }
        for turn in self.state.in_line.iter().take(PASSED_OVER_MAX) {
            let session = &self.state.sessions[&turn.session];
            if held.is_some_and(|held| turn.priority.0 < held) {
                return None;
            }
            if session.app() == app && session.asked.spec.resources == row.resources {
                let may = self.state.is_next(turn) && self.state.trusts(node, session);
                return may.then_some(turn.session);
            }
            let max = self.state.apps.get(session.app()).map_or(0, |found| found.row.spec.max_instances);
            if session.app() == app || self.state.app_instances(session.app()) < max {
                return None;
            }
        }
        None
    }

    /// An executor that could serve a waiting session at once.
    fn executor_for(&self, to: SessionKey) -> Option<ExecutorKey> {
        let session = self.state.sessions.get(&to).filter(|session| session.turn.is_some())?;
        let (app, resources, priority) = (session.app(), session.asked.spec.resources, session.asked.spec.priority);
        let is_for = |key: &ExecutorKey, held| self.waiting_for(&self.state.executors[key], held) == Some(to);
        let unbound = self.state.unbinding.iter().find(|key| is_for(key, None));
        if unbound.is_some() {
            return unbound.copied();
        }
        let spare = self.state.spare.range(Spare::first(app, resources)..).next();
        let spare =
            spare.filter(|spare| spare.app == *app && spare.resources == resources && spare.priority <= priority);
        let executor = self.state.spare_executor(spare?.session)?;
        (is_for(&executor, Some(spare?.priority)) && !self.state.has_room_for(to)).then_some(executor)
    }
}
