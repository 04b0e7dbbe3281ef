//! Tasks.

use bytes::Bytes;
use flame_proto::v1;
use flame_types::{TaskNo, TaskState};
use serde::Serialize;

use super::{Attempt, Event, Metadata, State, events, metadata, part};
use crate::FlameError;

/// One piece of work of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Task {
    /// Its number in its session, as text.
    pub metadata: Metadata,
    /// What it takes and gives.
    pub spec: TaskSpec,
    /// What became of it.
    pub status: TaskStatus,
}

/// What a task takes and gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TaskSpec {
    /// The session it belongs to.
    pub session_id: String,
    /// What its service gets. Absent is not the same as empty.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "super::bytes::optional")]
    pub input: Option<Bytes>,
    /// What its service answered.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "super::bytes::optional")]
    pub output: Option<Bytes>,
    /// It prefers an executor that publishes these keys.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "super::bytes::list")]
    pub affinity: Vec<Bytes>,
}

/// What became of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskStatus {
    /// Where it stands.
    pub state: State<TaskState>,
    /// When it was submitted, in milliseconds since 1970.
    pub creation_time: i64,
    /// When it ended, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<i64>,
    /// What happened to it, oldest first. Lists leave it out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// Its starts, the last ones, the last one last; only in the answer to [`crate::Connection::get_task`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
}

impl Task {
    /// Its number in its session.
    ///
    /// # Errors
    /// [`FlameError::Internal`] when the server sent an id that is no number.
    pub fn number(&self) -> Result<TaskNo, FlameError> {
        let number = self.metadata.id.parse().map_err(|_| {
            FlameError::Internal(format!("the server sent the task id {:?}, which is no number", self.metadata.id))
        })?;
        Ok(TaskNo(number))
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.status.state.known().is_some_and(TaskState::is_terminal)
    }

    /// Why it ended badly: the text of its last event.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        let failed = self.is_terminal() && !self.status.state.is(TaskState::Succeed);
        self.status.events.last().filter(|_| failed)?.message.as_deref()
    }
}

impl TryFrom<v1::Task> for Task {
    type Error = FlameError;

    fn try_from(task: v1::Task) -> Result<Self, FlameError> {
        const OF: &str = "a task";
        let spec = part(task.spec, OF, "spec")?;
        let status = part(task.status, OF, "status")?;
        Ok(Self {
            metadata: metadata(task.metadata, OF)?,
            spec: TaskSpec {
                session_id: spec.session_id,
                input: spec.input,
                output: spec.output,
                affinity: spec.affinity,
            },
            status: TaskStatus {
                state: status.state.into(),
                creation_time: status.creation_time,
                completion_time: status.completion_time,
                events: events(status.events),
                attempts: status.attempts.into_iter().map(Attempt::from).collect(),
            },
        })
    }
}
