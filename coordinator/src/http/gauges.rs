//! Gauges that are set when somebody looks.

use std::time::Duration;

use flame_machine::view::ClusterView;
use flame_metrics::{Counter, Family, Gauge, Registrar};
use flame_storage::StorageGauges;
use flame_telemetry::ProcessGauges;

use crate::consensus::{Leadership, RaftStatus};
use crate::drive::disk::Space;
use crate::memory::{Memory, SHARES, Share};
use crate::metrics::{
    APPLICATIONS, CACHE_NODES, CLIENTS, CommandState, DISK, DiskRoom, EXECUTORS, GATEWAY_COMMANDS, GATEWAY_REFUSED,
    HAS_LEADER, IS_LEADER, KEPT, KEPT_TASKS, LOG_INDEX, MEMORY, MEMORY_LIMIT, OBJECT_BYTES, OBJECTS, PEER_SILENCE,
    Point, QUEUED_BYTES, REPLICATION_LAG, SESSIONS, STATE_ANSWERED, STREAMS, SessionState, StreamKind, TASKS, TERM,
    TaskState, WORKERS, WorkerState,
};

/// All of them.
#[derive(Clone, Debug)]
pub struct Gauges {
    /// Of the replicated state.
    pub state: StateGauges,
    /// Of Raft.
    pub raft: RaftGauges,
    /// Of what this node serves.
    pub node: NodeGauges,
    /// Of the two databases.
    pub storage: StorageGauges,
    /// Of the process.
    pub process: ProcessGauges,
}

impl Gauges {
    /// Makes the handles.
    #[must_use]
    pub fn register(registrar: &Registrar<'_>) -> Self {
        Self {
            state: StateGauges::register(registrar),
            raft: RaftGauges::register(registrar),
            node: NodeGauges::register(registrar),
            storage: StorageGauges::register(registrar),
            process: ProcessGauges::register(registrar),
        }
    }
}

/// What the replicated state holds: the same on every node that has applied as much.
#[derive(Clone, Debug)]
pub struct StateGauges {
    tasks: Family<TaskState, Gauge>,
    sessions: Family<SessionState, Gauge>,
    kept: Family<SessionState, Gauge>,
    kept_tasks: Gauge,
    applications: Gauge,
    executors: Gauge,
    workers: Family<WorkerState, Gauge>,
    cache_nodes: Family<WorkerState, Gauge>,
    objects: Gauge,
    object_bytes: Gauge,
    clients: Gauge,
    answered: Gauge,
}

impl StateGauges {
    fn register(registrar: &Registrar<'_>) -> Self {
        Self {
            tasks: registrar.gauges(&TASKS),
            sessions: registrar.gauges(&SESSIONS),
            kept: registrar.gauges(&KEPT),
            kept_tasks: registrar.gauge(&KEPT_TASKS),
            applications: registrar.gauge(&APPLICATIONS),
            executors: registrar.gauge(&EXECUTORS),
            workers: registrar.gauges(&WORKERS),
            cache_nodes: registrar.gauges(&CACHE_NODES),
            objects: registrar.gauge(&OBJECTS),
            object_bytes: registrar.gauge(&OBJECT_BYTES),
            clients: registrar.gauge(&CLIENTS),
            answered: registrar.gauge(&STATE_ANSWERED),
        }
    }

    /// Shows what the state says; `None` when it did not answer in time.
    pub fn show(&self, cluster: Option<&ClusterView>) {
        self.answered.set(if cluster.is_some() { 1.0 } else { 0.0 });
        let Some(cluster) = cluster else { return };
        self.tasks.of(TaskState::Pending).set(cluster.pending as f64);
        self.tasks.of(TaskState::Running).set(cluster.running as f64);
        self.sessions.of(SessionState::Open).set(cluster.open_sessions as f64);
        self.sessions.of(SessionState::Closed).set(cluster.closed_sessions as f64);
        self.kept.of(SessionState::Open).set(cluster.open_kept_bytes as f64);
        self.kept.of(SessionState::Closed).set(cluster.closed_kept_bytes as f64);
        self.kept_tasks.set(cluster.kept_tasks as f64);
        self.applications.set(cluster.apps as f64);
        self.executors.set(cluster.executors as f64);
        self.workers.of(WorkerState::Attached).set(cluster.nodes_attached as f64);
        self.workers.of(WorkerState::Detached).set(cluster.nodes.saturating_sub(cluster.nodes_attached) as f64);
        self.cache_nodes.of(WorkerState::Attached).set(cluster.caches_attached as f64);
        self.cache_nodes.of(WorkerState::Detached).set(cluster.caches.saturating_sub(cluster.caches_attached) as f64);
        self.objects.set(cluster.objects as f64);
        self.object_bytes.set(cluster.object_bytes as f64);
        self.clients.set(cluster.clients as f64);
    }
}

/// What Raft says of this node, and on the leader of the others.
#[derive(Clone, Debug)]
pub struct RaftGauges {
    is_leader: Gauge,
    has_leader: Gauge,
    term: Gauge,
    index: Family<Point, Gauge>,
    lag: Gauge,
    silence: Gauge,
}

impl RaftGauges {
    fn register(registrar: &Registrar<'_>) -> Self {
        Self {
            is_leader: registrar.gauge(&IS_LEADER),
            has_leader: registrar.gauge(&HAS_LEADER),
            term: registrar.gauge(&TERM),
            index: registrar.gauges(&LOG_INDEX),
            lag: registrar.gauge(&REPLICATION_LAG),
            silence: registrar.gauge(&PEER_SILENCE),
        }
    }

    /// Shows what Raft says.
    pub fn show(&self, leadership: Leadership, status: &RaftStatus) {
        self.is_leader.set(if leadership.is_self { 1.0 } else { 0.0 });
        self.has_leader.set(if leadership.leader.is_some() { 1.0 } else { 0.0 });
        self.term.set(status.term.0 as f64);
        for (point, index) in [
            (Point::Last, status.last),
            (Point::Committed, status.committed),
            (Point::Applied, status.applied),
            (Point::Flushed, status.flushed),
            (Point::Purged, status.purged),
        ] {
            self.index.of(point).set(index.0 as f64);
        }
        let lag = status.peers.iter().map(|peer| status.last.0.saturating_sub(peer.matched.0)).max();
        self.lag.set(lag.unwrap_or(0) as f64);
        let heard: Option<Vec<Duration>> = status.peers.iter().map(|peer| peer.heard).collect();
        let longest = heard.map(|heard| heard.into_iter().max().unwrap_or_default());
        self.silence.set(longest.map_or(f64::NAN, |longest| longest.as_secs_f64()));
    }
}

/// What this node serves, and what it takes of memory and disk.
#[derive(Clone, Debug)]
pub struct NodeGauges {
    streams: Family<StreamKind, Gauge>,
    commands: Family<CommandState, Gauge>,
    refused: Counter,
    queued: Gauge,
    disk: Family<DiskRoom, Gauge>,
    memory: Family<Share, Gauge>,
    limits: Family<Share, Gauge>,
}

impl NodeGauges {
    fn register(registrar: &Registrar<'_>) -> Self {
        let memory: Family<Share, Gauge> = registrar.gauges(&MEMORY);
        for (share, ..) in SHARES {
            memory.of(*share).set(f64::NAN);
        }
        Self {
            streams: registrar.gauges(&STREAMS),
            commands: registrar.gauges(&GATEWAY_COMMANDS),
            refused: registrar.counter(&GATEWAY_REFUSED),
            queued: registrar.gauge(&QUEUED_BYTES),
            disk: registrar.gauges(&DISK),
            memory,
            limits: registrar.gauges(&MEMORY_LIMIT),
        }
    }

    /// Shows the limits: once, they do not change.
    pub fn show_limits(&self, memory: Memory) {
        for (share, ..) in SHARES {
            self.limits.of(*share).set(memory.share(*share) as f64);
        }
    }

    /// Shows how many streams of a kind there are.
    pub fn show_streams(&self, kind: StreamKind, count: usize) {
        self.streams.of(kind).set(count as f64);
    }

    /// Shows how many commands of calls are not answered, how many calls wait for room, and how many were sent away.
    pub fn show_commands(&self, inside: usize, waiting: usize, refused: u64) {
        self.refused.absolute(refused);
        self.commands.of(CommandState::Unanswered).set(inside as f64);
        self.commands.of(CommandState::Waiting).set(waiting as f64);
    }

    /// Shows how much waits for the next entry.
    pub fn show_queue(&self, bytes: usize) {
        self.queued.set(bytes as f64);
    }

    /// Shows the room on the disk, and the floor below which there is too little.
    pub fn show_disk(&self, space: Space, floor: u64) {
        self.disk.of(DiskRoom::Free).set(space.free as f64);
        self.disk.of(DiskRoom::Total).set(space.total as f64);
        self.disk.of(DiskRoom::Floor).set(floor as f64);
    }

    /// Shows what a share takes.
    pub fn show_memory(&self, share: Share, bytes: f64) {
        self.memory.of(share).set(bytes);
    }
}

#[cfg(test)]
mod tests {
    use flame_metrics::Label;
    use flame_telemetry::Exporter;
    use flame_types::{CoordinatorId, LogIndex, Term};

    use super::*;
    use crate::consensus::{PeerStatus, Role};
    use crate::metrics::{ALL, Metrics};

    #[test]
    fn every_metric_is_registered_described_and_in_a_table() {
        let faults = flame_metrics::roll::faults(ALL, |registrar| {
            drop((Gauges::register(registrar), Metrics::register(registrar)));
        });
        assert_eq!(faults, Vec::<String>::new());
    }

    #[test]
    fn every_share_of_memory_has_a_series_of_its_own() {
        assert_eq!(Share::NAMES.values.len(), SHARES.len());
        let mut places: Vec<usize> = SHARES.iter().map(|(share, ..)| share.place()).collect();
        places.sort_unstable();
        assert_eq!(places, (0..SHARES.len()).collect::<Vec<_>>());
        for (share, ..) in SHARES {
            let snake = Share::NAMES.values[share.place()].replace('_', "");
            assert_eq!(snake, format!("{share:?}").to_lowercase(), "the name of a share is its variant's");
        }
    }

    fn status(peers: Vec<PeerStatus>) -> RaftStatus {
        let index = LogIndex(90);
        RaftStatus {
            id: CoordinatorId(1),
            role: Role::Leader,
            term: Term(4),
            leader: Some(CoordinatorId(1)),
            last: LogIndex(100),
            committed: index,
            applied: index,
            flushed: index,
            snapshot: index,
            purged: index,
            peers,
        }
    }

    fn shown(leadership: Leadership, status: &RaftStatus) -> String {
        let exporter = Exporter::new(ALL);
        RaftGauges::register(&exporter.registrar()).show(leadership, status);
        exporter.render()
    }

    #[test]
    fn a_leader_shows_the_worst_of_the_others() {
        let leadership = Leadership { term: Term(4), leader: Some(CoordinatorId(1)), is_self: true };
        let peer = |id, matched, heard: Option<u64>| PeerStatus {
            id: CoordinatorId(id),
            matched: LogIndex(matched),
            heard: heard.map(Duration::from_secs),
        };
        let text = shown(leadership, &status(vec![peer(2, 100, Some(1)), peer(3, 40, Some(3))]));
        for line in [
            "flame_raft_is_leader 1",
            "flame_raft_replication_lag 60",
            "flame_raft_peer_silence_seconds 3",
            "flame_raft_log_index{point=\"last\"} 100",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line:?} in\n{text}");
        }
        let text = shown(leadership, &status(vec![peer(2, 100, None), peer(3, 40, Some(3))]));
        assert!(text.contains("flame_raft_peer_silence_seconds NaN"), "{text}");
        let text = shown(Leadership::default(), &status(Vec::new()));
        assert!(text.contains("flame_raft_is_leader 0") && text.contains("flame_raft_replication_lag 0"), "{text}");
    }
}
