//! A proxy on a thread of its own, inside another daemon: what its clients do cannot hold up the daemon's own work, nor the
//! other way round.

use std::io;
use std::net::SocketAddr;

use flame_sdk::{Connection, Endpoints, FlameError, Options, TlsFiles};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::Proxy;

/// Threads for what blocks, such as looking up a name.
const BLOCKING_THREADS_MAX: usize = 2;

/// A proxy that serves. Dropping it stops it.
#[derive(Debug)]
pub struct OwnThread {
    address: SocketAddr,
    connection: Connection,
    runtime: Handle,
    _stop: oneshot::Sender<()>,
}

/// Why there is no proxy.
#[derive(Debug)]
pub enum NoProxy {
    /// The system has no thread, runtime or listener for it.
    System(io::Error),
    /// It would not know where to go.
    Endpoints(FlameError),
}

impl std::fmt::Display for NoProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::System(error) => error.fmt(f),
            Self::Endpoints(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NoProxy {}

impl OwnThread {
    /// Listens at `address`, `host:port`, and serves the cluster at these endpoints, and at those that are heard of; with
    /// these certificates, where they are encrypted.
    ///
    /// # Errors
    /// Says why there is none.
    pub fn start(name: &str, address: &str, endpoints: &[String], tls: TlsFiles) -> Result<Self, NoProxy> {
        let endpoints = Endpoints::parse(endpoints).map_err(NoProxy::Endpoints)?;
        let options = Options { discovers: true, tls, ..Options::default() };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .build()
            .map_err(NoProxy::System)?;
        let handle = runtime.handle().clone();
        let (proxy, connection) = {
            let _its_runtime = handle.enter();
            let listener = std::net::TcpListener::bind(address).map_err(NoProxy::System)?;
            let proxy = Proxy::on(listener).map_err(NoProxy::System)?;
            (proxy, Connection::open(endpoints, options).map_err(NoProxy::Endpoints)?)
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let (address, served) = (proxy.address(), connection.clone());
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let stopped = async {
                // Its owner is gone: that ends it too.
                let _or_dropped = stopped.await;
            };
            if let Err(error) = runtime.block_on(proxy.serve(served, stopped)) {
                tracing::error!(%error, "the proxy of the cluster serves no more");
            }
        });
        // It ends by itself.
        let _thread = thread.map_err(NoProxy::System)?;
        Ok(Self { address, connection, runtime: handle, _stop: stop })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// These are coordinators of the cluster too: their client endpoints.
    pub fn learn<T: AsRef<str>>(&self, endpoints: &[T]) {
        // Their connections are served on its thread as well.
        let _its_runtime = self.runtime.enter();
        self.connection.learn(endpoints);
    }
}
