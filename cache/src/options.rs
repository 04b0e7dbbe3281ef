//! What a cache can be told. Files, environment and flags are merged before (`flame-config`, [`crate::cli`]).

use std::net::SocketAddr;

use flame_tls::{Acceptor, Client};

use crate::store::StoreOptions;

/// Everything a cache can be told.
#[derive(Clone)]
pub struct Options {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where clients reach it; where it listens when unset.
    pub advertise: Option<String>,
    /// Where objects are, and how many.
    pub store: StoreOptions,
    /// Most bytes of one object.
    pub object_max: u64,
    /// Bytes of memory that is shared with clients of this host; 0: none.
    pub arena: u64,
    /// Where metrics are served; `None` when nobody may look.
    pub metrics: Option<SocketAddr>,
    /// What encrypts connections; `None` for plaintext.
    pub tls: Option<Acceptor>,
    /// What encrypts connections to other caches.
    pub peers: Option<Client>,
}
