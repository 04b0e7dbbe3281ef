//! Sessions.

use bytes::Bytes;
use flame_proto::v1;
use flame_types::{Resources, SessionState};
use serde::Serialize;

use super::{Event, Metadata, Retention, Retries, State, count, events, metadata, part, resources};
use crate::FlameError;

/// Tasks of one application, and what their executors may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Its id, chosen by its client.
    pub metadata: Metadata,
    /// What its user asked for.
    pub spec: SessionSpec,
    /// What became of it.
    pub status: SessionStatus,
}

/// What the user of a session asked for. Secrets (`tokens`) are never sent back, so they are not here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SessionSpec {
    /// Whose service runs the tasks.
    pub application: String,
    /// What every executor gets when it enters the session.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "super::bytes::optional")]
    pub common_data: Option<Bytes>,
    /// Executors the session keeps even without tasks.
    pub min_instances: u32,
    /// Most executors of the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_instances: Option<u32>,
    /// Tasks start only while the session holds this many ready executors.
    pub batch_size: u32,
    /// Higher is served first.
    pub priority: u32,
    /// What one executor needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resreq: Option<Resources>,
    /// How long its ended things are kept, as far as it says so itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// How often its things are tried again, as far as it says so itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retries>,
    /// Its tasks that run longer have failed, in milliseconds, as far as it says so itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_timeout_ms: Option<u64>,
}

impl From<v1::Kept> for Kept {
    fn from(kept: v1::Kept) -> Self {
        Self { tasks: kept.tasks, trimmed: kept.trimmed, bytes: kept.bytes }
    }
}

/// What became of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionStatus {
    /// Whether it takes and starts tasks.
    pub state: State<SessionState>,
    /// When it was made, in milliseconds since 1970.
    pub creation_time: i64,
    /// When it was closed, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<i64>,
    /// Tasks that wait.
    pub pending: u64,
    /// Tasks that run.
    pub running: u64,
    /// Tasks that ended well.
    pub succeed: u64,
    /// Tasks that ended badly.
    pub failed: u64,
    /// Tasks that were ended by their user.
    pub cancelled: u64,
    /// What is kept of it.
    pub kept: Kept,
    /// What happened to the session, oldest first; among it, why tasks wait.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
}

/// What is kept of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Finished tasks whose results can be read.
    pub tasks: u64,
    /// Finished tasks that retention has removed.
    pub trimmed: u64,
    /// Inputs, outputs, messages and common data.
    pub bytes: u64,
}

impl TryFrom<v1::Session> for Session {
    type Error = FlameError;

    fn try_from(session: v1::Session) -> Result<Self, FlameError> {
        const OF: &str = "a session";
        let spec = part(session.spec, OF, "spec")?;
        let status = part(session.status, OF, "status")?;
        Ok(Self {
            metadata: metadata(session.metadata, OF)?,
            spec: SessionSpec {
                application: spec.application,
                common_data: spec.common_data,
                min_instances: spec.min_instances,
                max_instances: spec.max_instances,
                batch_size: spec.batch_size,
                priority: spec.priority,
                resreq: spec.resreq.map(resources),
                retention: spec.retention.map(Retention::from),
                retry: spec.retry.map(Retries::from),
                task_timeout_ms: spec.task_timeout_ms,
            },
            status: SessionStatus {
                state: status.state.into(),
                creation_time: status.creation_time,
                completion_time: status.completion_time,
                pending: count(status.pending),
                running: count(status.running),
                succeed: count(status.succeed),
                failed: count(status.failed),
                cancelled: count(status.cancelled),
                kept: status.kept.map(Kept::from).unwrap_or_default(),
                events: events(status.events),
            },
        })
    }
}
