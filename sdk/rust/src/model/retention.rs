//! How long ended things are kept.

use flame_proto::v1;
use serde::{Deserialize, Serialize};

/// A policy: what is unset is as the next wider one says (session, application, cluster).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Finished tasks of an open session leave at this age, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_age_ms: Option<u64>,
    /// None of them leaves before this age, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_age_ms_min: Option<u64>,
    /// Most tasks of one session; at the limit submits are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_count: Option<u64>,
    /// Most bytes of inputs, outputs and messages of one session; likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_bytes: Option<u64>,
    /// A closed session leaves at this age, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_age_ms: Option<u64>,
    /// Most closed sessions of an application. Not for one session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_count: Option<u64>,
    /// Most bytes that the closed sessions of an application keep. Not for one session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_bytes: Option<u64>,
}

impl From<v1::Retention> for Retention {
    fn from(wire: v1::Retention) -> Self {
        Self {
            task_age_ms: wire.task_age_ms,
            task_age_ms_min: wire.task_age_ms_min,
            task_count: wire.task_count,
            task_bytes: wire.task_bytes,
            closed_age_ms: wire.closed_age_ms,
            closed_count: wire.closed_count,
            closed_bytes: wire.closed_bytes,
        }
    }
}

impl From<Retention> for v1::Retention {
    fn from(retention: Retention) -> Self {
        Self {
            task_age_ms: retention.task_age_ms,
            task_age_ms_min: retention.task_age_ms_min,
            task_count: retention.task_count,
            task_bytes: retention.task_bytes,
            closed_age_ms: retention.closed_age_ms,
            closed_count: retention.closed_count,
            closed_bytes: retention.closed_bytes,
        }
    }
}
