//! Who waits in this process for the reply to a command without a client of its own: the leader's duties, the Hello of
//! a worker, the registration of the gateway.
//!
//! Such commands carry [`ClientId::NONE`](flame_types::ClientId::NONE) and, as their sequence number, a ticket that is
//! unique to this process; apply ignores the ticket and hands it back with the reply.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use flame_machine::command::{Command, Item};
use flame_machine::reply::Reply;
use flame_types::{ClientId, Seq};
use tokio::sync::oneshot;

use crate::consensus::RunningLevel;

/// The ticket of commands whose reply nobody reads.
pub const NOBODY_WAITS: Seq = Seq(0);

/// A command that needs no place in a window; its reply is named by the ticket.
#[must_use]
pub fn unnumbered(level: &RunningLevel, ticket: Seq, command: Command) -> Bytes {
    level.seal(&Item { client: ClientId::NONE, seq: ticket, below: Seq(0), command })
}

/// Open waits, by ticket.
pub struct Replies {
    /// High half: drawn at random for this process. Low half: counts.
    next: AtomicU64,
    waiting: Mutex<HashMap<Seq, oneshot::Sender<Reply>>>,
}

impl Replies {
    /// An empty table whose tickets no other process uses.
    #[must_use]
    pub fn new() -> Self {
        let process: u32 = rand::random();
        Self { next: AtomicU64::new((u64::from(process) << 32) | 1), waiting: Mutex::default() }
    }

    /// A ticket, and where its reply will arrive. The sender is dropped without a reply when the command was given up.
    pub fn ticket(&self) -> (Seq, oneshot::Receiver<Reply>) {
        let ticket = Seq(self.next.fetch_add(1, Ordering::Relaxed));
        let (tx, rx) = oneshot::channel();
        self.lock().insert(ticket, tx);
        (ticket, rx)
    }

    /// Hands a reply to whoever waits for it here.
    pub fn resolve(&self, ticket: Seq, reply: &Reply) {
        if let Some(waiter) = self.lock().remove(&ticket) {
            // Nobody listens any more: the command took effect all the same.
            let _ = waiter.send(reply.clone());
        }
    }

    /// Ends a wait without a reply: the command was dropped, or nobody cares any more.
    pub fn give_up(&self, ticket: Seq) {
        self.lock().remove(&ticket);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Seq, oneshot::Sender<Reply>>> {
        self.waiting.lock().expect("no code panics while it holds this lock")
    }
}

impl Default for Replies {
    fn default() -> Self {
        Self::new()
    }
}
