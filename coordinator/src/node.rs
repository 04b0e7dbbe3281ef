//! One coordinator process: storage and Raft, the drive around them, its listeners.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use flame_listen::encrypted::Manner;
use flame_storage::{MemberNode, RocksLog};
use flame_telemetry::Exporter;
use flame_tls::{Acceptor, ServerSide};
use flame_types::CoordinatorId;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::consensus::{self, BootstrapError, Consensus, Profile, SnapshotLimits};
use crate::drive::batcher::BatcherHandle;
use crate::drive::clients::ClientLeases;
use crate::drive::disk::{DataDisk, DiskWatch};
use crate::drive::events::EventHub;
use crate::drive::forward::ForwardService;
use crate::drive::gateway::{Gateway, Here, Room};
use crate::drive::hub::Hub;
use crate::drive::leader::{Defaults, Leader};
use crate::drive::link::{self, NodeNews};
use crate::drive::read_index::ReadIndex;
use crate::drive::replies::Replies;
use crate::drive::shortage::Shortage;
use crate::drive::sink::{Sink, Targets};
use crate::drive::upgrade::Upgrades;
use crate::exit::Exit;
use crate::http::scrape::{Scraper, Watched};
use crate::listener::Writes;
use crate::memory::{Memory, Share};
use crate::metrics::handles::ConsensusMetrics;
use crate::metrics::{self, Metrics};
use crate::{api, http, listener, open_files};

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
    /// All members with the addresses by which others reach them; none when `join` names some.
    pub members: Vec<(CoordinatorId, MemberNode)>,
    /// Peer addresses of members of the cluster that this node asks to be added to.
    pub join: Vec<String>,
    /// Where this node listens, as it tells whoever adds it.
    pub own: MemberNode,
    /// Raft's timing.
    pub profile: Profile,
    /// How much memory it takes.
    pub memory: Memory,
    /// Bytes of free disk below which it is short of it, if configured.
    pub disk_floor: Option<u64>,
    /// When the log is cut, and how fast snapshots are sent.
    pub snapshots: SnapshotLimits,
    /// How many entries this node may be behind before it turns clients away.
    pub behind_max: u64,
    /// What the leader would have replicated.
    pub defaults: Defaults,
    /// What encrypts all but metrics; `None` for plaintext.
    pub tls: Option<ServerSide>,
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
    /// For those who watch it; `None` when nobody may.
    pub metrics: Option<SocketAddr>,
}

/// Runs a coordinator until it is told to stop.
///
/// # Errors
/// [`Exit`] names the reason and its exit code.
pub fn run(options: Options) -> Result<(), Exit> {
    open_files::raise_limit();
    let runtime = client_runtime().enable_all().build().context("cannot start the runtime")?;
    let ended = runtime.block_on(serve(options));
    // What still hangs in a blocking call must not keep the process alive.
    runtime.shutdown_timeout(Duration::from_millis(200));
    ended
}

/// For clients and workers: half of the processors. The rest belongs to Raft, to the log's writer and to apply, and on a
/// small machine fewer threads cost fewer wake-ups; a single one needs no scheduler that could share its work out.
fn client_runtime() -> Builder {
    let threads = std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2));
    if threads == 1 {
        return Builder::new_current_thread();
    }
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads).thread_name("flame-main");
    builder
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
        Err(error @ (BootstrapError::Failed(_) | BootstrapError::Unfit { .. })) => Exit::Other(error.into()),
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
    metrics: Option<TcpListener>,
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
            metrics: match listen.metrics {
                Some(address) => Some(one("metrics", address).await?),
                None => None,
            },
        })
    }
}

/// The parts of a running node, without its listeners.
pub struct Parts {
    /// Raft and the state.
    pub consensus: Consensus,
    /// Packs entries while this node leads.
    pub batcher: BatcherHandle,
    /// What calls go through.
    pub gateway: Gateway,
    /// The workers, while this node leads.
    pub hub: Hub,
    /// Raises the feature level, while this node leads.
    pub upgrades: Upgrades,
    /// Changes for those who watch.
    pub events: EventHub,
    /// The disk of the data directory.
    pub data_disk: DataDisk,
    clients: ClientLeases,
    shortage: Shortage,
    /// `None` when nobody may look.
    scraper: Option<Scraper>,
}

impl Parts {
    /// Opens the data directory and starts everything but the listeners. A cluster of one needs no more to run.
    ///
    /// # Errors
    /// [`Exit`] names the reason.
    pub async fn start(options: &Options) -> Result<Self, Exit> {
        let events = EventHub::new(options.memory.share(Share::Results));
        let replies = Arc::new(Replies::new());
        let targets: Arc<OnceLock<Targets>> = Arc::default();
        let (dirty, directory_dirty) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let exporter = options.listen.metrics.map(|_| Exporter::new(metrics::ALL));
        let metrics = exporter.as_ref().map(|exporter| Metrics::register(&exporter.registrar())).unwrap_or_default();
        let sink = Sink {
            events: events.clone(),
            replies: replies.clone(),
            targets: targets.clone(),
            dirty: dirty.clone(),
            directory_dirty: directory_dirty.clone(),
            metrics: metrics.applied,
        };
        // Before anything is opened: who has no room to start in gets some.
        let ahead = RocksLog::ahead(options.memory.share(Share::LogMemtables));
        let disk = DiskWatch::open(&options.data_dir, options.disk_floor, ahead)
            .context("cannot look at the data directory")?;
        let (space, data_disk) = (disk.follow(), disk.disk());
        let raft = raft_options(options, metrics.consensus);
        let consensus = Consensus::start(raft, Box::new(sink)).await.map_err(Exit::from)?;
        let batcher = BatcherHandle::start(consensus.clone(), replies.clone(), options.memory, metrics.batcher);
        let reads = ReadIndex::start(consensus.clone(), metrics.reads);
        let (id, cluster_id) = (options.id, options.cluster_id.clone());
        let room = Room::of(options.memory);
        let at = Here { id, cluster_id: cluster_id.clone(), behind_max: options.behind_max };
        let gateway = Gateway::new(at, consensus.clone(), events.clone(), reads, room);
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        let hub = Hub::new(cluster_id, scheme, consensus.clone(), batcher.clone(), replies.clone(), options.memory);
        batcher.set_way_ahead(hub.way_ahead());
        // This is the only place that sets it.
        let _ = targets.set(Targets { gateway: gateway.clone(), hub: hub.clone() });
        let clients = ClientLeases::default();
        let shortage = Shortage::default();
        let upgrades = Upgrades::new(consensus.clone(), batcher.clone(), replies.clone());
        let leader = Leader {
            consensus: consensus.clone(),
            batcher: batcher.clone(),
            hub: hub.clone(),
            clients: clients.clone(),
            shortage: shortage.clone(),
            replies: replies.clone(),
            defaults: options.defaults.clone(),
            upgrades: upgrades.clone(),
            dirty,
            directory_dirty,
        };
        let watched = Watched {
            memory: options.memory,
            consensus: consensus.clone(),
            batcher: batcher.clone(),
            gateway: gateway.clone(),
            events: events.clone(),
            hub: hub.clone(),
            disk: data_disk.clone(),
            space: space.clone(),
        };
        let scraper = exporter.map(|exporter| Scraper::new(exporter, watched));
        tokio::spawn(leader.run());
        let news = NodeNews { clients: clients.clone(), shortage: shortage.clone(), space };
        let to_peers = options.tls.as_ref().map(|tls| tls.to_peers.clone());
        tokio::spawn(link::run(gateway.clone(), batcher.clone(), news, to_peers));
        tokio::spawn(disk.run(consensus.fatal()));
        tokio::spawn(gateway.clone().keep_registered(replies));
        Ok(Self { consensus, batcher, gateway, hub, upgrades, events, data_disk, clients, shortage, scraper })
    }
}

fn raft_options(options: &Options, metrics: ConsensusMetrics) -> consensus::Options {
    let mut raft = consensus::Options::new(options.id, options.cluster_id.clone(), options.data_dir.clone());
    raft.members.clone_from(&options.members);
    raft.join.clone_from(&options.join);
    raft.own.clone_from(&options.own);
    raft.profile = options.profile;
    raft.snapshots = options.snapshots;
    raft.memory = options.memory;
    raft.metrics = metrics;
    raft.sync = options.sync;
    raft.tls = options.tls.as_ref().map(|tls| tls.to_peers.clone());
    raft
}

type Server = tokio::task::JoinHandle<anyhow::Result<()>>;

/// The running servers.
struct Servers {
    /// For clients and for workers.
    callers: [Server; 2],
    peers: Server,
    /// For those who watch.
    watchers: Option<Server>,
}

impl Servers {
    /// Lets the calls of clients and workers end, then cuts the others off: streams of peers have no end of their own.
    async fn end(self) {
        // A call that does not end in time is left behind: the process ends anyway.
        let _ = tokio::time::timeout(DRAIN_MAX, futures::future::join_all(self.callers)).await;
        self.peers.abort();
        self.watchers.iter().for_each(Server::abort);
    }
}

fn spawn_servers(
    options: &Options,
    parts: &Parts,
    listeners: Listeners,
    stop: &CancellationToken,
) -> Result<Servers, Exit> {
    let ready = ready_line(options, &listeners)?;
    let (gateway, hub, upgrades) = (parts.gateway.clone(), parts.hub.clone(), parts.upgrades.clone());
    let client = api::routes(gateway, hub, upgrades, parts.data_disk.clone(), stop.clone());
    let worker = tonic::service::Routes::new(parts.hub.server())
        .add_service(parts.hub.news_server(stop.clone()))
        .add_service(parts.hub.caches_server())
        .add_service(api::directory_server(parts.gateway.clone()));
    let peer = tonic::service::Routes::new(parts.consensus.raft_service())
        .add_service(parts.consensus.bootstrap_service())
        .add_service(ForwardService::server(
            parts.consensus.clone(),
            parts.batcher.clone(),
            parts.clients.clone(),
            parts.shortage.clone(),
        ));
    // Calls that are under way need their peers to the end: this server is cut off when they have ended.
    let until_cut_off = CancellationToken::new();
    let callers = |whose| manner(options.tls.as_ref().map(|tls| &tls.callers), whose);
    let audience = parts.consensus.audience();
    let servers = Servers {
        callers: [
            tokio::spawn(listener::serve(
                listeners.client.into_std(),
                client,
                callers("clients"),
                Writes::Together,
                Some(audience),
                stop.clone(),
            )),
            tokio::spawn(listener::serve(
                listeners.worker.into_std(),
                worker,
                callers("workers"),
                Writes::AtOnce,
                None,
                stop.clone(),
            )),
        ],
        // On consensus' own runtime, down to the socket: load on the other one must not delay heartbeats.
        peers: parts.consensus.runtime().spawn(listener::serve(
            listeners.peer.into_std(),
            peer,
            manner(options.tls.as_ref().map(|tls| &tls.peers), "other coordinators"),
            Writes::AtOnce,
            None,
            until_cut_off,
        )),
        watchers: watchers(listeners.metrics, parts.scraper.clone(), stop),
    };
    println!("{ready}");
    std::io::stdout().flush().context("cannot write to stdout")?;
    Ok(servers)
}

fn manner(acceptor: Option<&Acceptor>, whose: &'static str) -> Manner {
    match acceptor {
        Some(acceptor) => Manner::Tls { acceptor: acceptor.clone(), whose },
        None => Manner::Plain,
    }
}

/// Serves those who watch, if they may.
fn watchers(listener: Option<TcpListener>, scraper: Option<Scraper>, stop: &CancellationToken) -> Option<Server> {
    let (listener, scraper) = listener.zip(scraper)?;
    match listener.local_addr() {
        Ok(address) => tracing::info!("metrics at http://{address}/metrics"),
        Err(error) => tracing::warn!(%error, "the address of the metrics cannot be read"),
    }
    Some(tokio::spawn(http::serve(listener, scraper, stop.clone())))
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
        "metrics": listeners.metrics.as_ref().map(address).transpose().context("cannot read the own address")?,
    });
    Ok(line.to_string())
}
