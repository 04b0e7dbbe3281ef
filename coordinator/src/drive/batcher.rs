//! The leader's batcher: packs the commands that have come in into one Raft entry after another.
//!
//! There is no timer. While entries are under way, what comes in gathers; when they are settled, all that has gathered
//! (up to the limits of an entry) is the next one. An idle cluster therefore commits a lone command at once, and a busy
//! one commits large entries. What is worth an entry of its own does not wait for the ones before: [`intake`] says when. A
//! task that is alone goes to its worker before its entry does, which waits a moment for the result: [`ahead`].
//!
//! The batcher is *open* only for a term whose `LeaderStart` has been applied here; otherwise, and whenever an entry
//! does not make it, the senders are told that their parcel was *dropped*. They keep their commands and send them
//! again; the window in the replicated state makes that harmless.
//!
//! **Invariant:** what waits here is bounded in parcels and in bytes. Senders wait for room, in the order in which they
//! came; nothing is refused, since what arrives here was admitted by a gateway or comes from a worker, which keeps it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use flame_types::{Seq, Term};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};

use self::ahead::Ahead;
use self::intake::Intake;
use self::stamp::Stamper;
use super::hub::WayAhead;
use super::replies::Replies;
use crate::consensus::{Consensus, Proposal};
use crate::memory::{Memory, Share};
use crate::metrics::handles::{BatcherMetrics, EntryWatch};

mod ahead;
mod intake;
pub mod stamp;

/// Most entries that are proposed and not yet settled.
pub const ENTRIES_IN_FLIGHT_MAX: usize = 4;

/// Most commands in one entry.
pub const ENTRY_COMMANDS_MAX: usize = 1024;

/// An entry takes no further command once it has this many bytes.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;

/// Most parcels that wait to be packed, if their bytes do not fill the room before; senders wait beyond it.
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
    parcels: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
    room_bytes: u32,
    open: watch::Sender<Option<Term>>,
    stamper: Stamper,
    consensus: Consensus,
    replies: Arc<Replies>,
    way_ahead: Arc<OnceLock<WayAhead>>,
    metrics: BatcherMetrics,
}

/// A parcel with the room that it takes until it is in an entry.
struct Waiting {
    parcel: Parcel,
    room: OwnedSemaphorePermit,
}

/// The batcher has stopped with its node.
#[derive(Debug, thiserror::Error)]
#[error("this node is stopping")]
pub struct Stopped;

impl BatcherHandle {
    /// Starts the batcher of a node. It ends when the last handle is gone.
    #[must_use]
    pub fn start(consensus: Consensus, replies: Arc<Replies>, memory: Memory, metrics: BatcherMetrics) -> Self {
        let room_bytes = memory.permits(Share::Parcels);
        let (parcels, incoming) = mpsc::channel(PARCELS_WAITING_MAX);
        let (open, is_open) = watch::channel(None);
        let stamper = Stamper::default();
        let way_ahead = Arc::default();
        let batcher = Batcher {
            ahead: Ahead::new(consensus.clone(), Arc::clone(&way_ahead), metrics.clone()),
            intake: Intake::new(incoming),
            is_open,
            stamper: stamper.clone(),
            consensus: consensus.clone(),
            replies: replies.clone(),
            metrics: metrics.clone(),
        };
        // Where Raft runs: there commands of other nodes arrive, and there entries go.
        consensus.runtime().spawn(batcher.run());
        let room = Arc::new(Semaphore::new(room_bytes as usize));
        Self { parcels, room, room_bytes, open, stamper, consensus, replies, way_ahead, metrics }
    }

    /// From now on tasks may go to workers before their entries. Only the first way counts.
    pub fn set_way_ahead(&self, way: WayAhead) {
        let _ = self.way_ahead.set(way);
    }

    /// Hands over a parcel; waits while too much waits already. One that is larger than all the room goes alone.
    ///
    /// # Errors
    /// [`Stopped`]: the node is going down.
    pub async fn submit(&self, parcel: Parcel) -> Result<(), Stopped> {
        let bytes = u32::try_from(parcel.bytes()).unwrap_or(u32::MAX).clamp(1, self.room_bytes);
        let room = self.room.clone().acquire_many_owned(bytes).await.map_err(|_| Stopped)?;
        self.metrics.queued(parcel.items.len());
        self.parcels.send(Waiting { parcel, room }).await.map_err(|_| Stopped)
    }

    /// Bytes of the parcels that wait.
    #[must_use]
    pub fn bytes_waiting(&self) -> usize {
        (self.room_bytes as usize).saturating_sub(self.room.available_permits())
    }

    /// Proposes a command as an entry of its own, in a term for which the batcher need not be open: this is how a new leader
    /// begins, and how the feature level rises. Waits until it is settled.
    pub async fn propose_alone(&self, term: Term, item: Bytes, ticket: Seq) {
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
    intake: Intake,
    ahead: Ahead,
    is_open: watch::Receiver<Option<Term>>,
    stamper: Stamper,
    consensus: Consensus,
    replies: Arc<Replies>,
    metrics: BatcherMetrics,
}

impl Batcher {
    async fn run(mut self) {
        while let Some((mut gathered, permit)) = self.intake.next().await {
            let alone = self.intake.alone(&mut gathered).filter(|_| self.is_open.borrow().is_some());
            if alone.is_some_and(|waiting| self.ahead.give_out(&mut waiting.parcel)) {
                gathered = self.intake.with_company(gathered).await;
            }
            self.propose(gathered, permit).await;
        }
    }

    async fn propose(&self, gathered: Vec<Waiting>, permit: OwnedSemaphorePermit) {
        let (parcels, rooms): (Vec<_>, Vec<_>) =
            gathered.into_iter().map(|waiting| (waiting.parcel, waiting.room)).unzip();
        let items: Vec<Bytes> = parcels.iter().flat_map(|parcel| parcel.items.iter().cloned()).collect();
        self.metrics.taken(items.len());
        let Some(term) = *self.is_open.borrow() else {
            self.drop_all(parcels);
            return;
        };
        let entry = self.stamper.entry(&items);
        let watch = self.metrics.entry(items.len(), entry.len());
        let proposed = self.consensus.propose(term, entry).await;
        // From here on the entry counts where it is.
        drop(rooms);
        match proposed {
            Ok(proposal) => {
                let on_drop = parcels.into_iter().map(|parcel| parcel.on_drop).collect();
                // Where Raft runs: hearing of the fate of an entry wakes no other thread.
                self.consensus.runtime().spawn(settle(proposal, on_drop, self.replies.clone(), watch, permit));
            }
            Err(error) => {
                tracing::debug!(%error, "an entry was not taken; its senders send again");
                watch.dropped();
                self.drop_all(parcels);
            }
        }
    }

    fn drop_all(&self, parcels: Vec<Parcel>) {
        tell(&self.replies, parcels.into_iter().map(|parcel| parcel.on_drop));
    }
}

/// Waits for the fate of an entry. Replies reach their waiters through apply, so success needs nothing more.
async fn settle(
    mut proposal: Proposal,
    on_drop: Vec<OnDrop>,
    replies: Arc<Replies>,
    watch: EntryWatch,
    _permit: OwnedSemaphorePermit,
) {
    if proposal.committed().await {
        watch.committed();
    }
    match proposal.settled().await {
        Ok(_) => watch.settled(),
        Err(error) => {
            tracing::debug!(%error, "an entry is lost or its fate unknown; its senders send again");
            watch.dropped();
            tell(&replies, on_drop.into_iter());
        }
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
