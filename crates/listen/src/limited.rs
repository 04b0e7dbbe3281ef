//! A listener's connections, never more than so many at a time.

use std::io;
use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::transport::server::TcpIncoming;

use crate::beside::{Beside, With};

/// Connections as they come, as long as fewer than `max` are open. Each holds what `held` gives for as long as it is open.
pub fn limited<T: Send>(
    incoming: TcpIncoming,
    max: usize,
    held: impl Fn() -> T + Send,
) -> impl Stream<Item = io::Result<Connection<T>>> {
    let room = Arc::new(Semaphore::new(max));
    stream::unfold((incoming, room, held), |(mut incoming, room, held)| async move {
        let counted = room.clone().acquire_owned().await.ok()?;
        let connection = incoming.next().await?;
        let place = |stream| With::new(stream, Place { _counted: counted, _held: held() });
        Some((connection.map(place), (incoming, room, held)))
    })
}

/// A connection that counts for as long as it is open.
pub type Connection<T = ()> = With<TcpStream, Place<T>>;

/// The place of a connection, and what it holds.
#[derive(Debug)]
pub struct Place<T> {
    _counted: OwnedSemaphorePermit,
    _held: T,
}

impl<T> Beside for Place<T> {}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::pin::Pin;

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
