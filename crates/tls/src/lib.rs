//! TLS as all daemons and clients of Flame use it: rustls with ring, and nothing of it elsewhere.
//!
//! | module | holds |
//! |---|---|
//! | [`files`] | files of certificates and keys, read and checked |
//! | [`refusal`] | why they cannot be used, and which setting to mend |
//! | [`server`] | the side that is connected to: of clients and workers, and of other coordinators |
//! | [`client`] | the side that connects |
//! | [`verdict`] | why two sides do not come together that will not by trying again |
//!
//! **Invariant:** files are read once, when a program starts: what is wrong with them is said then. Renewed files count
//! after a restart.
//! **Invariant:** a connection is up for whoever made it only when the other side has taken its certificate, too. By TLS
//! 1.3 alone it would be up before, and a refusal would look like an answer that was lost.
//! **Invariant:** coordinators let in as coordinators only those whose certificate is good for a server as well: the
//! certificate of a client or a worker, by the same authority, does not open the listener for peers.

pub mod client;
pub mod files;
mod peers;
pub mod refusal;
pub mod server;
pub mod verdict;

use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

pub use client::{Client, ClientFiles};
pub use files::File;
pub use refusal::Refusal;
pub use server::{Acceptor, ServerFiles, ServerSide};
pub use verdict::{Settings, Verdict};

/// HTTP/2, as both sides agree on it during the handshake.
const HTTP2: &[u8] = b"h2";

/// What web servers speak that know nothing newer.
const HTTP1: &[u8] = b"http/1.1";

/// The one library of cryptography: named wherever one is wanted, so that no feature of somebody else's chooses another.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
