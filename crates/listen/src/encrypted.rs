//! Encrypted listeners: connections with their handshakes done, several at a time.
//!
//! What came of a handshake is looked at here. Somebody whose certificate does not fit comes back as long as nobody mends
//! it, so that is logged once in a while only; it hears the reason itself, too ([`flame_tls::server`]).
//!
//! **Invariant:** nobody who dawdles keeps others waiting: handshakes run beside each other, and each has a time limit.
//! **Invariant:** a connection counts as one of its listener from its first byte on, not from its handshake.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flame_tls::Acceptor;
use flame_tls::server::{TlsStream, TurnedAway};
use futures::{Stream, StreamExt, stream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::Connection;

/// Longest time until a connection says its first word.
const FIRST_BYTE_MAX: Duration = Duration::from_secs(10);

/// Between two lines in the log of one listener about those it turned away.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// How a listener speaks.
#[derive(Clone)]
pub enum Manner {
    /// In plaintext.
    Plain,
    /// Encrypted.
    Tls {
        /// How handshakes are done.
        acceptor: Acceptor,
        /// Whom the listener is for, for the log.
        whose: &'static str,
    },
}

/// The connections of those who have shaken hands.
pub fn shaken<T: Send + Unpin + 'static>(
    connections: impl Stream<Item = io::Result<Connection<T>>> + Send,
    acceptor: Acceptor,
    whose: &'static str,
) -> impl Stream<Item = io::Result<TlsStream<Connection<T>>>> + Send {
    let door = Arc::new(Door { acceptor, whose, logged: Mutex::default() });
    let state = (Box::pin(connections), JoinSet::new(), door);
    stream::unfold(state, |(mut connections, mut under_way, door)| async move {
        loop {
            tokio::select! {
                next = connections.next() => match next? {
                    Ok(connection) => {
                        under_way.spawn(door.clone().shake(connection));
                    }
                    Err(error) => return Some((Err(error), (connections, under_way, door))),
                },
                Some(done) = under_way.join_next() => {
                    // One that has panicked has no connection any more, like one that was turned away.
                    if let Ok(Some(stream)) = done {
                        return Some((Ok(stream), (connections, under_way, door)));
                    }
                }
            }
        }
    })
}

struct Door {
    acceptor: Acceptor,
    whose: &'static str,
    /// When somebody who was turned away was last logged.
    logged: Mutex<Option<Instant>>,
}

impl Door {
    async fn shake<T: Send + Unpin + 'static>(
        self: Arc<Self>,
        connection: Connection<T>,
    ) -> Option<TlsStream<Connection<T>>> {
        let from = connection.get_ref().peer_addr().ok()?;
        let mut first = [0];
        match timeout(FIRST_BYTE_MAX, connection.get_ref().peek(&mut first)).await {
            Ok(Ok(1)) => {}
            // A probe of the port, as many make them.
            _ => return None,
        }
        match self.acceptor.accept(connection, first[0]).await {
            Ok(stream) => Some(stream),
            Err(why) => {
                self.complain(&why, &from.to_string());
                None
            }
        }
    }

    fn complain(&self, why: &TurnedAway, from: &str) {
        let whose = self.whose;
        let is_worth_a_line = !matches!(why, TurnedAway::Silent) && {
            // Nothing that is done under the lock can fail halfway.
            let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let is_due = logged.is_none_or(|before| now.duration_since(before) >= LOG_PAUSE);
            if is_due {
                *logged = Some(now);
            }
            is_due
        };
        if is_worth_a_line {
            tracing::warn!(from, %why, "turned away at the listener for {whose}; others may have been since");
        } else {
            tracing::debug!(from, %why, "turned away at the listener for {whose}");
        }
    }
}
