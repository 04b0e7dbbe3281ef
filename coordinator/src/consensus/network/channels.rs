//! Kept connections: one set per peer, made when first needed, mended by themselves.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use flame_tls::Client;
use flame_tls::client::channel;
use tokio::runtime::Handle;
use tonic::transport::{Channel, Endpoint};

/// A peer that does not accept a connection in this time is not there.
const CONNECT_MAX: Duration = Duration::from_millis(100);

/// The same for a connection on which both sides show certificates first.
const SECURE_CONNECT_MAX: Duration = Duration::from_millis(500);

/// An idle connection is tried this often, so that a silent loss of the peer's host is noticed …
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(1);

/// … when it does not answer for this long.
const KEEP_ALIVE_ANSWER_MAX: Duration = Duration::from_secs(2);

/// Flow-control windows: a few frames of replication may be under way at once.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// The connections to one peer, one per purpose.
#[derive(Clone)]
pub(in crate::consensus) struct Kept {
    address: String,
    pub(in crate::consensus) entries: Channel,
    pub(in crate::consensus) heartbeats: Channel,
    pub(in crate::consensus) questions: Channel,
    pub(in crate::consensus) snapshots: Channel,
}

/// The connections to all peers.
pub(in crate::consensus) struct Channels {
    kept: Mutex<BTreeMap<u64, Kept>>,
    /// Where they live, whoever needs them first.
    runtime: Handle,
    /// Encrypts them; `None` for plaintext.
    tls: Option<Client>,
}

impl Channels {
    /// No connections yet; all will live on this runtime.
    pub(in crate::consensus) fn new(runtime: Handle, tls: Option<Client>) -> Self {
        Self { kept: Mutex::default(), runtime, tls }
    }

    /// The connections to a peer at this address; `None` when the address is not one. Nothing is connected before it
    /// is used. A peer has as many entries here as members have ever been: few.
    pub(in crate::consensus) fn of(&self, peer: u64, address: &str) -> Option<Kept> {
        let mut kept = self.kept.lock().expect("no code panics while it holds this lock");
        if let Some(known) = kept.get(&peer).filter(|known| known.address == address) {
            return Some(known.clone());
        }
        let tls = self.tls.as_ref();
        let endpoint = endpoint(address, if tls.is_some() { SECURE_CONNECT_MAX } else { CONNECT_MAX })?;
        let _on_runtime = self.runtime.enter();
        let connection = || channel(endpoint.clone(), tls);
        let fresh = Kept {
            address: address.to_owned(),
            entries: connection(),
            heartbeats: connection(),
            questions: connection(),
            snapshots: connection(),
        };
        kept.insert(peer, fresh.clone());
        Some(fresh)
    }
}

fn endpoint(address: &str, connect_max: Duration) -> Option<Endpoint> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).ok()?;
    Some(
        endpoint
            .connect_timeout(connect_max)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
            .keep_alive_timeout(KEEP_ALIVE_ANSWER_MAX)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES),
    )
}
