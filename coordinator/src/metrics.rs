//! The metrics of a coordinator: names, units, labels and help. Those of storage and of the process are in their crates;
//! `docs/reference/metrics.md` shows them all.
//!
//! What the parts record as they go is made into handles in [`handles`]; what is read when somebody looks, in
//! [`crate::http`].

use flame_metrics::{Label, LabelNames, LabelSet, Metric, Scale, Unit};

use crate::memory::Share;

pub mod handles;

pub use handles::Metrics;

flame_metrics::labels! {
    /// What can happen to a task.
    pub enum TaskEvent: "event" {
        /// It was submitted.
        Submitted = "submitted",
        /// A start of it began.
        Started = "started",
        /// A start of it began that was not its first.
        Retried = "retried",
        /// It ended well.
        Succeeded = "succeeded",
        /// It ended badly.
        Failed = "failed",
        /// It was cancelled.
        Cancelled = "cancelled",
    }

    /// What a command came to.
    pub enum Outcome: "outcome" {
        /// It took effect, now or when it was first applied.
        Done = "done",
        /// It was refused.
        Refused = "refused",
    }

    /// States of tasks that have not ended.
    pub enum TaskState: "state" {
        /// It waits.
        Pending = "pending",
        /// It runs.
        Running = "running",
    }

    /// States of sessions, as they are kept.
    pub enum SessionState: "state" {
        /// Not closed.
        Open = "open",
        /// Closed and remembered.
        Closed = "closed",
    }

    /// Whether a worker or a cache node can be reached.
    pub enum WorkerState: "state" {
        /// Its stream stands.
        Attached = "attached",
        /// It is known, and not there.
        Detached = "detached",
    }

    /// Kinds of streams that a node serves.
    pub enum StreamKind: "kind" {
        /// Of clients that number their commands.
        Sessions = "sessions",
        /// Of workers: on the leader only.
        Workers = "workers",
    }

    /// Where a command is that came to a node.
    pub enum CommandState: "state" {
        /// It was taken in, and is sent until it is answered.
        Unanswered = "unanswered",
        /// There is no room for it yet.
        Waiting = "waiting",
    }

    /// Points of the log.
    pub enum Point: "point" {
        /// Its last entry.
        Last = "last",
        /// What a majority has, as far as this node knows.
        Committed = "committed",
        /// What this node's state includes.
        Applied = "applied",
        /// What of that a crash would leave.
        Flushed = "flushed",
        /// Up to where it is cut.
        Purged = "purged",
    }

    /// What is said of the disk.
    pub enum DiskRoom: "room" {
        /// What this process may still take.
        Free = "free",
        /// All there is.
        Total = "total",
        /// What must be free, or this node is short of it.
        Floor = "floor",
    }
}

impl Label for Share {
    const NAMES: LabelNames = LabelNames {
        key: "share",
        values: &[
            "log_memtables",
            "state_memtables",
            "block_cache",
            "log_tail",
            "log_queue",
            "entries",
            "parcels",
            "commands",
            "waiting",
            "results",
            "messages",
            "inputs",
            "slack",
        ],
    };

    fn place(self) -> usize {
        self as usize
    }
}

impl LabelSet for Share {
    const LABELS: &'static [LabelNames] = &[<Self as Label>::NAMES];

    fn series(self) -> usize {
        self as usize
    }
}

/// Tasks.
pub static TASK_EVENTS: Metric = Metric::counter(
    "flame_tasks_total",
    Unit::Count,
    "What happened to tasks, as this node has applied it since its start; every node counts all of it.",
)
.by(TaskEvent::LABELS);

/// Commands.
pub static COMMANDS: Metric =
    Metric::counter("flame_commands_total", Unit::Count, "Commands that this node has applied since its start.")
        .by(Outcome::LABELS);

/// Tasks that have not ended.
pub static TASKS: Metric =
    Metric::gauge("flame_tasks", Unit::Count, "Tasks that have not ended.").by(TaskState::LABELS);

/// Sessions.
pub static SESSIONS: Metric =
    Metric::gauge("flame_sessions", Unit::Count, "Sessions that are open, or closed and remembered.")
        .by(SessionState::LABELS);

/// What sessions keep.
pub static KEPT: Metric = Metric::gauge(
    "flame_kept_bytes",
    Unit::Bytes,
    "Bytes of inputs, outputs and messages that sessions keep, by the state of the session.",
)
.by(SessionState::LABELS);

/// Finished tasks.
pub static KEPT_TASKS: Metric =
    Metric::gauge("flame_kept_tasks", Unit::Count, "Finished tasks that are kept in sessions that are open.");

/// Applications.
pub static APPLICATIONS: Metric = Metric::gauge("flame_applications", Unit::Count, "Registered applications.");

/// Executors.
pub static EXECUTORS: Metric = Metric::gauge("flame_executors", Unit::Count, "Executors that have not left.");

/// Workers.
pub static WORKERS: Metric =
    Metric::gauge("flame_workers", Unit::Count, "Workers that the cluster knows.").by(WorkerState::LABELS);

/// Nodes of the object cache.
pub static CACHE_NODES: Metric =
    Metric::gauge("flame_cache_nodes", Unit::Count, "Nodes of the object cache that the cluster knows.")
        .by(WorkerState::LABELS);

/// Cached objects.
pub static OBJECTS: Metric = Metric::gauge("flame_objects", Unit::Count, "Cached objects that the directory knows.");

/// Their bytes.
pub static OBJECT_BYTES: Metric =
    Metric::gauge("flame_object_bytes", Unit::Bytes, "Bytes of cached objects, each counted once.");

/// Clients.
pub static CLIENTS: Metric =
    Metric::gauge("flame_clients", Unit::Count, "Clients with a window in the state: nodes, and streams of sessions.");

/// Whether the state answered.
pub static STATE_ANSWERED: Metric = Metric::gauge(
    "flame_state_answered",
    Unit::Count,
    "1 when the state answered this scrape in time; 0 when tasks, sessions, what they keep, applications, executors, workers, cache nodes, objects and clients are as of an earlier one.",
);

/// Streams.
pub static STREAMS: Metric =
    Metric::gauge("flame_streams", Unit::Count, "Streams that this node serves.").by(StreamKind::LABELS);

/// Commands in the windows.
pub static GATEWAY_COMMANDS: Metric = Metric::gauge(
    "flame_gateway_commands",
    Unit::Count,
    "Commands of calls that came to this node and are not answered yet, and calls that wait for room.",
)
.by(CommandState::LABELS);

/// Calls that found no room.
pub static GATEWAY_REFUSED: Metric = Metric::counter(
    "flame_gateway_refused_total",
    Unit::Count,
    "Calls that found no room on this node and were told when to come back.",
);

/// Commands that wait for the batcher.
pub static QUEUED_COMMANDS: Metric =
    Metric::gauge("flame_batcher_queued_commands", Unit::Count, "Commands that wait for the leader's next entry.");

/// Their bytes.
pub static QUEUED_BYTES: Metric = Metric::gauge(
    "flame_batcher_queued_bytes",
    Unit::Bytes,
    "Bytes of the commands that wait for the leader's next entry.",
);

/// Size of an entry.
pub static ENTRY_COMMANDS: Metric = Metric::histogram(
    "flame_entry_commands",
    Scale::Things,
    "Commands that this node, leading, put into one log entry.",
);

/// The same in bytes.
pub static ENTRY_BYTES: Metric =
    Metric::histogram("flame_entry_bytes", Scale::Bytes, "Size of a log entry that this node, leading, has made.");

/// Commit latency.
pub static COMMIT: Metric = Metric::histogram(
    "flame_entry_commit_seconds",
    Scale::Latency,
    "Time from proposing a log entry until a majority has it on disk.",
);

/// Until it is applied.
pub static SETTLE: Metric = Metric::histogram(
    "flame_entry_settle_seconds",
    Scale::Latency,
    "Time from proposing a log entry until the leader has applied it.",
);

/// Entries that came to nothing.
pub static DROPPED: Metric = Metric::counter(
    "flame_entries_dropped_total",
    Unit::Count,
    "Log entries that did not make it, or whose fate is unknown: their commands are sent again.",
);

/// Tasks that were alone and short.
pub static GIVEN_OUT: Metric = Metric::counter(
    "flame_tasks_given_out_total",
    Unit::Count,
    "Tasks that this leader gave to their worker before their log entry, which then waited a moment for the result.",
);

/// Apply latency.
pub static APPLY: Metric = Metric::histogram(
    "flame_apply_seconds",
    Scale::Latency,
    "Time to apply a group of committed entries and to write its rows.",
);

/// Entries that are applied together.
pub static APPLY_GROUP: Metric =
    Metric::histogram("flame_apply_group_entries", Scale::Things, "Log entries that were applied as one group.");

/// Read-index latency.
pub static READ_ROUND: Metric = Metric::histogram(
    "flame_read_index_seconds",
    Scale::Latency,
    "Time of one round of reads: from asking the majority for a read point until this node has applied it.",
);

/// Reads.
pub static READS: Metric = Metric::counter(
    "flame_reads_total",
    Unit::Count,
    "Linearizable reads that were given their read point on this node.",
);

/// Whether this node leads.
pub static IS_LEADER: Metric = Metric::gauge("flame_raft_is_leader", Unit::Count, "1 on the node that leads, else 0.");

/// Whether anybody leads.
pub static HAS_LEADER: Metric =
    Metric::gauge("flame_raft_has_leader", Unit::Count, "1 while this node knows a leader, else 0.");

/// The term.
pub static TERM: Metric =
    Metric::gauge("flame_raft_term", Unit::Count, "The term of this node: every election that is held raises it.");

/// Changes of leader.
pub static LEADER_CHANGES: Metric = Metric::counter(
    "flame_raft_leader_changes_total",
    Unit::Count,
    "Leaders that this node has seen begin since its own start, the first one included.",
);

/// Points of the log.
pub static LOG_INDEX: Metric =
    Metric::gauge("flame_raft_log_index", Unit::Count, "Indexes in the log of this node.").by(Point::LABELS);

/// How far the others are behind.
pub static REPLICATION_LAG: Metric = Metric::gauge(
    "flame_raft_replication_lag",
    Unit::Count,
    "Entries by which the node that is furthest behind trails the leader; 0 on the others.",
);

/// How long the others are silent.
pub static PEER_SILENCE: Metric = Metric::gauge(
    "flame_raft_peer_silence_seconds",
    Unit::Seconds,
    "Time since the most silent node answered the leader; NaN when one never did, 0 on the others.",
);

/// Room on the disk.
pub static DISK: Metric =
    Metric::gauge("flame_disk_bytes", Unit::Bytes, "The file system of the data directory, as it was last looked at.")
        .by(DiskRoom::LABELS);

/// Memory by share.
pub static MEMORY: Metric = Metric::gauge(
    "flame_memory_bytes",
    Unit::Bytes,
    "Memory that each share of the budget takes; NaN for those that are not measured.",
)
.by(Share::LABELS);

/// Limits of memory by share.
pub static MEMORY_LIMIT: Metric =
    Metric::gauge("flame_memory_limit_bytes", Unit::Bytes, "Memory that each share of the budget may take.")
        .by(Share::LABELS);

/// Every metric of this crate, in the order of the reference.
pub static METRICS: &[&Metric] = &[
    &TASK_EVENTS,
    &COMMANDS,
    &TASKS,
    &SESSIONS,
    &KEPT,
    &KEPT_TASKS,
    &APPLICATIONS,
    &EXECUTORS,
    &WORKERS,
    &CACHE_NODES,
    &OBJECTS,
    &OBJECT_BYTES,
    &CLIENTS,
    &STATE_ANSWERED,
    &STREAMS,
    &GATEWAY_COMMANDS,
    &GATEWAY_REFUSED,
    &QUEUED_COMMANDS,
    &QUEUED_BYTES,
    &ENTRY_COMMANDS,
    &ENTRY_BYTES,
    &COMMIT,
    &SETTLE,
    &DROPPED,
    &GIVEN_OUT,
    &APPLY,
    &APPLY_GROUP,
    &READ_ROUND,
    &READS,
    &IS_LEADER,
    &HAS_LEADER,
    &TERM,
    &LEADER_CHANGES,
    &LOG_INDEX,
    &REPLICATION_LAG,
    &PEER_SILENCE,
    &DISK,
    &MEMORY,
    &MEMORY_LIMIT,
];

/// Every metric that a coordinator shows: those of the process, of storage, and its own.
pub static ALL: &[&[&Metric]] = &[METRICS, flame_storage::metrics::METRICS, flame_telemetry::metrics::METRICS];

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference shows all metrics: `BLESS=1` writes it anew.
    #[test]
    fn the_reference_shows_every_metric() {
        const BEGIN: &str =
            "<!-- metrics: begin (written by `BLESS=1 cargo nextest run --release -p flame-coordinator metrics`) -->\n";
        const END: &str = "<!-- metrics: end -->";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/metrics.md");
        let all: Vec<&Metric> = ALL.iter().copied().flatten().copied().collect();
        flame_metrics::page::check(path, BEGIN, END, &flame_metrics::page::table(&all)).unwrap();
    }
}
