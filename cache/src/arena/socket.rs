//! Who may come: the socket of the arena.
//!
//! It has a name in the abstract namespace, where only processes of this host (and of this network namespace) find it, and
//! which is gone with the process. Who comes must say a token that the gRPC port tells: so whoever may use the arena may use
//! that port, and whoever says it means this cache and no other of the same host.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

use crate::arena::connection;
use crate::arena::room::Arena;
use crate::limits::ARENA_CONNECTIONS_MAX;
use crate::metrics::ArenaMetrics;
use crate::objects::Objects;

/// Pause after the system had no descriptor for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What clients must know to come.
#[derive(Clone, Debug)]
pub struct Local {
    /// Name of the socket.
    pub socket: String,
    /// What to say there.
    pub token: String,
}

/// A socket that is served until this is dropped.
pub struct Served {
    /// What clients must know.
    pub local: Local,
    accepting: JoinHandle<()>,
}

impl Served {
    /// Begins to serve.
    ///
    /// # Errors
    /// The system has no such sockets.
    pub fn start(arena: Arena, objects: Objects, metrics: ArenaMetrics) -> io::Result<Self> {
        let local = Local {
            socket: format!("flame-cache-{}", Uuid::new_v4().simple()),
            token: Uuid::new_v4().simple().to_string(),
        };
        let listener = StdListener::bind_addr(&SocketAddr::from_abstract_name(local.socket.as_bytes())?)?;
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        let host = Host { arena, objects, metrics, token: local.token.clone() };
        Ok(Self { local, accepting: tokio::spawn(accept(listener, Arc::new(host))) })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Its connections end with it.
        self.accepting.abort();
    }
}

/// What all connections share.
pub(super) struct Host {
    pub(super) arena: Arena,
    pub(super) objects: Objects,
    pub(super) metrics: ArenaMetrics,
    pub(super) token: String,
}

async fn accept(listener: UnixListener, host: Arc<Host>) {
    let places = Arc::new(Semaphore::new(ARENA_CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let host = host.clone();
                connections.spawn(async move {
                    serve(stream, &host).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a client of the arena cannot come");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: UnixStream, host: &Host) {
    if let Err(error) = connection::serve(stream, host).await {
        tracing::warn!(%error, "a client of the arena is sent away");
    }
}
