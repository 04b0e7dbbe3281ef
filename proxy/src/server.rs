//! Listening, serving, stopping.
//!
//! **Invariant:** what is served is plaintext, so it is for this machine: whoever binds it elsewhere has said so. Whoever
//! can connect acts with the rights of this side.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use flame_listen::limited;
use flame_sdk::Connection;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::service::Service;

/// Most connections; one more waits until another one ends.
pub const CONNECTIONS_MAX: usize = 1024;

/// Most streams that are open on one connection, as on the coordinators.
pub const STREAMS_MAX: u32 = 16_384;

/// Most calls of one connection that are being answered. A stream counts until it is open.
pub const CALLS_MAX: usize = 256;

/// Most bytes that a client may send ahead on one stream, and on all streams of its connection together.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// How often a connection is probed: a client that vanished without a word must not hold streams for ever.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How long calls that are being answered may go on when the proxy is told to stop.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// How often it looks who the members of the cluster are.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The same until somebody has said so for the first time.
const LOOK_FIRST_EVERY: Duration = Duration::from_secs(1);

/// A proxy that listens.
#[derive(Debug)]
pub struct Proxy {
    listener: TcpListener,
    address: SocketAddr,
    /// Whether it looks by itself who the members are.
    looks_around: bool,
}

impl Proxy {
    /// Listens; nobody is served yet.
    ///
    /// # Errors
    /// What the system says.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, looks_around: true })
    }

    /// The same on a listener that is there, for an owner that tells it who the members are: as long as nobody comes it asks
    /// no coordinator, and holds no connection to any. Must be called inside the runtime that is to serve.
    pub(crate) fn on(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, looks_around: false })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves over this client until `stop`. Then streams end with UNAVAILABLE, and calls that are being answered may go on
    /// for a moment.
    ///
    /// # Errors
    /// When the listener cannot be used.
    pub async fn serve(
        self,
        connection: Connection,
        stop: impl Future<Output = ()>,
    ) -> Result<(), tonic::transport::Error> {
        let stopping = CancellationToken::new();
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        let serving = Server::builder()
            .http2_keepalive_interval(Some(KEEP_ALIVE))
            .http2_keepalive_timeout(Some(KEEP_ALIVE))
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_concurrent_streams(STREAMS_MAX)
            .concurrency_limit_per_connection(CALLS_MAX)
            .serve_with_incoming_shutdown(
                Service::new(connection.clone(), stopping.clone()),
                limited(incoming, CONNECTIONS_MAX, || ()),
                stopping.clone().cancelled_owned(),
            );
        tokio::pin!(serving);
        tokio::select! {
            served = &mut serving => return served,
            () = look_around(&connection), if self.looks_around => {}
            () = stop => {}
        }
        stopping.cancel();
        // Whoever is not done by then loses its connection.
        timeout(STOP_GRACE, serving).await.unwrap_or(Ok(()))
    }
}

/// Coordinators come and go: those that are new are heard of while one of the others still answers.
async fn look_around(connection: &Connection) {
    loop {
        let every = match connection.members().await {
            Ok(_) => LOOK_EVERY,
            Err(_) => LOOK_FIRST_EVERY,
        };
        sleep(every).await;
    }
}
