//! A whole cache: puts its parts together and serves them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use flame_clock::SharedClock;
use flame_listen::encrypted::shaken;
use flame_listen::limited;
use flame_metrics::Registrar;
use flame_telemetry::Exporter;
use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::{Connected, TcpIncoming};
use tonic_health::ServingStatus;
use tower::util::MapRequestLayer;

use crate::arena::{Arena, Local, Segment, Served};
use crate::directory::{Alone, CacheNode, Directory};
use crate::flight::FlightCache;
use crate::inflow::with_room;
use crate::limits::{CALLS_MAX, CONNECTIONS_MAX};
use crate::metrics::{self, ArenaMetrics, CacheMetrics, StoreMetrics};
use crate::objects::{Objects, Peers};
use crate::options::Options;
use crate::own::OwnCache;
use crate::published::PublishedCache;
use crate::store::Store;
use crate::store::disk::OpenError;
use crate::{announce, web};

/// Most bytes that a client may send ahead on one stream, and on all streams of a connection together.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// Bytes of one frame: objects are large, and each frame costs.
const FRAME_BYTES: u32 = 1 << 20;

/// How often an idle connection is probed.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How long calls that are under way may take to end once the cache stops.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Why a cache does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its folder cannot be used.
    #[error(transparent)]
    Folder(#[from] OpenError),
    /// No memory can be shared.
    #[error("cannot share memory with clients of this host: {0}; set cache.arena to 0 to do without")]
    Arena(#[source] io::Error),
    /// Somebody else listens there.
    #[error("cannot listen on {address}: {source}; choose another address with {flag}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The flag that chooses it.
        flag: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

/// A cache that serves. It ends when it is told to stop, or is dropped.
pub struct Running {
    /// Where clients reach it.
    pub endpoint: String,
    /// Where it listens.
    pub address: SocketAddr,
    store: Store,
    directory: Arc<dyn Directory>,
    stop: CancellationToken,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
    watched: Option<JoinHandle<()>>,
    _arena: Option<Served>,
}

impl Running {
    /// Opens the folder and begins to serve, alone.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way.
    pub async fn start(options: Options, clock: SharedClock) -> Result<Self, StartError> {
        Self::start_in(options, clock, |node, _, _| Arc::new(Alone::new(node))).await
    }

    /// The same as one of several, by the directory that is made for it.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way.
    pub async fn start_in(
        options: Options,
        clock: SharedClock,
        directory: impl FnOnce(CacheNode, &Store, &Peers) -> Arc<dyn Directory>,
    ) -> Result<Self, StartError> {
        let watchers = match options.metrics {
            Some(address) => Some(bind(address, "--metrics").await?),
            None => None,
        };
        let metrics_address = watchers.as_ref().and_then(|listener| listener.local_addr().ok());
        let exporter = watchers.as_ref().map(|_| Exporter::new(metrics::ALL));
        let (store_metrics, cache_metrics, arena_metrics) = handles(exporter.as_ref());

        let store_options = options.store.clone();
        let opening = tokio::task::spawn_blocking(move || Store::open(&store_options, store_metrics));
        let store = opening.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        let listener = bind(options.listen, "--listen").await?;
        let address = listener.local_addr().map_err(|source| not_there(options.listen, "--listen", source))?;
        let scheme = if options.tls.is_some() { "grpc+tls" } else { "grpc" };
        let endpoint = options.advertise.clone().unwrap_or_else(|| format!("{scheme}://{address}"));
        let node = CacheNode { name: options.name.clone(), endpoint: endpoint.clone() };
        let peers = Peers::new(options.peers.clone());
        let directory = directory(node, &store, &peers);
        let objects = Objects::new(store.clone(), directory.clone(), peers, clock, options.object_max, cache_metrics);

        let segment = match options.arena {
            0 => None,
            bytes => Some(Segment::new(bytes).map_err(StartError::Arena)?),
        };
        let arena = segment.clone().map(|segment| {
            Served::start(Arena::new(segment, store.clone()), objects.clone(), arena_metrics).map_err(StartError::Arena)
        });
        let arena = arena.transpose()?;

        let stop = CancellationToken::new();
        let routes = routes(objects, arena.as_ref().map(|arena| arena.local.clone())).await;
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let connections = limited(incoming, CONNECTIONS_MAX, || ());
        let (held, stopped) = (store.clone(), stop.clone());
        let serving = match options.tls {
            Some(acceptor) => {
                let connections = shaken(connections, acceptor, "clients of the cache");
                tokio::spawn(serve(connections, routes, held, stopped))
            }
            None => tokio::spawn(serve(connections, routes, held, stopped)),
        };
        let watched = watchers
            .zip(exporter)
            .map(|(listener, exporter)| tokio::spawn(web::serve(listener, exporter, store.clone(), segment)));
        let held = store.held();
        tracing::info!(name = options.name, endpoint, objects = held.objects, disk_bytes = held.disk, "cache started");
        announce::ready(&options.name, &endpoint, held.objects, metrics_address);
        Ok(Self { endpoint, address, store, directory, stop, serving, watched, _arena: arena })
    }

    /// Serves until `stop` is over. Then calls may end, and what is in memory only goes to disk.
    ///
    /// # Errors
    /// The listener has failed.
    pub async fn until(mut self, stop: impl Future<Output = ()>) -> Result<(), tonic::transport::Error> {
        let served = tokio::select! {
            () = stop => {
                self.stop.cancel();
                // Whoever goes on for longer is cut off.
                timeout(DRAIN_MAX, &mut self.serving).await.unwrap_or(Ok(Ok(())))
            }
            ended = &mut self.serving => ended,
        };
        self.directory.leave().await;
        if let Err(error) = self.store.flush().await {
            tracing::error!(%error, "objects that were in memory only are lost");
        }
        served.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.serving.abort();
        if let Some(watched) = &self.watched {
            watched.abort();
        }
    }
}

/// Handles that do nothing where nobody may look.
fn handles(exporter: Option<&Exporter>) -> (StoreMetrics, CacheMetrics, ArenaMetrics) {
    let registrar = match exporter {
        Some(exporter) => exporter.registrar(),
        None => Registrar::off(),
    };
    (StoreMetrics::register(&registrar), CacheMetrics::register(&registrar), ArenaMetrics::register(&registrar))
}

async fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| not_there(address, flag, source))
}

fn not_there(address: SocketAddr, flag: &'static str, source: io::Error) -> StartError {
    StartError::Listen { address, flag, source }
}

/// All services of the one port.
async fn routes(objects: Objects, local: Option<Local>) -> Routes {
    let (health, health_service) = tonic_health::server::health_reporter();
    for service in ["liveness", "readiness"] {
        health.set_service_status(service, ServingStatus::Serving).await;
    }
    let routes = Routes::new(FlightCache::server(objects.clone()))
        .add_service(PublishedCache::server(objects.clone()))
        .add_service(OwnCache::server(objects, local))
        .add_service(health_service);
    routes.prepare()
}

async fn serve<S>(
    connections: impl Stream<Item = io::Result<S>>,
    routes: Routes,
    store: Store,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error>
where
    S: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .concurrency_limit_per_connection(CALLS_MAX)
        .layer(MapRequestLayer::new(move |call| with_room(&store, call)))
        .add_routes(routes)
        .serve_with_incoming_shutdown(connections, stop.cancelled_owned())
        .await
}
