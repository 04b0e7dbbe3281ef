//! Connections to coordinators. One per endpoint is kept: who tells of a new leader may become it.
//!
//! **Invariant:** a worker whose configured coordinators are all reached over TLS speaks to no other one in plaintext,
//! whoever names it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flame_tls::client::channel;
use tonic::transport::{Channel, Endpoint};

/// Longest time to establish a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// After so long a quiet connection is asked whether it still stands. Longer than the time between two acknowledged
/// heartbeats, which prove the same: it is asked only where there are none, as on the connection to the second
/// coordinator. With a thousand workers a ping each second cost the leader as much as their heartbeats.
const PING_EVERY: Duration = Duration::from_secs(5);

/// How long the answer may take.
const PING_WITHIN: Duration = Duration::from_secs(2);

/// Window of the stream and of the connection, in bytes.
const WINDOW_BYTES: u32 = 8 << 20;

/// Most connections that are kept.
const CHANNELS_MAX: usize = 64;

/// Connections to coordinators. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Channels {
    open: Arc<Mutex<BTreeMap<String, Channel>>>,
    tls: Tls,
}

/// What connections are encrypted with, and which.
#[derive(Clone, Debug, Default)]
struct Tls {
    client: Option<flame_tls::Client>,
    /// No other ones are made.
    always: bool,
}

impl Channels {
    /// None yet. `coordinators` are the configured endpoints.
    pub(crate) fn new(client: Option<flame_tls::Client>, coordinators: &[String]) -> Self {
        let always = coordinators.iter().all(|endpoint| is_secure(endpoint));
        Self { open: Arc::default(), tls: Tls { client, always } }
    }

    /// The connection to an endpoint; it is made when it is first used.
    pub(crate) fn get(&self, endpoint: &str) -> Result<Channel, tonic::transport::Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = open.get(endpoint) {
            return Ok(channel.clone());
        }
        let secure = self.tls.always || is_secure(endpoint);
        // Without one there is nobody to trust: told of an encrypted coordinator, a worker in plaintext cannot use it.
        let channel = channel(configure(endpoint)?, self.tls.client.as_ref().filter(|_| secure));
        if open.len() >= CHANNELS_MAX {
            open.clear();
        }
        open.insert(endpoint.to_owned(), channel.clone());
        Ok(channel)
    }

    /// Forgets a connection that failed: the next use makes a new one.
    pub(crate) fn forget(&self, endpoint: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(endpoint);
    }
}

fn is_secure(endpoint: &str) -> bool {
    endpoint.starts_with("https://")
}

fn configure(endpoint: &str) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(endpoint.replacen("https://", "http://", 1))?;
    Ok(endpoint
        .connect_timeout(CONNECT_WITHIN)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WITHIN)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES))
}
