//! One connection of a listener, which may wait a moment with what it sends.
//!
//! HTTP/2 puts the frames of many calls on one connection, and hands them to the system whenever the task of the
//! connection runs: which is after *each* answer, since whoever finishes an answer wakes it, and the runtime runs first
//! what was woken last. With hundreds of small answers at a time most of a call's price was its own trip through the
//! network stack. So the task of the connection steps back once before it writes, behind everything else that is ready to
//! run, and whatever that answers leaves together with it. Nothing waits for a clock: where nothing else is ready, it
//! runs again at once.
//!
//! **Invariant:** between two flushes it steps back at most once: what is to be sent is sent.

use std::task::{Context, Poll};

use flame_listen::beside::{Beside, With};

/// When what is to be sent goes to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// As soon as the connection has it: for one with few frames at a time, for which stepping back would only cost.
    AtOnce,
    /// Behind everything that is ready to run, together with what comes from there.
    Together,
}

/// A connection with a way to write.
pub(super) type Connection<S> = With<S, Turn>;

/// Whose turn it is.
pub(super) struct Turn {
    writes: Writes,
    /// The connection has stepped back since it was last flushed.
    has_stepped_back: bool,
}

/// The connection, writing in this way.
pub(super) fn writing<S>(writes: Writes, stream: S) -> Connection<S> {
    With::new(stream, Turn { writes, has_stepped_back: false })
}

impl Beside for Turn {
    fn poll_turn(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.writes == Writes::AtOnce || std::mem::replace(&mut self.has_stepped_back, true) {
            return Poll::Ready(());
        }
        // A task that wakes itself goes behind all others that are ready.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn on_flush(&mut self) {
        self.has_stepped_back = false;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Both ends: ours, and the peer's.
    async fn pair(writes: Writes) -> (Connection<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (writing(writes, listener.accept().await.unwrap().0), peer)
    }

    #[tokio::test]
    async fn it_steps_back_once_before_it_writes_and_again_after_a_flush() {
        let (mut connection, mut peer) = pair(Writes::Together).await;
        for _ in 0..3 {
            assert!(connection.write(b"a").now_or_never().is_none(), "whatever else is ready goes first");
            assert_eq!(connection.write(b"a").now_or_never().unwrap().unwrap(), 1);
            assert_eq!(connection.write(b"b").now_or_never().unwrap().unwrap(), 1, "it is still its turn");
            connection.flush().await.unwrap();
        }
        drop(connection);
        let mut received = String::new();
        peer.read_to_string(&mut received).await.unwrap();
        assert_eq!(received, "ababab");
    }

    #[tokio::test]
    async fn whoever_writes_alone_is_woken_by_nobody_else() {
        let (mut connection, mut peer) = pair(Writes::Together).await;
        connection.write_all(b"answer").await.unwrap();
        connection.flush().await.unwrap();
        let mut received = [0; 6];
        peer.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"answer");
    }

    #[tokio::test]
    async fn at_once_means_at_once() {
        let (mut connection, _peer) = pair(Writes::AtOnce).await;
        assert_eq!(connection.write(b"a").now_or_never().unwrap().unwrap(), 1);
    }
}
