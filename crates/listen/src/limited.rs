//! A listener's connections, never more than so many at a time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::{Stream, StreamExt, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::transport::server::{Connected, TcpConnectInfo, TcpIncoming};

/// Connections as they come, as long as fewer than `max` are open. Each holds what `held` gives for as long as it is open.
pub fn limited<T: Send>(
    incoming: TcpIncoming,
    max: usize,
    held: impl Fn() -> T + Send,
) -> impl Stream<Item = io::Result<Connection<T>>> {
    let room = Arc::new(Semaphore::new(max));
    stream::unfold((incoming, room, held), |(mut incoming, room, held)| async move {
        let place = room.clone().acquire_owned().await.ok()?;
        let connection = incoming.next().await?;
        Some((connection.map(|stream| Connection { stream, _place: place, _held: held() }), (incoming, room, held)))
    })
}

/// A connection that counts for as long as it is open.
#[derive(Debug)]
pub struct Connection<T = ()> {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
    _held: T,
}

impl<T> Connected for Connection<T> {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl<T: Unpin> AsyncRead for Connection<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<T: Unpin> AsyncWrite for Connection<T> {
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
    use tokio::net::TcpListener;

    use super::*;

    async fn incoming(max: usize) -> (SocketAddr, Pin<Box<dyn Stream<Item = io::Result<Connection>>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (address, Box::pin(limited(TcpIncoming::from(listener), max, || ())))
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
