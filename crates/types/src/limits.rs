//! The size of everything that could grow. Reaching a limit is a typed refusal that names it.

/// Longest name of an application, session or worker, in bytes (the published limit for applications).
pub const NAME_BYTES_MAX: usize = 253;

/// Largest input or output of one task: a published client refuses replies above 4 MiB, and 64 KiB stay for the rest.
pub const TASK_PAYLOAD_BYTES_MAX: usize = 4 * 1024 * 1024 - 64 * 1024;

/// Largest common data of a session. It travels with every reply that shows the session.
pub const COMMON_DATA_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Largest message any listener accepts, in bytes: requests may be larger than the 4 MiB a published client accepts.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Largest reply that a published client accepts, in bytes (the gRPC library's default).
pub const REPLY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most tasks one Submit may carry.
pub const SUBMIT_TASKS_MAX: usize = 4096;

/// Most affinity keys of one task, and attribute keys in one direction of one report.
pub const ATTRIBUTE_KEYS_MAX: usize = 1024;

/// Longest attribute or affinity key, in bytes.
pub const ATTRIBUTE_KEY_BYTES_MAX: usize = 256;

/// Most bytes of attribute keys in one direction of one report.
pub const ATTRIBUTE_BYTES_MAX: usize = 64 * 1024;

/// Most attribute keys one executor may hold.
pub const EXECUTOR_ATTRIBUTES_MAX: usize = 4096;

/// Longest text of an error or event that we keep, in bytes; longer ones are cut with a mark.
pub const MESSAGE_TEXT_BYTES_MAX: usize = 4096;

/// Largest specification of an application, in bytes of all its texts together.
pub const APP_SPEC_BYTES_MAX: usize = 256 * 1024;

/// Most applications of a cluster.
pub const APPLICATIONS_MAX: usize = 10_000;

/// Most open sessions of a cluster.
pub const OPEN_SESSIONS_MAX: usize = 100_000;

/// Most events a session keeps; the oldest leave first.
pub const SESSION_EVENTS_MAX: usize = 32;

/// Most attempts of a task whose story is kept.
pub const ATTEMPTS_KEPT_MAX: usize = 16;

/// Most workers of a cluster.
pub const NODES_MAX: usize = 10_000;

/// Most executors on one worker.
pub const NODE_EXECUTORS_MAX: usize = 1024;

/// Most registered clients: gateways, and one for each open stream of a session. Room for three times 10,000 sessions
/// that are open at once, at some 300 bytes for one that is idle.
pub const CLIENTS_MAX: usize = 32_768;

/// Most replies kept for one client: a full window is back-pressure, never eviction.
pub const CLIENT_WINDOW_MAX: usize = 4096;

/// Most events of the cluster that are kept; the oldest leave first.
pub const CLUSTER_EVENTS_MAX: u64 = 10_000;

/// Most bytes of the log of an install that a worker shows.
pub const INSTALL_LOG_BYTES_MAX: usize = 256 * 1024;

/// Most workers that are asked for such a log at once.
pub const INSTALL_LOG_NODES_MAX: usize = 64;

/// Most labels of a session or application.
pub const LABELS_MAX: usize = 64;

/// Longest key of a cached object, in bytes: three names and what stands between them.
pub const OBJECT_KEY_BYTES_MAX: usize = 3 * NAME_BYTES_MAX + 2;

/// Longest name of a kind of data, in bytes.
pub const DATA_TYPE_BYTES_MAX: usize = 64;

/// Largest object that is recorded, in bytes. What a cache takes is configured there, and far less.
pub const OBJECT_BYTES_MAX: u64 = 1 << 40;

/// Most objects that the directory of a cluster knows.
pub const OBJECTS_MAX: usize = 1_000_000;

/// Most objects that one report of a cache node names.
pub const OBJECTS_PER_REPORT_MAX: usize = 1024;

/// Most copies of one object that can be asked for.
pub const OBJECT_COPIES_MAX: u32 = 16;

/// Most nodes of the object cache.
pub const CACHES_MAX: usize = 1000;

/// Longest address by which a cache node is reached, in bytes.
pub const ENDPOINT_BYTES_MAX: usize = 512;
