//! What everybody says of one task, which is known by the mark in its input.

use flame_types::{ExecutorKey, TaskNo, TaskState, Token};

use super::{At, EventAt, OpAt, SessionAt};
use crate::at_rest::Nonce;
use crate::record::{Outcome, TaskSeen};

/// Everything that is said of one task.
#[derive(Debug)]
pub struct TaskFacts<'r> {
    /// Its mark.
    pub nonce: &'r Nonce,
    /// Its session.
    pub session: SessionAt,
    /// The operations that submit it, with its place among the tasks of each.
    pub submits: Vec<(OpAt, u64)>,
    /// All numbers under which it was seen: more than one is more than one task.
    pub numbers: Vec<TaskNo>,
    /// The operations that cancel it.
    pub cancels: Vec<OpAt>,
    /// Where it was seen, in order.
    pub seen: Vec<Seen<'r>>,
    /// Readings in which it was not there.
    pub absent: Vec<Absent>,
    /// To whom it was given, in the order in which they said so.
    pub grants: Vec<Grant<'r>>,
    /// When services began to work on it.
    pub starts: Vec<Start<'r>>,
}

/// A sighting.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'r> {
    /// What was shown.
    pub task: &'r TaskSeen,
    /// Who showed it.
    pub by: ToldBy,
}

/// Who showed something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ToldBy {
    /// A reading: it was so at some time between call and return.
    Read(OpAt),
    /// A watch: it was so at some time before.
    Watch(At),
}

/// A reading that did not find it.
#[derive(Clone, Copy, Debug)]
pub struct Absent {
    /// The reading.
    pub op: OpAt,
    /// It said that the task had been there.
    pub trimmed: bool,
}

/// It was given to a worker.
#[derive(Clone, Debug)]
pub struct Grant<'r> {
    /// When the worker heard of it.
    pub at: At,
    /// To whom.
    pub worker: &'r str,
    /// For which of its executors.
    pub executor: ExecutorKey,
    /// Under which token.
    pub token: Token,
    /// The how manieth start.
    pub attempt: u32,
    /// What the worker reported.
    pub report: Option<Report<'r>>,
    /// When the worker gave it back.
    pub returned: Option<At>,
    /// When the worker was told to stop.
    pub stopped: Option<At>,
    /// When the worker was told that it is not its any more.
    pub refused: Option<At>,
}

/// A result on its way.
#[derive(Clone, Copy, Debug)]
pub struct Report<'r> {
    /// When it was sent for the first time.
    pub at: At,
    /// What it says.
    pub outcome: &'r Outcome,
    /// When the worker was told that it is settled.
    pub stored: Option<At>,
}

/// A service began to work on it.
#[derive(Clone, Copy, Debug)]
pub struct Start<'r> {
    /// When.
    pub at: At,
    /// On which worker.
    pub worker: &'r str,
    /// In which executor.
    pub executor: ExecutorKey,
    /// Under which token.
    pub token: Token,
}

impl TaskFacts<'_> {
    /// Where it can be found in the recording: its first sighting or grant.
    #[must_use]
    pub fn first_event(&self, ops: &[super::Op<'_>]) -> Option<EventAt> {
        let submit = self.submits.first().map(|(op, _)| ops[*op].call.event);
        submit.or_else(|| self.starts.first().map(|start| start.at.event))
    }

    /// Whether somebody saw it end, or it may have: then it is not pending for ever.
    #[must_use]
    pub fn was_seen_in(&self, state: TaskState) -> bool {
        self.seen.iter().any(|seen| seen.task.state == state)
    }
}
