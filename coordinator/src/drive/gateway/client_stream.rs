//! A client of its own in the replicated state, served through this node for a while.
//!
//! Its commands come numbered, and a client that does not know what became of some sends them again under the same
//! numbers, here or through another node: the window in the replicated state gives each of them one effect and one
//! reply.

use flame_machine::command::Command;
use flame_machine::reply::Reply;
use flame_types::{ClientId, Seq};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{COMMAND_BYTES_MAX, Gateway, GatewayError, Place};

/// One stream of a client. Dropping it ends nothing but the sending: its client may go on elsewhere.
pub struct ClientStream {
    gateway: Gateway,
    client: ClientId,
    ticket: u64,
    replies: mpsc::UnboundedReceiver<(Seq, Reply)>,
}

/// This stream serves its client no more: the client has expired, or another stream has taken over.
#[derive(Debug, PartialEq, Eq)]
pub struct TakenOver;

impl Gateway {
    /// Registers a client that numbers its own commands.
    ///
    /// # Errors
    /// As [`Gateway::propose`].
    pub async fn register_client(&self, deadline: Instant) -> Result<ClientId, GatewayError> {
        let command = Command::RegisterClient { nonce: rand::random(), gateway: None };
        match self.propose(command, deadline).await? {
            Reply::Client(client) => Ok(client),
            other => unreachable!("a registration was answered with {other:?}"),
        }
    }

    /// Ends a client: its window is forgotten.
    ///
    /// # Errors
    /// As [`Gateway::propose`].
    pub async fn end_client(&self, client: ClientId, deadline: Instant) -> Result<(), GatewayError> {
        self.propose(Command::EndClient { client }, deadline).await.map(drop)
    }

    /// Serves a registered client through this node. A stream that did so before is taken over.
    #[must_use]
    pub fn open_stream(&self, client: ClientId) -> ClientStream {
        let (ticket, replies) = self.windows().open_stream(client);
        ClientStream { gateway: self.clone(), client, ticket, replies }
    }
}

impl ClientStream {
    /// Room for a command of so many bytes; waits for it. Whoever waits here reads no further commands: that is how a
    /// node with too much to do holds its clients up.
    ///
    /// # Errors
    /// [`GatewayError::TooLarge`].
    pub async fn room(&self, bytes: usize) -> Result<Place, GatewayError> {
        if bytes > COMMAND_BYTES_MAX {
            return Err(GatewayError::TooLarge { bytes });
        }
        Ok(self.gateway.inner.admission.stream(bytes).await)
    }

    /// Sends a command, now and again until it is answered.
    ///
    /// # Errors
    /// [`TakenOver`].
    pub fn send(&self, seq: Seq, below: Seq, command: Command, place: Place) -> Result<(), TakenOver> {
        let whose = (self.client, self.ticket);
        let taken = self.gateway.windows().admit_numbered(whose, (seq, below), command, place);
        self.gateway.inner.unsent.notify_one();
        taken.then_some(()).ok_or(TakenOver)
    }

    /// Waits for replies and takes up to `limit` that are there. They come in the order of their numbers.
    ///
    /// # Errors
    /// [`TakenOver`].
    pub async fn replies(&mut self, into: &mut Vec<(Seq, Reply)>, limit: usize) -> Result<(), TakenOver> {
        match self.replies.recv_many(into, limit).await {
            0 => Err(TakenOver),
            _ => Ok(()),
        }
    }
}

impl ClientStream {
    /// Takes the replies that are there, without waiting.
    pub fn ready_replies(&mut self, into: &mut Vec<(Seq, Reply)>) {
        into.extend(std::iter::from_fn(|| self.replies.try_recv().ok()));
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        self.gateway.windows().close_stream(self.client, self.ticket);
    }
}
