//! The leader's batcher: packs the commands that have come in into one Raft entry after another.
//!
//! There is no timer. While [`ENTRIES_IN_FLIGHT_MAX`] entries are under way, what comes in gathers; when one is
//! settled, all that has gathered (up to the limits of an entry) is the next. An idle cluster therefore commits a
//! lone command at once, and a busy one commits large entries.
//!
//! The batcher is *open* only for a term whose `LeaderStart` has been applied here; otherwise, and whenever an entry
//! does not make it, the senders are told that their parcel was *dropped*. They keep their commands and send them
//! again; the window in the replicated state makes that harmless.

use std::sync::Arc;

use bytes::Bytes;
use flame_types::{Seq, Term};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};

use self::stamp::Stamper;
use super::replies::Replies;
use crate::consensus::{Consensus, Proposal};

pub mod stamp;

/// Most entries that are proposed and not yet settled.
pub const ENTRIES_IN_FLIGHT_MAX: usize = 4;

/// Most commands in one entry.
pub const ENTRY_COMMANDS_MAX: usize = 1024;

/// An entry takes no further command once it has this many bytes.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;

/// Most parcels that wait to be packed; senders wait for room beyond it.
pub const PARCELS_WAITING_MAX: usize = 4096;

/// Encoded commands of one sender, in its order. They go into one entry together.
pub struct Parcel {
    /// Each one `codec::encode(&Item)`.
    pub items: Vec<Bytes>,
    /// Who must know if they do not make it.
    pub on_drop: OnDrop,
}

/// Who is told that a parcel was dropped.
pub enum OnDrop {
    /// A sender that keeps its commands and sends all unanswered ones again.
    Signal(DropSignal),
    /// A waiter for one reply.
    Ticket(Seq),
}

/// Tells a sender that something it sent was dropped. Signals coalesce.
#[derive(Clone, Default)]
pub struct DropSignal(Arc<Notify>);

impl DropSignal {
    /// Waits until something was dropped since the last call.
    pub async fn raised(&self) {
        self.0.notified().await;
    }

    fn raise(&self) {
        self.0.notify_one();
    }
}

/// Sends parcels to the batcher of this node.
#[derive(Clone)]
pub struct BatcherHandle {
    parcels: mpsc::Sender<Parcel>,
    open: watch::Sender<Option<Term>>,
    stamper: Stamper,
    consensus: Consensus,
    replies: Arc<Replies>,
}

/// The batcher has stopped with its node.
#[derive(Debug, thiserror::Error)]
#[error("this node is stopping")]
pub struct Stopped;

impl BatcherHandle {
    /// Starts the batcher of a node. It ends when the last handle is gone.
    #[must_use]
    pub fn start(consensus: Consensus, replies: Arc<Replies>) -> Self {
        let (parcels, incoming) = mpsc::channel(PARCELS_WAITING_MAX);
        let (open, is_open) = watch::channel(None);
        let stamper = Stamper::default();
        let batcher = Batcher {
            incoming,
            is_open,
            in_flight: Arc::new(Semaphore::new(ENTRIES_IN_FLIGHT_MAX)),
            stamper: stamper.clone(),
            consensus: consensus.clone(),
            replies: replies.clone(),
        };
        tokio::spawn(batcher.run());
        Self { parcels, open, stamper, consensus, replies }
    }

    /// Hands over a parcel; waits while too many wait already.
    ///
    /// # Errors
    /// [`Stopped`]: the node is going down.
    pub async fn submit(&self, parcel: Parcel) -> Result<(), Stopped> {
        self.parcels.send(parcel).await.map_err(|_| Stopped)
    }

    /// Proposes one entry in a term before the batcher is open for it: this is how a new leader starts.
    pub async fn propose_first(&self, term: Term, item: Bytes, ticket: Seq) {
        self.stamper.reset();
        let entry = self.stamper.entry(&[item]);
        match self.consensus.propose(term, entry).await {
            Ok(proposal) => {
                if proposal.settled().await.is_err() {
                    self.replies.give_up(ticket);
                }
            }
            Err(_) => self.replies.give_up(ticket),
        }
    }

    /// Knows how far cluster time is behind the clock.
    #[must_use]
    pub fn stamper(&self) -> &Stamper {
        &self.stamper
    }

    /// Opens the batcher for a term, or closes it.
    pub fn set_open(&self, term: Option<Term>) {
        self.open.send_replace(term);
    }

    /// The term it is open for.
    #[must_use]
    pub fn open_term(&self) -> Option<Term> {
        *self.open.borrow()
    }

    /// Follows for which term it is open.
    #[must_use]
    pub fn watch_open(&self) -> watch::Receiver<Option<Term>> {
        self.open.subscribe()
    }
}

struct Batcher {
    incoming: mpsc::Receiver<Parcel>,
    is_open: watch::Receiver<Option<Term>>,
    in_flight: Arc<Semaphore>,
    stamper: Stamper,
    consensus: Consensus,
    replies: Arc<Replies>,
}

impl Batcher {
    async fn run(mut self) {
        let mut carried: Option<Parcel> = None;
        loop {
            let first = match carried.take() {
                Some(parcel) => parcel,
                None => match self.incoming.recv().await {
                    Some(parcel) => parcel,
                    None => return,
                },
            };
            let permit = self.in_flight.clone().acquire_owned().await.expect("nobody closes this semaphore");
            let (parcels, rest) = self.gather(first);
            carried = rest;
            self.propose(parcels, permit).await;
        }
    }

    /// Takes what is there, up to the limits of an entry; the parcel that did not fit any more comes back.
    fn gather(&mut self, first: Parcel) -> (Vec<Parcel>, Option<Parcel>) {
        let mut commands = first.items.len();
        let mut bytes = first.bytes();
        let mut parcels = vec![first];
        while commands < ENTRY_COMMANDS_MAX && bytes < ENTRY_BYTES_MAX {
            let Ok(next) = self.incoming.try_recv() else { break };
            if commands + next.items.len() > ENTRY_COMMANDS_MAX || bytes + next.bytes() > ENTRY_BYTES_MAX {
                return (parcels, Some(next));
            }
            commands += next.items.len();
            bytes += next.bytes();
            parcels.push(next);
        }
        (parcels, None)
    }

    async fn propose(&self, parcels: Vec<Parcel>, permit: OwnedSemaphorePermit) {
        let Some(term) = *self.is_open.borrow() else {
            self.drop_all(parcels);
            return;
        };
        let items: Vec<Bytes> = parcels.iter().flat_map(|parcel| parcel.items.iter().cloned()).collect();
        match self.consensus.propose(term, self.stamper.entry(&items)).await {
            Ok(proposal) => {
                let on_drop = parcels.into_iter().map(|parcel| parcel.on_drop).collect();
                tokio::spawn(settle(proposal, on_drop, self.replies.clone(), permit));
            }
            Err(error) => {
                tracing::debug!(%error, "an entry was not taken; its senders send again");
                self.drop_all(parcels);
            }
        }
    }

    fn drop_all(&self, parcels: Vec<Parcel>) {
        tell(&self.replies, parcels.into_iter().map(|parcel| parcel.on_drop));
    }
}

/// Waits for the fate of an entry. Replies reach their waiters through apply, so success needs nothing more.
async fn settle(proposal: Proposal, on_drop: Vec<OnDrop>, replies: Arc<Replies>, _permit: OwnedSemaphorePermit) {
    if let Err(error) = proposal.settled().await {
        tracing::debug!(%error, "an entry is lost or its fate unknown; its senders send again");
        tell(&replies, on_drop.into_iter());
    }
}

fn tell(replies: &Replies, on_drop: impl Iterator<Item = OnDrop>) {
    for on_drop in on_drop {
        match on_drop {
            OnDrop::Signal(signal) => signal.raise(),
            OnDrop::Ticket(ticket) => replies.give_up(ticket),
        }
    }
}

impl Parcel {
    fn bytes(&self) -> usize {
        self.items.iter().map(Bytes::len).sum()
    }
}
