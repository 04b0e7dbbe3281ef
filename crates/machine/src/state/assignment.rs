//! A task given to an executor, and what is remembered of a task beyond its number.

use flame_types::{ClusterMs, ExecutorKey, RetryPolicy, SessionKey, TaskNo, TaskOptions, WallMs, limits};
use serde::{Deserialize, Serialize};

use crate::row::AttemptRow;

/// What makes a task more than a number: its options and its earlier starts. Most tasks have none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Story {
    /// What its user asked for.
    pub options: TaskOptions,
    /// Starts that ended without a result, the last one last, at most [`limits::ATTEMPTS_KEPT_MAX`].
    pub attempts: Vec<AttemptRow>,
    /// Starts whose service died.
    pub crashed: u32,
    /// Starts whose worker was lost.
    pub lost: u32,
}

impl Story {
    /// The number of the next start: 1 for the first. A task given back before it started burns none.
    #[must_use]
    pub fn next_attempt(&self) -> u32 {
        self.crashed.saturating_add(self.lost).saturating_add(1)
    }

    /// Adds a start that gave no result.
    pub fn push(&mut self, attempt: AttemptRow) {
        if self.attempts.len() >= limits::ATTEMPTS_KEPT_MAX {
            self.attempts.remove(0);
        }
        self.attempts.push(attempt);
    }

    /// How long the task waits after its latest lost start: the policy's wait, doubled with each further one.
    #[must_use]
    pub fn backoff_ms(&self, policy: &RetryPolicy) -> u64 {
        let starts = self.crashed.saturating_add(self.lost);
        doubled(policy.backoff_ms, starts, policy.backoff_ms_max)
    }
}

/// `first` for the first time, doubled with each further one, at most `max`.
#[must_use]
pub fn doubled(first: u64, times: u32, max: u64) -> u64 {
    const SHIFT_MAX: u32 = 40;
    let shift = times.saturating_sub(1).min(SHIFT_MAX);
    first.saturating_mul(1 << shift).min(max)
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
