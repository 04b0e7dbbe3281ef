//! The replicated configuration: every figure that apply decides by. The leader logs it with `SetConfig`; apply never
//! reads a file.

use flame_types::{Resources, Retention, RetryLimits};
use serde::{Deserialize, Serialize};

/// Figures that apply decides by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClusterConfig {
    /// What a session gets that asks for no resources.
    pub default_resources: Resources,
    /// How often what is tried again, where applications and sessions say nothing else.
    pub retry: RetryLimits,
    /// When a worker on which executors fail to enter their sessions is avoided.
    pub avoidance: NodeAvoidance,
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
    /// Changes with a request id whose answers are remembered, for all clients together; the oldest leave first.
    pub requests_max: u32,
    /// The object directory.
    pub objects: ObjectsConfig,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            default_resources: Resources::FALLBACK,
            retry: RetryLimits::CLUSTER,
            avoidance: NodeAvoidance::default(),
            prefetch_max: 0,
            gang_patience_ms: 10_000,
            affinity_candidates_max: 16,
            client_window_max: 4096,
            retention: Retention::CLUSTER,
            kept_bytes_max: 128 << 30,
            requests_max: 65_536,
            objects: ObjectsConfig::default(),
        }
    }
}

/// When a worker on which executors fail to enter their sessions is avoided, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeAvoidance {
    /// Failures in a row from which on it is.
    pub failures: u32,
    /// How long at first, in milliseconds; doubles each time.
    pub backoff_ms: u64,
    /// How long at most, in milliseconds.
    pub backoff_ms_max: u64,
}

impl Default for NodeAvoidance {
    /// Soon and shortly at first: a worker that lacks something lacks it for long, but most failures pass.
    fn default() -> Self {
        Self { failures: 3, backoff_ms: 2_000, backoff_ms_max: 300_000 }
    }
}

/// How many copies objects get, and how much one application may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObjectsConfig {
    /// Copies of what sessions share and of packages, on as many cache nodes.
    pub copies: u32,
    /// Copies of objects of sessions.
    pub session_copies: u32,
    /// Most bytes of the objects of one application, each counted once. At the limit puts are refused.
    pub app_bytes_max: u64,
}

impl Default for ObjectsConfig {
    fn default() -> Self {
        Self { copies: 2, session_copies: 1, app_bytes_max: 1 << 40 }
    }
}
