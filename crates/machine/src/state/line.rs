//! Who waits for an executor that another session could give, and who has one to give. All of it is derived: set with
//! everything else that is derived from a session.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use flame_types::{AppName, ClusterMs, ExecutorKey, Resources, SessionKey, SessionState, limits};

use super::{Node, Session, State};
use crate::command::WaitReason;

/// The place of a session that has tasks to start and no executor at all: the highest priority first, then those that are
/// to have a minimum, then who has waited longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    /// Its priority.
    pub priority: Reverse<u32>,
    /// It is to have some executors in any case.
    pub has_minimum: Reverse<bool>,
    /// Since when it waits.
    pub since: ClusterMs,
    /// The session.
    pub session: SessionKey,
}

/// A session that wants more executors than it has and cannot be helped with a single one at once, or has some already.
/// The planner knows what is fair to it; nobody of a lower priority is served before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rival {
    /// Its priority.
    pub priority: Reverse<u32>,
    /// It has its minimum of executors already, and lets those of its own priority go first that have none.
    pub yields: bool,
    /// The session.
    pub session: SessionKey,
}

/// A session with idle executors above what it wants. Those of one application and size stand together, the lowest
/// priority first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spare {
    /// Its application.
    pub app: AppName,
    /// What each of its executors holds.
    pub resources: Resources,
    /// Its priority.
    pub priority: u32,
    /// The session.
    pub session: SessionKey,
}

impl Spare {
    /// What stands before all of an application and size.
    #[must_use]
    pub fn first(app: &AppName, resources: Resources) -> Self {
        Self { app: app.clone(), resources, priority: 0, session: SessionKey(0) }
    }

    fn of(session: &Session) -> Self {
        let (resources, priority) = (session.asked.spec.resources, session.asked.spec.priority);
        Self { app: session.app().clone(), resources, priority, session: session.key }
    }
}

/// What an index of a session found new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The planner should look again.
    pub look: bool,
    /// It has come to have executors to spare.
    pub spares: bool,
    /// It has come to wait for an executor.
    pub waits: bool,
}

impl State {
    /// Sets what the others know of a session's wants and means. Says whether it has come to spare, and to wait.
    pub(crate) fn index_line(&mut self, key: SessionKey) -> (bool, bool) {
        let now = self.cluster.time;
        let Some(session) = self.sessions.get_mut(&key) else { return (false, false) };
        let priority = Reverse(session.asked.spec.priority);
        let (row, failures_max) = (&session.row, session.terms.retry.refused.starts_max);
        let may_grow = row.not_before <= now && row.bind_failures < failures_max && may_be_served(row.wait.as_ref());
        let is_short = session.wanted() > session.staying() && may_grow;
        let turn = Some(row.waits_since).flatten().filter(|_| is_short && session.could_start_one());
        let minimum = session.asked.spec.min_instances;
        let has_minimum = Reverse(minimum > 0);
        let turn = turn.map(|since| Turn { priority, has_minimum, since, session: key });
        let yields = !session.executors.is_empty() && session.batch_size() == 1 && session.staying() >= minimum;
        let rival = (is_short && turn.is_none()).then_some(Rival { priority, yields, session: key });
        let is_spare = session.has_spare();

        let waits = turn.is_some() && session.turn != turn;
        replace_member(&mut self.in_line, &mut session.turn, turn);
        replace_member(&mut self.rivals, &mut session.rival, rival);
        let spares = is_spare && !session.is_spare;
        if session.is_spare != is_spare {
            session.is_spare = is_spare;
            let spare = Spare::of(session);
            if is_spare {
                self.spare.insert(spare)
            } else {
                self.spare.remove(&spare)
            };
        }
        (spares, waits)
    }

    /// Takes a session that ends out of all that.
    pub(crate) fn unindex_line(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        replace_member(&mut self.in_line, &mut session.turn, None);
        replace_member(&mut self.rivals, &mut session.rival, None);
        if std::mem::take(&mut session.is_spare) {
            self.spare.remove(&Spare::of(session));
        }
    }

    /// Whether the planner could not put anybody else before this one.
    pub(crate) fn is_next(&self, turn: &Turn) -> bool {
        self.rivals
            .first()
            .is_none_or(|rival| rival.priority > turn.priority || (rival.priority == turn.priority && rival.yields))
    }

    /// The youngest idle executor of a session on a worker that takes executors, if the session has one to spare.
    pub(crate) fn spare_executor(&self, session: SessionKey) -> Option<ExecutorKey> {
        let session = self.sessions.get(&session).filter(|session| session.has_spare())?;
        session
            .idle()
            .rev()
            .take(limits::NODE_EXECUTORS_MAX)
            .find(|key| self.nodes.get(&self.executors[key].row.node).is_some_and(Node::takes_executors))
    }

    /// Whether a new executor for a session could be placed somewhere now.
    pub(crate) fn has_room_for(&self, session: SessionKey) -> bool {
        let Some(session) = self.sessions.get(&session) else { return false };
        let Some(app) = self.apps.get(session.app()) else { return false };
        let fits = |node: &Node| {
            node.takes_executors()
                && self.trusts(node, session)
                && node.executors.len() < limits::NODE_EXECUTORS_MAX
                && session.asked.spec.resources.fits(node.free())
                && node.row.shims.contains(&app.row.spec.shim)
        };
        self.app_instances(session.app()) < app.row.spec.max_instances && self.nodes.values().any(fits)
    }
}

impl Session {
    /// Whether one executor would be enough to start a task now, and it has none.
    fn could_start_one(&self) -> bool {
        let is_open = self.row.state == SessionState::Open;
        is_open && self.executors.is_empty() && self.batch_size() == 1 && self.pending.next(self.row.head).is_some()
    }

    /// Whether it holds more executors than it wants, and one of them is idle.
    fn has_spare(&self) -> bool {
        self.wanted() < self.staying() && self.idle().next().is_some()
    }
}

/// A session's place in a set becomes another one, or none.
fn replace_member<T: Copy + Ord>(set: &mut BTreeSet<T>, place: &mut Option<T>, new: Option<T>) {
    if *place == new {
        return;
    }
    if let Some(old) = std::mem::replace(place, new) {
        set.remove(&old);
    }
    set.extend(new);
}

/// Whether waiting can help: there are workers that could serve it.
fn may_be_served(wait: Option<&WaitReason>) -> bool {
    match wait {
        None | Some(WaitReason::Busy | WaitReason::AppLimit { .. } | WaitReason::Priority { .. }) => true,
        Some(
            WaitReason::NoWorkers
            | WaitReason::NoShim { .. }
            | WaitReason::TooLarge { .. }
            | WaitReason::Gang { .. }
            | WaitReason::BindFailures { .. },
        ) => false,
    }
}
