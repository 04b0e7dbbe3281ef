//! The replicated configuration: every figure that apply decides by. The leader logs it with `SetConfig`; apply never
//! reads a file.

use flame_types::{Resources, Retention, RetryPolicy};
use serde::{Deserialize, Serialize};

/// Figures that apply decides by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClusterConfig {
    /// What a session gets that asks for no resources.
    pub default_resources: Resources,
    /// Bind failures in a row after which a session gets no new executors (published: 5).
    pub bind_failures_max: u32,
    /// Wait after the first failure of an executor, in milliseconds; doubles with each further one in a row.
    pub bind_backoff_ms: u64,
    /// Longest such wait, in milliseconds.
    pub bind_backoff_ms_max: u64,
    /// Retry policy of sessions that name none.
    pub retry: RetryPolicy,
    /// Tasks that may wait on an executor behind the one it runs. 0 switches prefetch off.
    pub prefetch_max: u32,
    /// A gang that got only some of its executors gives them back after this time, in milliseconds.
    pub gang_patience_ms: u64,
    /// Candidates that a task with affinity looks at.
    pub affinity_candidates_max: u32,
    /// Replies kept per client.
    pub client_window_max: u32,
    /// How long ended things are kept, unless an application or session says otherwise. Its limits of closed sessions
    /// hold for all of the cluster together.
    pub retention: Retention,
    /// Most bytes of inputs, outputs and messages of all sessions together, closed ones included. Before the limit is
    /// reached the oldest closed sessions leave; at the limit Submit is refused.
    pub kept_bytes_max: u64,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            default_resources: Resources::FALLBACK,
            bind_failures_max: 5,
            bind_backoff_ms: 200,
            bind_backoff_ms_max: 10_000,
            retry: RetryPolicy::default(),
            prefetch_max: 0,
            gang_patience_ms: 10_000,
            affinity_candidates_max: 16,
            client_window_max: 4096,
            retention: Retention::CLUSTER,
            kept_bytes_max: 128 << 30,
        }
    }
}
