//! The side that connects.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncBufRead;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, Error, ProtocolVersion, RootCertStore};
use tonic::transport::{Channel, Endpoint};

use crate::files::{File, Identity, pair};
use crate::refusal::Refusal;
use crate::{HTTP1, HTTP2, provider};

/// Longest time to connect where the endpoint has none of its own.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// How long the other side may take to its first word. Servers have one at once: tickets for another connection, and
/// HTTP/2's settings. One that has none is used all the same.
const FIRST_WORD_MAX: Duration = Duration::from_secs(1);

/// The files of whoever connects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientFiles {
    /// The authorities that are trusted; `None` for those of the system.
    pub ca: Option<File>,
    /// Its own certificate and key, if it has one to show.
    pub identity: Option<(File, File)>,
}

impl ClientFiles {
    /// The files that are set.
    ///
    /// # Errors
    /// A certificate without its key, or the other way round. `names` are the settings of both.
    pub fn of(
        ca: Option<File>,
        cert: Option<File>,
        key: Option<File>,
        names: (&'static str, &'static str),
    ) -> Result<Self, Refusal> {
        Ok(Self { ca, identity: pair(cert, key, names)? })
    }

    /// Reads and checks them.
    ///
    /// # Errors
    /// [`Refusal`] says which file is wrong, and how.
    pub fn load(&self) -> Result<Client, Refusal> {
        let roots = match &self.ca {
            Some(file) => file.authorities()?,
            None => system()?,
        };
        let identity = match &self.identity {
            Some((cert, key)) => Some(Identity::read(cert, key)?),
            None => None,
        };
        Client::with(roots, identity.as_ref()).map_err(|error| {
            let file = self.identity.as_ref().map(|(cert, _)| cert.clone()).or_else(|| self.ca.clone());
            let file = file.unwrap_or_else(|| File::new("the system", "its certificates"));
            Refusal::Unusable { file, why: error.to_string() }
        })
    }
}

/// The authorities that this system trusts.
fn system() -> Result<Arc<RootCertStore>, Refusal> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(|| "there is no list of them".to_owned(), ToString::to_string);
        return Err(Refusal::NoRoots { why });
    }
    Ok(Arc::new(roots))
}

/// Makes encrypted connections. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    pub(crate) fn with(roots: Arc<RootCertStore>, identity: Option<&Identity>) -> Result<Self, Error> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match identity {
            Some(identity) => builder.with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![HTTP2.to_vec()];
        Ok(Self { config: Arc::new(config) })
    }

    /// A connection to a web server that speaks HTTP/1.1.
    ///
    /// # Errors
    /// Those of the network, and what does not fit about certificates.
    pub async fn open_http1(&self, host: &str, port: u16) -> io::Result<TlsStream<TcpStream>> {
        let mut config = (*self.config).clone();
        config.alpn_protocols = vec![HTTP1.to_vec()];
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{host:?} is no host that a certificate can name"))
        })?;
        let stream = TcpStream::connect((host, port)).await?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    fn connector(
        &self,
        within: Duration,
    ) -> impl tower::Service<Uri, Response = TokioIo<TlsStream<TcpStream>>, Error = io::Error, Future: Send> + Send + 'static
    {
        let config = self.config.clone();
        tower::service_fn(move |uri: Uri| {
            let config = config.clone();
            async move {
                // Within its own limit: what ends here has certainly sent nothing.
                let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {within:?}"));
                Ok(TokioIo::new(timeout(within, open(config, &uri)).await.map_err(late)??))
            }
        })
    }
}

/// A channel to a server at `http://host:port`, with what else the endpoint says, that connects when it is first used and
/// again when it must: encrypted by `client`, or in plaintext without one.
#[must_use]
pub fn channel(endpoint: Endpoint, client: Option<&Client>) -> Channel {
    let Some(client) = client else { return endpoint.connect_lazy() };
    let within = endpoint.get_connect_timeout().unwrap_or(CONNECT_MAX);
    let mut origin = endpoint.uri().clone().into_parts();
    origin.scheme = Some(http::uri::Scheme::HTTPS);
    let secure = match Uri::from_parts(origin) {
        Ok(origin) => endpoint.origin(origin),
        Err(_) => endpoint,
    };
    // The library's own limit would end an attempt without saying that nothing was sent: ours comes first.
    secure.connect_timeout(within * 2).connect_with_connector_lazy(client.connector(within))
}

async fn open(config: Arc<ClientConfig>, uri: &Uri) -> io::Result<TlsStream<TcpStream>> {
    const HTTPS_PORT: u16 = 443;
    let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{uri} {why}"));
    let host = uri.host().ok_or_else(|| wrong("has no host"))?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name = ServerName::try_from(host.to_owned()).map_err(|_| wrong("has no host that a certificate can name"))?;
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(HTTPS_PORT))).await?;
    stream.set_nodelay(true)?;
    let mut stream = TlsConnector::from(config).connect(name, stream).await?;
    if stream.get_ref().1.alpn_protocol() != Some(HTTP2) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the server speaks TLS, but not HTTP/2 over it"));
    }
    first_word(&mut stream).await?;
    Ok(stream)
}

/// By TLS 1.3 a client is done before the server has looked at its certificate. The next thing that comes tells whether
/// that was taken; it stays to be read.
async fn first_word(stream: &mut TlsStream<TcpStream>) -> io::Result<()> {
    if stream.get_ref().1.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return Ok(());
    }
    let heard = poll_fn(|context| {
        match Pin::new(&mut *stream).poll_fill_buf(context) {
            Poll::Ready(Ok([])) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Poll::Ready(Ok(_)) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => {}
        }
        if stream.get_ref().1.tls13_tickets_received() > 0 { Poll::Ready(Ok(())) } else { Poll::Pending }
    });
    timeout(FIRST_WORD_MAX, heard).await.unwrap_or(Ok(()))
}
