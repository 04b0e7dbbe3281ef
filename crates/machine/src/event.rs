//! Facts for watchers. Every node derives the same events from the same entry, so a watch is served wherever its
//! client is, and continues on another node from (generation, log index, position).

use flame_types::{Payload, SessionKey, SessionState, TaskNo, TaskState};

/// One change of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A task has a new state.
    Task { session: SessionKey, task: TaskNo, state: TaskState, attempt: u32 },
    /// A task has ended, with what its service gave and said: who follows results needs not read them again.
    Ended {
        session: SessionKey,
        task: TaskNo,
        state: TaskState,
        attempt: u32,
        output: Option<Payload>,
        message: Option<String>,
    },
    /// Tasks `first ..= last` have a new state together.
    Tasks { session: SessionKey, first: TaskNo, last: TaskNo, state: TaskState },
    /// A session has a new state, or a new event of its own.
    Session { session: SessionKey, state: SessionState },
    /// A session and all its tasks are gone.
    SessionGone { session: SessionKey },
}

impl Event {
    /// The session it belongs to.
    #[must_use]
    pub fn session(&self) -> SessionKey {
        match self {
            Self::Task { session, .. }
            | Self::Ended { session, .. }
            | Self::Tasks { session, .. }
            | Self::Session { session, .. }
            | Self::SessionGone { session } => *session,
        }
    }
}
