//! Serving one listener: how many connections it takes, and how much may be under way on each.
//!
//! A connection beyond the limit waits in the backlog of the system until another one ends. On a connection many streams
//! may be open, since one client may have a stream for each of thousands of sessions; but few calls are taken up at a
//! time, and the others wait on the client's side of the admission, where they hold nothing but their headers and what
//! the window of the connection lets through.

use std::io;
use std::time::Duration;

use flame_listen::encrypted::{Manner, shaken};
use flame_listen::limited;
use futures::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::{Connected, TcpIncoming};

use crate::consensus::Audience;

mod connection;

pub use connection::Writes;

/// Most connections of one listener.
pub const CONNECTIONS_MAX: usize = 10_000;

/// Most streams that are open on one connection.
pub const STREAMS_MAX: u32 = 16_384;

/// Most calls of one connection that are being answered. A stream counts until it is open.
pub const CALLS_MAX: usize = 256;

/// Most bytes that a client may send ahead on one stream.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// Most bytes that a client may send ahead on all streams of a connection together.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// How often an idle connection is probed: a client that vanished without a word must not hold streams for ever.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Serves a listener on the runtime this runs on, wherever it was bound. Those who connect are counted in `audience`.
///
/// # Errors
/// The listener cannot be used.
pub async fn serve(
    listener: io::Result<std::net::TcpListener>,
    routes: Routes,
    manner: Manner,
    writes: Writes,
    audience: Option<Audience>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener?)?;
    let seat = move || audience.as_ref().map(Audience::enter);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let connections = limited(incoming, CONNECTIONS_MAX, seat);
    match manner {
        Manner::Plain => answer(connections, routes, writes, stop).await,
        Manner::Tls { acceptor, whose } => answer(shaken(connections, acceptor, whose), routes, writes, stop).await,
    }
}

/// Answers on these connections. An encrypted one steps back before it encrypts, not when it shakes hands: there is one
/// frame to be written then, which nobody waits to join.
async fn answer<S>(
    connections: impl Stream<Item = io::Result<S>>,
    routes: Routes,
    writes: Writes,
    stop: CancellationToken,
) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let connections = connections.map(move |stream| stream.map(|stream| connection::writing(writes, stream)));
    Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .concurrency_limit_per_connection(CALLS_MAX)
        .add_routes(routes)
        .serve_with_incoming_shutdown(connections, stop.cancelled_owned())
        .await?;
    Ok(())
}
