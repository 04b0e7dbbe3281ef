//! A task given to an executor, and what is remembered of a task beyond its number.

use flame_types::{ClusterMs, ExecutorKey, RetryCause, SessionKey, TaskNo, TaskOptions, WallMs, limits};
use serde::{Deserialize, Serialize};

use crate::row::AttemptRow;

/// What makes a task more than a number: its options and its earlier starts. Most tasks have none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Story {
    /// What its user asked for.
    pub options: TaskOptions,
    /// Starts that came to nothing, the last one last, at most [`limits::ATTEMPTS_KEPT_MAX`].
    pub attempts: Vec<AttemptRow>,
    /// Starts whose service died.
    pub crashed: u32,
    /// Starts whose worker was lost.
    pub lost: u32,
    /// Starts that the service answered with a failure, or that took too long.
    pub failed: u32,
    /// It was at hand in a service that died. From then on it is started alone, so that nobody else pays for it.
    pub suspect: bool,
}

impl Story {
    /// The number of the next start: 1 for the first. A task given back before it started burns none.
    #[must_use]
    pub fn next_attempt(&self) -> u32 {
        self.crashed.saturating_add(self.lost).saturating_add(self.failed).saturating_add(1)
    }

    /// Adds a start.
    pub fn push(&mut self, attempt: AttemptRow) {
        if self.attempts.len() >= limits::ATTEMPTS_KEPT_MAX {
            self.attempts.remove(0);
        }
        self.attempts.push(attempt);
    }

    /// Counts a start that came to nothing. Returns how many did for this cause.
    ///
    /// # Panics
    /// For [`RetryCause::Refused`], which no task can be blamed for.
    pub fn count(&mut self, cause: RetryCause) -> u32 {
        let starts = match cause {
            RetryCause::Lost => &mut self.lost,
            RetryCause::Crashed => &mut self.crashed,
            RetryCause::Failed => &mut self.failed,
            RetryCause::Refused => unreachable!("an executor that never entered its session has started no task"),
        };
        *starts = starts.saturating_add(1);
        *starts
    }
}

/// A task given to an executor. Keyed by its token; the tokens of an executor in their order are its queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignmentRow {
    /// Its session. Gone from memory when the session is closed: then only the place in the queue is left.
    pub session: SessionKey,
    /// Its number.
    pub task: TaskNo,
    /// Which start this is.
    pub attempt: u32,
    /// Who has it.
    pub executor: ExecutorKey,
    /// When it became one of the first `slots` of the queue and so is shown as Running.
    pub started: Option<WallMs>,
    /// Asked back; the answer is awaited.
    pub recalled: bool,
    /// The task has ended; only its place in the queue is still taken until the worker answers.
    pub cancelled: bool,
    /// When it fails for running too long.
    pub deadline: Option<ClusterMs>,
    /// Options and earlier starts, if any.
    pub story: Option<Box<Story>>,
}
