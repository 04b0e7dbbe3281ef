//! One coordinator process: storage and Raft, the drive around them, three listeners.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use flame_storage::MemberNode;
use flame_types::CoordinatorId;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::consensus::{self, BootstrapError, Consensus, Profile};
use crate::drive::batcher::BatcherHandle;
use crate::drive::clients::ClientLeases;
use crate::drive::events::EventHub;
use crate::drive::forward::ForwardService;
use crate::drive::gateway::Gateway;
use crate::drive::hub::Hub;
use crate::drive::leader::{Defaults, Leader};
use crate::drive::link;
use crate::drive::read_index::ReadIndex;
use crate::drive::replies::Replies;
use crate::drive::sink::{Sink, Targets};
use crate::exit::Exit;

/// How long calls that are under way may take to end once this node stops.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// Everything a coordinator must know to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its id among the members.
    pub id: CoordinatorId,
    /// The cluster it belongs to; nodes of another one are refused.
    pub cluster_id: String,
    /// Where its log and state are.
    pub data_dir: PathBuf,
    /// Where it listens.
    pub listen: Listen,
    /// All members with the addresses by which others reach them.
    pub members: Vec<(CoordinatorId, MemberNode)>,
    /// Raft's timing.
    pub profile: Profile,
    /// What the leader would have replicated.
    pub defaults: Defaults,
    /// Whether writes reach the disk before they are acknowledged. `false` exists to prove that the tests notice.
    pub sync: bool,
}

/// Addresses to listen on.
#[derive(Clone, Copy, Debug)]
pub struct Listen {
    /// For clients.
    pub client: SocketAddr,
    /// For workers.
    pub worker: SocketAddr,
    /// For other coordinators.
    pub peer: SocketAddr,
}

/// Runs a coordinator until it is told to stop.
///
/// # Errors
/// [`Exit`] names the reason and its exit code.
pub fn run(options: Options) -> Result<(), Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("flame-main")
        .build()
        .context("cannot start the runtime")?;
    let ended = runtime.block_on(serve(options));
    // What still hangs in a blocking call must not keep the process alive.
    runtime.shutdown_timeout(Duration::from_millis(200));
    ended
}

async fn serve(options: Options) -> Result<(), Exit> {
    let listeners = Listeners::bind(options.listen).await?;
    let parts = Parts::start(&options).await?;
    let stop = CancellationToken::new();
    let servers = spawn_servers(&options, &parts, listeners, &stop)?;
    let fatal = parts.consensus.fatal();
    let ended = tokio::select! {
        signal = stop_signal() => signal,
        failed = bootstrap(&parts.consensus) => Err(failed),
        cause = fatal.raised() => Err(Exit::from(cause)),
    };
    if ended.is_ok() {
        hand_over(&parts.consensus).await;
    }
    parts.events.stop();
    stop.cancel();
    servers.end().await;
    parts.consensus.shutdown().await;
    ended
}

/// Begins the cluster if that is this node's task. Returns only when it cannot.
async fn bootstrap(consensus: &Consensus) -> Exit {
    match consensus.bootstrap().await {
        Ok(()) | Err(BootstrapError::Stopped) => std::future::pending().await,
        Err(error @ BootstrapError::ClusterExists { .. }) => Exit::Quarantine(error.to_string()),
        Err(error @ (BootstrapError::MembersDiffer { .. } | BootstrapError::Refused { .. })) => {
            Exit::Usage(error.to_string())
        }
        Err(error @ BootstrapError::Failed(_)) => Exit::Other(error.into()),
    }
}

/// Gives leadership away before stopping, so that clients see a pause of milliseconds instead of an election.
async fn hand_over(consensus: &Consensus) {
    if !consensus.leadership().borrow().is_self || consensus.members().len() == 1 {
        return;
    }
    tracing::info!("this node stops; it hands leadership over");
    if let Err(error) = consensus.transfer_leader(None).await {
        tracing::warn!(%error, "leadership could not be handed over; the others will elect");
    }
}

async fn stop_signal() -> Result<(), Exit> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

struct Listeners {
    client: TcpListener,
    worker: TcpListener,
    peer: TcpListener,
}

impl Listeners {
    async fn bind(listen: Listen) -> Result<Self, Exit> {
        async fn one(what: &'static str, address: SocketAddr) -> Result<TcpListener, Exit> {
            let bound = TcpListener::bind(address).await;
            bound.map_err(|source| Exit::Port { what, address: address.to_string(), source })
        }
        Ok(Self {
            client: one("clients", listen.client).await?,
            worker: one("workers", listen.worker).await?,
            peer: one("other coordinators", listen.peer).await?,
        })
    }
}

/// The parts of a running node.
struct Parts {
    consensus: Consensus,
    batcher: BatcherHandle,
    gateway: Gateway,
    hub: Hub,
    events: EventHub,
    clients: ClientLeases,
}

impl Parts {
    async fn start(options: &Options) -> Result<Self, Exit> {
        let events = EventHub::default();
        let replies = Arc::new(Replies::new());
        let targets: Arc<OnceLock<Targets>> = Arc::default();
        let dirty = Arc::new(Notify::new());
        let sink =
            Sink { events: events.clone(), replies: replies.clone(), targets: targets.clone(), dirty: dirty.clone() };
        let consensus = Consensus::start(raft_options(options), Box::new(sink)).await.map_err(Exit::from)?;
        let batcher = BatcherHandle::start(consensus.clone(), replies.clone());
        let reads = ReadIndex::start(consensus.clone());
        let (id, cluster_id) = (options.id, options.cluster_id.clone());
        let gateway = Gateway::new(id, cluster_id.clone(), consensus.clone(), events.clone(), reads);
        let hub = Hub::new(cluster_id, consensus.clone(), batcher.clone(), replies.clone());
        // This is the only place that sets it.
        let _ = targets.set(Targets { gateway: gateway.clone(), hub: hub.clone() });
        let clients = ClientLeases::default();
        let leader = Leader {
            consensus: consensus.clone(),
            batcher: batcher.clone(),
            hub: hub.clone(),
            clients: clients.clone(),
            replies: replies.clone(),
            defaults: options.defaults.clone(),
            dirty,
        };
        tokio::spawn(leader.run());
        tokio::spawn(link::run(gateway.clone(), batcher.clone(), clients.clone()));
        tokio::spawn(gateway.clone().keep_registered(replies));
        Ok(Self { consensus, batcher, gateway, hub, events, clients })
    }
}

fn raft_options(options: &Options) -> consensus::Options {
    let mut raft = consensus::Options::new(options.id, options.cluster_id.clone(), options.data_dir.clone());
    raft.members.clone_from(&options.members);
    raft.profile = options.profile;
    raft.sync = options.sync;
    raft
}

type Server = tokio::task::JoinHandle<anyhow::Result<()>>;

/// The running servers.
struct Servers {
    /// For clients and for workers.
    callers: [Server; 2],
    peers: Server,
}

impl Servers {
    /// Lets the calls of clients and workers end, then cuts the peers off: their streams have no end of their own.
    async fn end(self) {
        // A call that does not end in time is left behind: the process ends anyway.
        let _ = tokio::time::timeout(DRAIN_MAX, futures::future::join_all(self.callers)).await;
        self.peers.abort();
    }
}

fn spawn_servers(
    options: &Options,
    parts: &Parts,
    listeners: Listeners,
    stop: &CancellationToken,
) -> Result<Servers, Exit> {
    let ready = ready_line(options, &listeners)?;
    let client = api::routes(parts.gateway.clone(), parts.hub.clone(), options.data_dir.clone(), stop.clone());
    let worker = tonic::service::Routes::new(parts.hub.server());
    let peer = tonic::service::Routes::new(parts.consensus.raft_service())
        .add_service(parts.consensus.bootstrap_service())
        .add_service(ForwardService::server(parts.consensus.clone(), parts.batcher.clone(), parts.clients.clone()));
    // Calls that are under way need their peers to the end: this server is cut off when they have ended.
    let until_cut_off = CancellationToken::new();
    let servers = Servers {
        callers: [
            tokio::spawn(listen(listeners.client.into_std(), client, stop.clone())),
            tokio::spawn(listen(listeners.worker.into_std(), worker, stop.clone())),
        ],
        // On consensus' own runtime, down to the socket: load on the other one must not delay heartbeats.
        peers: parts.consensus.runtime().spawn(listen(listeners.peer.into_std(), peer, until_cut_off)),
    };
    println!("{ready}");
    std::io::stdout().flush().context("cannot write to stdout")?;
    Ok(servers)
}

/// Serves a listener on the runtime this runs on, wherever it was bound.
async fn listen(
    listener: std::io::Result<std::net::TcpListener>,
    routes: tonic::service::Routes,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    /// How often an idle connection is probed: a client that vanished without a word must not hold streams for ever.
    const KEEP_ALIVE: Duration = Duration::from_secs(10);
    let listener = TcpListener::from_std(listener?)?;
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
        .await?;
    Ok(())
}

/// Tells whoever started this process, in one line, where it listens.
fn ready_line(options: &Options, listeners: &Listeners) -> Result<String, Exit> {
    let address = |listener: &TcpListener| listener.local_addr().map(|address| address.to_string());
    let line = serde_json::json!({
        "event": "ready",
        "id": options.id.0,
        "client": address(&listeners.client).context("cannot read the own address")?,
        "worker": address(&listeners.worker).context("cannot read the own address")?,
        "peer": address(&listeners.peer).context("cannot read the own address")?,
    });
    Ok(line.to_string())
}
