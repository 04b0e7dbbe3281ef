//! A whole worker: puts its parts together and runs them.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use flame_clock::SharedClock;
use flame_metrics::Registrar;
use flame_proto::ha;
use flame_proxy::OwnThread;
use flame_telemetry::Exporter;
use flame_types::Incarnation;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::agent::{Agent, Farewell, Held, Identity};
use crate::executor::Parts;
use crate::gate::{Gate, Lease};
use crate::metrics::{self, WorkerMetrics};
use crate::options::Options;
use crate::shim::host::{Host, HostError};
use crate::{announce, proxy, resources, web};

/// Where Linux says which boot this is.
const BOOT_ID_FILE: &str = "/proc/sys/kernel/random/boot_id";

/// Reports of executors on their way to the agent.
const REPORTS_AHEAD: usize = 1024;

/// Why a worker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It would not know where to go.
    #[error("no coordinator is configured; name one with --coordinator http://HOST:8081")]
    NoCoordinators,
    /// It could not go there.
    #[error("coordinator {0:?} is not an address; write it like http://HOST:8081")]
    Coordinator(String),
    /// It could not check whom it meets there.
    #[error("coordinator {0:?} is reached over TLS, and no certificates are given to check it by")]
    NoTls(String),
    /// The folders cannot be used.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The kernel does not say which boot this is.
    #[error("cannot read {BOOT_ID_FILE}: {0}")]
    BootId(io::Error),
    /// Somebody else listens there.
    #[error("cannot listen on {address} for metrics: {source}; choose another address with --metrics, or off")]
    Metrics {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The system does not say what it has.
    #[error("cannot find out what this host has to give: {0}; say it with --resources cpu=2,mem=4g,gpu=0")]
    Resources(String),
}

/// Runs a worker until `stop` fires (or its sender is dropped), or the cluster sends it away. When this returns, every
/// service it started is gone.
///
/// # Errors
/// [`StartError`] when it does not even start.
pub async fn run(
    mut options: Options,
    clock: SharedClock,
    stop: oneshot::Receiver<()>,
) -> Result<Farewell, StartError> {
    check(&options)?;
    let boot_id = fs::read_to_string(BOOT_ID_FILE).map_err(StartError::BootId)?.trim().to_owned();
    let proxy = proxy::start(&mut options);
    let host = Arc::new(Host::open(&options, boot_id.clone()).await?);
    let identity = identify(&options, &clock, boot_id)?;
    tracing::info!(node = %identity.node, capacity = %identity.capacity, "worker started");
    let watchers = match options.metrics {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let address = watchers.as_ref().and_then(|listener| listener.local_addr().ok());
    announce::ready(&identity.node, address, proxy.as_ref().map(OwnThread::address));
    let (metrics, served) = metrics_of(watchers);

    let held = Held::new(options.limits.results_bytes_max);
    let (reports, inbox) = mpsc::channel(REPORTS_AHEAD);
    let lease = Lease::new();
    let parts = Parts { host, clock, reports, gate: Gate::new(held.gate(), &lease) };
    let agent = Agent::new(&options, identity, held, lease, parts, inbox, metrics).with_proxy(proxy);
    let farewell = agent.run(stop).await;
    if let Some(served) = served {
        served.abort();
    }
    Ok(farewell)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Metrics { address, source })
}

/// Serves metrics, if somebody may look.
fn metrics_of(listener: Option<TcpListener>) -> (WorkerMetrics, Option<JoinHandle<()>>) {
    let Some(listener) = listener else { return (WorkerMetrics::register(&Registrar::off()), None) };
    let exporter = Exporter::new(metrics::ALL);
    let metrics = WorkerMetrics::register(&exporter.registrar());
    (metrics, Some(tokio::spawn(web::serve(listener, exporter))))
}

fn check(options: &Options) -> Result<(), StartError> {
    if options.coordinators.is_empty() {
        return Err(StartError::NoCoordinators);
    }
    let is_address = |endpoint: &str| {
        let is_url = |uri: http::Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some();
        endpoint.parse::<http::Uri>().is_ok_and(is_url)
    };
    if options.tls.is_none()
        && let Some(secure) = options.coordinators.iter().find(|endpoint| endpoint.starts_with("https://"))
    {
        return Err(StartError::NoTls(secure.clone()));
    }
    match options.coordinators.iter().find(|endpoint| !is_address(endpoint)) {
        Some(endpoint) => Err(StartError::Coordinator(endpoint.clone())),
        None => Ok(()),
    }
}

fn identify(options: &Options, clock: &SharedClock, boot_id: String) -> Result<Identity, StartError> {
    let started_ms = u64::try_from(clock.wall().0).unwrap_or_default();
    let host = ha::Host {
        name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        boot_id,
        arch: std::env::consts::ARCH.to_owned(),
        os: std::env::consts::OS.to_owned(),
    };
    let capacity = match options.resources {
        Some(resources) => resources,
        None => resources::detect(|name| std::env::var(name).ok()).map_err(StartError::Resources)?,
    };
    Ok(Identity {
        node: options.name.clone(),
        incarnation: Incarnation { started_ms, nonce: rand::random() },
        host,
        capacity,
    })
}
