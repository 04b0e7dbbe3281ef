//! Serving one listener: how many connections it takes, and how much may be under way on each.
//!
//! A connection beyond the limit waits in the backlog of the system until another one ends. On a connection many streams
//! may be open, since one client may have a stream for each of thousands of sessions; but few calls are taken up at a
//! time, and the others wait on the client's side of the admission, where they hold nothing but their headers and what
//! the window of the connection lets through.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::{Connected, TcpConnectInfo, TcpIncoming};

use crate::consensus::{Audience, Seat};

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
    audience: Option<Audience>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener?)?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .concurrency_limit_per_connection(CALLS_MAX)
        .add_routes(routes)
        .serve_with_incoming_shutdown(limited(incoming, CONNECTIONS_MAX, audience), stop.cancelled_owned())
        .await?;
    Ok(())
}

/// Connections as they come, as long as fewer than `max` are open.
pub(crate) fn limited(
    incoming: TcpIncoming,
    max: usize,
    audience: Option<Audience>,
) -> impl Stream<Item = io::Result<Connection>> {
    let room = Arc::new(Semaphore::new(max));
    stream::unfold((incoming, room, audience), |(mut incoming, room, audience)| async move {
        let place = room.clone().acquire_owned().await.ok()?;
        let connection = incoming.next().await?;
        let seat = audience.as_ref().map(Audience::enter);
        let connection = connection.map(|stream| Connection { stream, _place: place, _seat: seat });
        Some((connection, (incoming, room, audience)))
    })
}

/// A connection that counts for as long as it is open.
pub(crate) struct Connection {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
    _seat: Option<Seat>,
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use futures::FutureExt;

    use super::*;

    async fn incoming(max: usize) -> (SocketAddr, Pin<Box<dyn Stream<Item = io::Result<Connection>>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (address, Box::pin(limited(TcpIncoming::from(listener), max, None)))
    }

    #[tokio::test]
    async fn a_connection_beyond_the_limit_waits_until_another_one_ends() {
        let (address, mut incoming) = incoming(2).await;
        let mut clients = Vec::new();
        let mut taken = Vec::new();
        for _ in 0..2 {
            clients.push(TcpStream::connect(address).await.unwrap());
            taken.push(incoming.next().await.unwrap().unwrap());
        }
        clients.push(TcpStream::connect(address).await.unwrap());
        assert!(incoming.next().now_or_never().is_none(), "the third one is not taken");
        drop(taken.pop());
        incoming.next().await.unwrap().unwrap();
    }
}
