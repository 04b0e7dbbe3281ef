//! Applications, workers, the cluster as a whole.

use std::ops::Bound;

use flame_types::{
    AppName, AppSpec, AppState, ClusterMs, Epoch, Generation, HelloNo, Incarnation, NodeName, NodeState, Resources,
    Shim, Term, WallMs,
};

use crate::command::Host;
use crate::state::{App, Circle, Node, State};

/// An application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppView {
    /// Its name.
    pub name: AppName,
    /// How its service is started.
    pub spec: AppSpec,
    /// Whether it takes new sessions.
    pub state: AppState,
    /// 1 when registered, one more with each update.
    pub revision: u64,
    /// When it was registered.
    pub created: WallMs,
    /// Sessions that are not closed.
    pub open_sessions: u64,
    /// Executors of all its sessions that have not left.
    pub instances: u32,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Its name.
    pub name: NodeName,
    /// Published state.
    pub state: NodeState,
    /// What it can give to executors.
    pub capacity: Resources,
    /// What its executors hold.
    pub allocated: Resources,
    /// Executors that have not left.
    pub executors: u32,
    /// Shims it runs.
    pub shims: Vec<Shim>,
    /// The machine it runs on.
    pub host: Host,
    /// Its stream stands.
    pub attached: bool,
    /// It takes no new executors.
    pub cordoned: bool,
    /// It takes no new tasks either.
    pub draining: bool,
    /// Its lease epoch.
    pub epoch: Epoch,
    /// The life of the worker that spoke last.
    pub incarnation: Incarnation,
    /// The number of its last Hello.
    pub hello: HelloNo,
    /// When it said its last Hello.
    pub seen: WallMs,
    /// Executors that failed to bind here since the last that did not.
    pub bind_failures: u32,
    /// Until when it is avoided for that, by those in `avoided_by`; when that has passed it is on trial. `None`: nobody
    /// avoids it.
    pub avoided_until: Option<ClusterMs>,
    /// Who does.
    pub avoided_by: Circle,
}

/// The cluster as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterView {
    /// Cluster time.
    pub time: ClusterMs,
    /// The latest wall time of any entry.
    pub wall: WallMs,
    /// Term of the last leader that opened for business.
    pub term: Term,
    /// Counts restores.
    pub generation: Generation,
    /// The feature level it runs at.
    pub level: u32,
    /// Applications.
    pub apps: u64,
    /// Sessions that are not closed.
    pub open_sessions: u64,
    /// Closed sessions that are remembered.
    pub closed_sessions: u64,
    /// What the rows of sessions that are not closed count for.
    pub open_kept_bytes: u64,
    /// What the rows of closed sessions count for.
    pub closed_kept_bytes: u64,
    /// Finished tasks that are kept in sessions that are not closed.
    pub kept_tasks: u64,
    /// Tasks shown as Pending.
    pub pending: u64,
    /// Tasks shown as Running.
    pub running: u64,
    /// Workers known.
    pub nodes: u64,
    /// Workers attached.
    pub nodes_attached: u64,
    /// Executors that have not left.
    pub executors: u64,
    /// What the attached workers can give.
    pub capacity: Resources,
    /// What is in use of it.
    pub allocated: Resources,
    /// Registered clients.
    pub clients: u64,
    /// Nodes of the object cache known.
    pub caches: u64,
    /// Nodes of the object cache attached.
    pub caches_attached: u64,
    /// Cached objects that the directory knows.
    pub objects: u64,
    /// Bytes of them, each counted once.
    pub object_bytes: u64,
}

/// The application of this name.
#[must_use]
pub fn app(state: &State, name: &str) -> Option<AppView> {
    state.apps.get(name).map(|app| app_view(state, app))
}

/// A page of applications by name.
#[must_use]
pub fn apps(state: &State, from: Option<&AppName>, limit: usize) -> Vec<AppView> {
    let start = from.map_or(Bound::Unbounded, Bound::Excluded);
    let page = state.apps.range::<AppName, _>((start, Bound::Unbounded)).take(limit);
    page.map(|(_, app)| app_view(state, app)).collect()
}

/// The worker of this name.
#[must_use]
pub fn node(state: &State, name: &str) -> Option<NodeView> {
    state.nodes.get(name).map(node_view)
}

/// A page of workers by name.
#[must_use]
pub fn nodes(state: &State, from: Option<&NodeName>, limit: usize) -> Vec<NodeView> {
    let start = from.map_or(Bound::Unbounded, Bound::Excluded);
    state.nodes.range::<NodeName, _>((start, Bound::Unbounded)).take(limit).map(|(_, node)| node_view(node)).collect()
}

/// The cluster as a whole.
#[must_use]
pub fn cluster(state: &State) -> ClusterView {
    let attached = || state.nodes.values().filter(|node| node.row.attached);
    ClusterView {
        time: state.cluster.time,
        wall: state.cluster.wall,
        term: state.cluster.term,
        generation: state.cluster.generation,
        level: state.level(),
        apps: state.apps.len() as u64,
        open_sessions: state.sessions.len() as u64,
        closed_sessions: state.closed.len() as u64,
        open_kept_bytes: state.open_kept_bytes,
        closed_kept_bytes: state.closed_index.all.bytes,
        kept_tasks: state.sessions.values().map(|session| session.row.kept_tasks()).sum(),
        pending: state.sessions.values().map(crate::state::Session::shown_pending).sum(),
        running: state.sessions.values().map(|session| session.running).sum(),
        nodes: state.nodes.len() as u64,
        nodes_attached: attached().count() as u64,
        executors: state.executors.len() as u64,
        capacity: attached().fold(Resources::ZERO, |sum, node| sum.plus(node.row.capacity)),
        allocated: attached().fold(Resources::ZERO, |sum, node| sum.plus(node.allocated)),
        clients: state.clients.len() as u64,
        caches: state.directory.caches.len() as u64,
        caches_attached: state.directory.caches.values().filter(|cache| cache.row.attached).count() as u64,
        objects: state.directory.entries.len() as u64,
        object_bytes: state.directory.apps.values().map(|used| used.bytes).sum(),
    }
}

fn app_view(state: &State, app: &App) -> AppView {
    AppView {
        name: app.row.name.clone(),
        spec: app.row.spec.clone(),
        state: app.row.state,
        revision: app.row.revision,
        created: app.row.created,
        open_sessions: app.sessions.len() as u64,
        instances: state.app_instances(&app.row.name),
    }
}

fn node_view(node: &Node) -> NodeView {
    let avoidance = &node.row.avoidance;
    let is_avoided = avoidance.periods > 0;
    NodeView {
        name: node.row.name.clone(),
        state: node.state(),
        capacity: node.row.capacity,
        allocated: node.allocated,
        executors: u32::try_from(node.executors.len()).unwrap_or(u32::MAX),
        shims: node.row.shims.clone(),
        host: node.row.host.clone(),
        attached: node.row.attached,
        cordoned: node.row.cordoned,
        draining: node.row.draining,
        epoch: node.row.epoch,
        incarnation: node.row.incarnation,
        hello: node.row.hello,
        seen: node.row.seen,
        bind_failures: node.row.bind_failures,
        avoided_until: is_avoided.then_some(avoidance.until),
        avoided_by: if is_avoided { avoidance.circle.clone() } else { Circle::Nobody },
    }
}
