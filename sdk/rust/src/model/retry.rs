//! How often something is tried again, and what came of each start of a task.

use flame_proto::v1;
use serde::{Deserialize, Serialize};

/// A policy, by the cause for which something came to nothing: what is unset is as the next wider one says (session,
/// application, cluster).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retries {
    /// The worker was lost. Counted for each task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<Retry>,
    /// The service died while it worked on the task. Counted for each task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crashed: Option<Retry>,
    /// No executor entered the session: the installation, the start or `OnSessionEnter` failed. Counted for each session,
    /// in a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Retry>,
    /// The service answered with a failure, or the task took too long. Counted for each task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<Retry>,
}

/// What is asked for one cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Most starts that may come to nothing; with 1 nothing is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_max: Option<u32>,
    /// Wait after the first of them, in milliseconds; doubles with each further one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff_ms: Option<u64>,
    /// Longest such wait, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff_ms_max: Option<u64>,
}

/// One start of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// The worker it was on.
    pub node: String,
    /// When it began, in milliseconds since 1970.
    pub started: i64,
    /// When it ended, in milliseconds since 1970; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<i64>,
    /// Why it came to nothing: `lost`, `crashed` or `failed`; absent when it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl From<v1::Retries> for Retries {
    fn from(wire: v1::Retries) -> Self {
        let v1::Retries { lost, crashed, refused, failed } = wire;
        Self {
            lost: lost.map(Retry::from),
            crashed: crashed.map(Retry::from),
            refused: refused.map(Retry::from),
            failed: failed.map(Retry::from),
        }
    }
}

impl From<Retries> for v1::Retries {
    fn from(retries: Retries) -> Self {
        let Retries { lost, crashed, refused, failed } = retries;
        Self {
            lost: lost.map(v1::Retry::from),
            crashed: crashed.map(v1::Retry::from),
            refused: refused.map(v1::Retry::from),
            failed: failed.map(v1::Retry::from),
        }
    }
}

impl From<v1::Retry> for Retry {
    fn from(wire: v1::Retry) -> Self {
        Self { starts_max: wire.starts_max, backoff_ms: wire.backoff_ms, backoff_ms_max: wire.backoff_ms_max }
    }
}

impl From<Retry> for v1::Retry {
    fn from(retry: Retry) -> Self {
        Self { starts_max: retry.starts_max, backoff_ms: retry.backoff_ms, backoff_ms_max: retry.backoff_ms_max }
    }
}

impl From<v1::Attempt> for Attempt {
    fn from(wire: v1::Attempt) -> Self {
        Self {
            number: wire.number,
            node: wire.node,
            started: wire.started,
            ended: wire.ended,
            cause: wire.cause,
            message: wire.message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_survives_the_wire_part_by_part() {
        let part =
            |starts_max| Some(Retry { starts_max: Some(starts_max), backoff_ms: Some(2), backoff_ms_max: Some(3) });
        let retries = Retries { lost: part(4), crashed: part(5), refused: part(6), failed: part(7) };
        assert_eq!(Retries::from(v1::Retries::from(retries)), retries);
        let one = Retries { failed: part(7), ..Retries::default() };
        assert_eq!(Retries::from(v1::Retries::from(one)), one);
    }
}
