//! The replicated state.

use std::collections::{BTreeMap, BTreeSet};

use flame_types::{
    AppName, ClientId, ClusterMs, CoordinatorId, ExecutorKey, Generation, NodeName, Resources, SessionId, SessionKey,
    Token,
};

use super::{
    App, AssignmentRow, Client, ClosedIndex, ClosedRow, ClusterRow, Directory, Executor, Node, Requests, Rival,
    Session, Spare, Story, Timers, Turn,
};

/// Everything that is live. Two states with the same rows are equal, field by field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Cluster time, counters, configuration.
    pub(crate) cluster: ClusterRow,
    /// Applications.
    pub(crate) apps: BTreeMap<AppName, App>,
    /// Sessions that are not closed.
    pub(crate) sessions: BTreeMap<SessionKey, Session>,
    /// Closed sessions that are remembered.
    pub(crate) closed: BTreeMap<SessionKey, ClosedRow>,
    /// Tasks that are with executors.
    pub(crate) assignments: BTreeMap<Token, AssignmentRow>,
    /// Executors that have not left.
    pub(crate) executors: BTreeMap<ExecutorKey, Executor>,
    /// Workers.
    pub(crate) nodes: BTreeMap<NodeName, Node>,
    /// Registered clients.
    pub(crate) clients: BTreeMap<ClientId, Client>,
    /// Answers to changes that carried a request id.
    pub(crate) requests: Requests,
    /// Nodes of the object cache and what they have.
    pub(crate) directory: Directory,

    // ── derived ─────────────────────────────────────────────────────────────────────────────────────────────────
    /// Every session id in use, closed ones included.
    pub(crate) ids: BTreeMap<SessionId, SessionKey>,
    /// Closed sessions in the orders in which they leave.
    pub(crate) closed_index: ClosedIndex,
    /// What the rows of sessions that are not closed count for.
    pub(crate) open_kept_bytes: u64,
    /// Executors of each application that have not left.
    pub(crate) app_executors: BTreeMap<AppName, u32>,
    /// Sessions that want, hold or wait for executors.
    pub(crate) active: BTreeSet<SessionKey>,
    /// Those of them that do not hold just what they want: the planner looks at the others only when there is not enough
    /// for everybody.
    pub(crate) unsettled: BTreeSet<SessionKey>,
    /// Sessions that want more executors than they have.
    pub(crate) short: BTreeSet<SessionKey>,
    /// Sessions that a single executor would help at once, in the order in which they get one.
    pub(crate) in_line: BTreeSet<Turn>,
    /// Other sessions that want more executors.
    pub(crate) rivals: BTreeSet<Rival>,
    /// Sessions that have idle executors to spare.
    pub(crate) spare: BTreeSet<Spare>,
    /// What the attached workers can give together.
    pub(crate) capacity: Resources,
    /// Workers that are avoided for failures, by when that ends.
    pub(crate) avoided: BTreeSet<(ClusterMs, NodeName)>,
    /// The first of these instants.
    pub(crate) avoidance_timer: Option<ClusterMs>,
    /// Executors that gave their session up and wait for another, or to be stopped.
    pub(crate) unbinding: BTreeSet<ExecutorKey>,
    /// Executors whose resources come free: retiring, unbinding or being stopped.
    pub(crate) leaving: BTreeSet<ExecutorKey>,
    /// Clients by the nonce they registered with.
    pub(crate) nonces: BTreeMap<u128, ClientId>,
    /// Clients of gateways.
    pub(crate) gateways: BTreeMap<CoordinatorId, ClientId>,
    /// Deadlines that lie ahead.
    pub(crate) timers: Timers,
}

impl State {
    /// The state of a cluster in which nothing has happened.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cluster time.
    #[must_use]
    pub fn now(&self) -> ClusterMs {
        self.cluster.time
    }

    /// The cluster row: counters, configuration, feature level.
    #[must_use]
    pub fn cluster(&self) -> &ClusterRow {
        &self.cluster
    }

    /// Counts restores and forced recoveries.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.cluster.generation
    }

    /// The earliest instant of cluster time at which something becomes due: retries, timeouts, gangs, placement after
    /// a failure, workers that are avoided, idle executors. The leader proposes a `Tick` when it comes.
    #[must_use]
    pub fn next_deadline(&self) -> Option<ClusterMs> {
        self.timers.next()
    }

    /// How long a task of a session may run, in milliseconds: as it says itself, else as its session does.
    #[must_use]
    pub(crate) fn timeout_ms(&self, session: SessionKey, story: Option<&Story>) -> Option<u64> {
        let own = story.and_then(|story| story.options.timeout_ms);
        own.or_else(|| self.sessions.get(&session).and_then(|session| session.terms.task_timeout_ms))
    }

    /// The key of a session, closed or not.
    #[must_use]
    pub fn find_session(&self, id: &str) -> Option<SessionKey> {
        self.ids.get(id).copied()
    }

    /// Sessions that are not closed.
    #[must_use]
    pub fn sessions(&self) -> &BTreeMap<SessionKey, Session> {
        &self.sessions
    }

    /// Closed sessions that are remembered.
    #[must_use]
    pub fn closed(&self) -> &BTreeMap<SessionKey, ClosedRow> {
        &self.closed
    }

    /// What the rows of all sessions count for, closed ones included.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        self.open_kept_bytes + self.closed_index.all.bytes
    }

    /// Applications.
    #[must_use]
    pub fn apps(&self) -> &BTreeMap<AppName, App> {
        &self.apps
    }

    /// Executors that have not left.
    #[must_use]
    pub fn executors(&self) -> &BTreeMap<ExecutorKey, Executor> {
        &self.executors
    }

    /// Workers.
    #[must_use]
    pub fn nodes(&self) -> &BTreeMap<NodeName, Node> {
        &self.nodes
    }

    /// Tasks that are with executors.
    #[must_use]
    pub fn assignments(&self) -> &BTreeMap<Token, AssignmentRow> {
        &self.assignments
    }

    /// Registered clients.
    #[must_use]
    pub fn clients(&self) -> &BTreeMap<ClientId, Client> {
        &self.clients
    }

    /// Answers to changes that carried a request id.
    #[must_use]
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Nodes of the object cache and what they have.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }
}
