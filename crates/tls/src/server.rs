//! The side that is connected to.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{Error, ServerConfig};
pub use tokio_rustls::server::TlsStream;

use crate::client::Client;
use crate::files::{File, Identity, pair};
use crate::peers::PeersOnly;
use crate::refusal::Refusal;
use crate::{HTTP2, provider};

/// Longest time until the other side has said what it has to.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How long, and for how many bytes, one that was turned away is listened to so that it hears why.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
const FAREWELL_BYTES_MAX: u64 = 1 << 20;

/// How long one that speaks in plaintext may take to its first call before it hears that nobody will answer.
const FIRST_CALL_WAIT: Duration = Duration::from_millis(50);

/// What plaintext HTTP/2 begins with; a TLS connection never does.
const PLAIN_HTTP2: u8 = b'P';

/// The settings of a coordinator, as an error names them: certificate, key, authority.
const NAMES: [&str; 3] = ["cluster.tls.cert_file", "cluster.tls.key_file", "cluster.tls.ca_file"];

/// The files of a coordinator, or of another daemon that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFiles {
    /// Its certificate, for all three listeners and for its own connections to other coordinators.
    pub cert: File,
    /// Its key.
    pub key: File,
    /// The authority that has signed the certificates of all coordinators.
    pub ca: File,
    /// The authority that has signed those of clients and workers; `None` when they need none.
    pub client_ca: Option<File>,
}

impl ServerFiles {
    /// The files that are set; `None` when none asks for TLS. The authority alone does not: workers that share the
    /// configuration trust it.
    ///
    /// # Errors
    /// Something is missing.
    pub fn of(
        cert: Option<File>,
        key: Option<File>,
        ca: Option<File>,
        client_ca: Option<File>,
    ) -> Result<Option<Self>, Refusal> {
        Self::named(cert, key, ca, client_ca, NAMES)
    }

    /// The same for another daemon, whose settings of certificate, key and authority have these names.
    ///
    /// # Errors
    /// Something is missing.
    pub fn named(
        cert: Option<File>,
        key: Option<File>,
        ca: Option<File>,
        client_ca: Option<File>,
        names: [&'static str; 3],
    ) -> Result<Option<Self>, Refusal> {
        let missing = |given: File, missing, why| Refusal::Missing { given: given.named, missing, why };
        match (pair(cert, key, (names[0], names[1]))?, ca, client_ca) {
            (Some((cert, key)), Some(ca), client_ca) => Ok(Some(Self { cert, key, ca, client_ca })),
            (Some((cert, _)), None, _) => {
                Err(missing(cert, names[2], "daemons know each other by the authority in it"))
            }
            (None, _, Some(client_ca)) => {
                Err(missing(client_ca, names[0], "clients can be asked for certificates over TLS only"))
            }
            (None, _, None) => Ok(None),
        }
    }

    /// Reads and checks them.
    ///
    /// # Errors
    /// [`Refusal`] says which file is wrong, and how.
    pub fn load(&self) -> Result<ServerSide, Refusal> {
        let identity = Identity::read(&self.cert, &self.key)?;
        let authorities = self.ca.authorities()?;
        let wrong_ca = |why: String| Refusal::Unusable { file: self.ca.clone(), why };
        let peers = PeersOnly::new(authorities.clone()).map_err(|error| wrong_ca(error.to_string()))?;
        peers.check(&identity.chain).map_err(|error| {
            let why = crate::verdict::words(&error);
            Refusal::NotAccepted { cert: self.cert.clone(), ca: self.ca.clone(), why }
        })?;
        let clients: Option<Arc<dyn ClientCertVerifier>> = match &self.client_ca {
            Some(file) => {
                let builder = WebPkiClientVerifier::builder_with_provider(file.authorities()?, provider());
                let wrong =
                    |error: &dyn std::fmt::Display| Refusal::Unusable { file: file.clone(), why: error.to_string() };
                Some(builder.build().map_err(|error| wrong(&error))?)
            }
            None => None,
        };
        Ok(ServerSide {
            callers: self.acceptor(&identity, clients)?,
            peers: self.acceptor(&identity, Some(Arc::new(peers)))?,
            to_peers: Client::with(authorities, Some(&identity)).map_err(|error| self.unusable(&error))?,
        })
    }

    fn acceptor(&self, identity: &Identity, clients: Option<Arc<dyn ClientCertVerifier>>) -> Result<Acceptor, Refusal> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| self.unusable(&error))?;
        let builder = match clients {
            Some(clients) => builder.with_client_cert_verifier(clients),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(|error| self.unusable(&error))?;
        config.alpn_protocols = vec![HTTP2.to_vec()];
        Ok(Acceptor { inner: TlsAcceptor::from(Arc::new(config)) })
    }

    fn unusable(&self, error: &Error) -> Refusal {
        Refusal::Unusable { file: self.cert.clone(), why: error.to_string() }
    }
}

/// What a coordinator needs of TLS.
#[derive(Clone)]
pub struct ServerSide {
    /// Takes clients and workers.
    pub callers: Acceptor,
    /// Takes other coordinators, and nobody else.
    pub peers: Acceptor,
    /// Connects to other coordinators.
    pub to_peers: Client,
}

impl std::fmt::Debug for ServerSide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerSide").finish_non_exhaustive()
    }
}

/// Makes encrypted connections of those that come in.
#[derive(Clone)]
pub struct Acceptor {
    inner: TlsAcceptor,
}

/// Why somebody was turned away.
#[derive(Debug, thiserror::Error)]
pub enum TurnedAway {
    /// It has not said a word, or not in time: a probe of a port, a connection that was given up.
    #[error("it said nothing in time, or went away")]
    Silent,
    /// It speaks HTTP/2 without TLS.
    #[error("it speaks without TLS (http:// instead of https://)")]
    Plaintext,
    /// The handshake failed.
    #[error("{0}")]
    Handshake(String),
}

impl Acceptor {
    /// Takes a connection on which `first` is the first byte that came. Whoever is turned away hears why, as far as its
    /// protocol has words for that.
    ///
    /// # Errors
    /// [`TurnedAway`] says why.
    pub async fn accept<S>(&self, mut stream: S, first: u8) -> Result<TlsStream<S>, TurnedAway>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if first == PLAIN_HTTP2 {
            // A word that comes before its first call is about the connection alone, and some libraries keep it to themselves.
            let _ = timeout(FIRST_CALL_WAIT, swallow(&mut stream)).await;
            // It may be gone.
            let _ = stream.write_all(&speak_tls()).await;
            see_off(stream).await;
            return Err(TurnedAway::Plaintext);
        }
        match timeout(HANDSHAKE_MAX, self.inner.accept(stream).into_fallible()).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err((error, stream))) => {
                let why = why(&error);
                // What is thrown away unread would take the alert along that says why.
                see_off(stream).await;
                Err(why)
            }
            Err(_) => Err(TurnedAway::Silent),
        }
    }
}

fn why(error: &io::Error) -> TurnedAway {
    match error.get_ref().and_then(|error| error.downcast_ref::<Error>()) {
        Some(error) => TurnedAway::Handshake(crate::verdict::words(error)),
        None => TurnedAway::Silent,
    }
}

/// Ends a connection so that the other side reads what was sent: an end that leaves bytes unread would be a reset, and
/// might overtake it.
async fn see_off(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let farewell = async {
        stream.shutdown().await?;
        swallow(&mut stream).await
    };
    // Whoever does not listen is not waited for.
    let _ = timeout(FAREWELL_MAX, farewell).await;
}

/// Reads what nobody wants.
async fn swallow(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<u64> {
    tokio::io::copy(&mut stream.take(FAREWELL_BYTES_MAX), &mut tokio::io::sink()).await
}

/// HTTP/2 for "not without TLS": settings, then GOAWAY for INADEQUATE_SECURITY with a word for people. Nothing that was
/// asked on this connection was done, which the stream number 0 says.
fn speak_tls() -> Vec<u8> {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GOAWAY: u8 = 7;
    const LAST_STREAM: [u8; 4] = [0; 4];
    const INADEQUATE_SECURITY: [u8; 4] = [0, 0, 0, 0x0c];
    const WORD: &[u8] = b"this port speaks TLS only; use https://";
    let length = u8::try_from(LAST_STREAM.len() + INADEQUATE_SECURITY.len() + WORD.len()).expect("one short sentence");
    let mut frames = SETTINGS.to_vec();
    frames.extend([0, 0, length, GOAWAY, 0, 0, 0, 0, 0]);
    frames.extend(LAST_STREAM);
    frames.extend(INADEQUATE_SECURITY);
    frames.extend(WORD);
    frames
}
