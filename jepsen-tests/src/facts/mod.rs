//! One pass over a recording, after which every checker finds what it needs without another search: operations with their
//! ends, what is known of each task by its mark, faults with their times.
//!
//! **Invariant:** a recording that contradicts itself (an answer without a question, time that goes back) is refused as
//! *malformed*. That is a fault of whoever wrote it, and says nothing about the cluster.

mod attribute;
mod build;
mod faults;
mod ops;
mod tasks;

use std::collections::HashMap;

use flame_types::{TaskNo, Token};

pub use faults::Fault;
pub use ops::{At, End, Op};
pub use tasks::{Absent, Grant, Report, Seen, Start, TaskFacts, ToldBy};

use crate::record::{Event, Header, Phase, Recording};

/// A recording that cannot be judged.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the recording contradicts itself at event {event}: {why}")]
pub struct Malformed {
    /// Its place, from 0.
    pub event: usize,
    /// What is wrong.
    pub why: String,
}

/// A session by its place in [`Facts::sessions`].
pub type SessionAt = usize;
/// An operation by its place in [`Facts::ops`].
pub type OpAt = usize;
/// A task by its place in [`Facts::tasks`].
pub type TaskAt = usize;
/// An event by its place in the recording.
pub type EventAt = usize;

/// Everything that is said of one session.
#[derive(Debug)]
pub struct SessionFacts<'r> {
    /// Its id.
    pub name: &'r str,
    /// Operations that make it, whatever became of them.
    pub creates: Vec<OpAt>,
    /// Operations that close it, unless they were certainly not done.
    pub closes: Vec<OpAt>,
    /// Operations that delete it, unless they were certainly not done.
    pub deletes: Vec<OpAt>,
    /// Lists of its tasks that were answered.
    pub lists: Vec<OpAt>,
    /// Its tasks.
    pub tasks: Vec<TaskAt>,
}

/// Everything that is said, by what it is said of.
#[derive(Debug)]
pub struct Facts<'r> {
    /// What the recording is of.
    pub header: &'r Header,
    /// All of it.
    pub events: &'r [Event],
    /// Operations of clients, in the order of their calls.
    pub ops: Vec<Op<'r>>,
    /// Sessions.
    pub sessions: Vec<SessionFacts<'r>>,
    session_by_name: HashMap<&'r str, SessionAt>,
    /// Tasks, by mark.
    pub tasks: Vec<TaskFacts<'r>>,
    task_by_nonce: HashMap<&'r str, TaskAt>,
    task_by_number: HashMap<(SessionAt, TaskNo), TaskAt>,
    grant_by_token: HashMap<Token, (TaskAt, usize)>,
    /// Numbers under which more than one mark was seen: the task, the one that was there first, and where.
    pub swapped: Vec<(TaskAt, TaskAt, TaskNo, EventAt)>,
    /// Starts of tasks that nobody else knows.
    pub unknown_tasks: Vec<EventAt>,
    /// Faults, in the order of their beginning.
    pub faults: Vec<Fault<'r>>,
    /// When the last faults were over.
    pub heal: Option<At>,
    /// When everything was at rest.
    pub rest: Option<At>,
    /// When every session was closed.
    pub drained: Option<At>,
}

impl<'r> Facts<'r> {
    /// Looks through a recording.
    ///
    /// # Errors
    /// [`Malformed`] says where it contradicts itself.
    pub fn new(recording: &'r Recording) -> Result<Self, Malformed> {
        build::build(recording)
    }

    /// The session with this id.
    #[must_use]
    pub fn session(&self, name: &str) -> Option<SessionAt> {
        self.session_by_name.get(name).copied()
    }

    /// The task with this mark.
    #[must_use]
    pub fn task_of(&self, nonce: &str) -> Option<&TaskFacts<'r>> {
        self.task_by_nonce.get(nonce).map(|at| &self.tasks[*at])
    }

    /// The task with this number: the first whose mark was seen under it.
    #[must_use]
    pub fn task(&self, session: &str, number: TaskNo) -> Option<&TaskFacts<'r>> {
        let session = self.session(session)?;
        self.task_by_number.get(&(session, number)).map(|at| &self.tasks[*at])
    }

    /// The task that was given to a worker under this token, and the grant.
    #[must_use]
    pub fn grant(&self, token: Token) -> Option<(&TaskFacts<'r>, &Grant<'r>)> {
        let (task, grant) = self.grant_by_token.get(&token)?;
        Some((&self.tasks[*task], &self.tasks[*task].grants[*grant]))
    }

    /// Whether an operation was called after everything was at rest: its answer is one of the last.
    #[must_use]
    pub fn is_final(&self, op: &Op<'_>) -> bool {
        self.rest.is_some_and(|rest| op.call.event > rest.event)
    }

    /// Whether somebody deleted this session, or may have.
    #[must_use]
    pub fn may_be_deleted(&self, session: SessionAt) -> bool {
        !self.sessions[session].deletes.is_empty()
    }

    fn enter(&mut self, phase: Phase, at: At) -> Result<(), Malformed> {
        let place = match phase {
            Phase::HealBegan => &mut self.heal,
            Phase::AtRest => &mut self.rest,
            Phase::Drained => &mut self.drained,
        };
        if place.replace(at).is_some() {
            return Err(Malformed { event: at.event, why: format!("{phase:?} comes twice") });
        }
        Ok(())
    }
}
