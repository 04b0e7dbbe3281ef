//! A task as it can be shown.

use flame_machine::State;
use flame_machine::row::AttemptRow;
use flame_machine::view::{self, TaskPlace};
use flame_types::{Payload, SessionKey, TaskNo, TaskState, WallMs};

/// A task at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskSnapshot {
    /// Its number.
    pub number: TaskNo,
    /// Its state.
    pub state: TaskState,
    /// When it was submitted.
    pub created: WallMs,
    /// When it ended.
    pub finished: Option<WallMs>,
    /// What it was given.
    pub input: Option<Payload>,
    /// Keys it prefers.
    pub affinity: Vec<Vec<u8>>,
    /// What its service gave.
    pub output: Option<Payload>,
    /// What its service said, or why it failed.
    pub message: Option<String>,
    /// Its starts, the last one last.
    pub attempts: Vec<AttemptRow>,
}

/// How a task stands in memory.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// It has not ended.
    Live {
        /// Pending or Running.
        state: TaskState,
        /// Its starts so far.
        attempts: Vec<AttemptRow>,
    },
    /// It has ended: the rows say how.
    Ended,
    /// There is no such task.
    Unknown,
}

/// How a task stands.
#[must_use]
pub fn standing(state: &State, session: SessionKey, task: TaskNo) -> Standing {
    if let Some(live) = view::task(state, session, task) {
        return Standing::Live { state: live.state, attempts: live.attempts };
    }
    match view::task_place(state, session, task) {
        TaskPlace::Unknown => Standing::Unknown,
        _ => Standing::Ended,
    }
}
