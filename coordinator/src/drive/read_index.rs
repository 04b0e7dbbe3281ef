//! Linearizable read points for this node, on the leader or off it.
//!
//! Reads that arrive while a round is under way wait for the next one: a read joins only a round that was not sent
//! yet, so the index it gets cannot be older than the read. Each try of a round has a fresh id, so that a late answer
//! to an earlier try is never taken for this one (etcd #20418).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flame_types::LogIndex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::gateway::{GatewayError, RETRY_AFTER_MAX, RETRY_AFTER_MIN};
use crate::consensus::Consensus;
use crate::metrics::handles::ReadMetrics;

/// Most reads that wait: to join a round, for its answer, or for this node to have applied so much.
const READS_WAITING_MAX: usize = 65_536;

/// A try that is not answered within this time is made again, on the link of the moment.
const TRY_PATIENCE: Duration = Duration::from_secs(1);

/// Wait between two tries.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Asks for read points; cheap to clone.
#[derive(Clone)]
pub struct ReadIndex {
    wanted: mpsc::Sender<Reader>,
    room: Arc<Semaphore>,
    pace: Arc<RoundTime>,
    link: watch::Sender<ReadLink>,
}

/// Where rounds go.
#[derive(Clone)]
pub enum ReadLink {
    /// Nobody is known to lead.
    None,
    /// This node leads.
    Local,
    /// The link to the leader.
    Remote(mpsc::Sender<Round>),
}

/// One try of a round on its way to the leader.
pub struct Round {
    /// Fresh for every try.
    pub id: u64,
    /// Takes the read index; dropped when the leader could not give one.
    pub answer: oneshot::Sender<LogIndex>,
}

/// How long the last round took, from its first try to the moment in which it had been applied here.
#[derive(Default)]
struct RoundTime(AtomicU64);

impl RoundTime {
    fn measured(&self, took: Duration) {
        self.0.store(u64::try_from(took.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When a reader that finds no room should come back.
    fn retry_after(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed)).clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX)
    }
}

struct Reader {
    answer: oneshot::Sender<LogIndex>,
    _place: OwnedSemaphorePermit,
}

impl ReadIndex {
    /// Starts the rounds of a node. They end when the last handle is gone.
    #[must_use]
    pub fn start(consensus: Consensus, metrics: ReadMetrics) -> Self {
        let (wanted, readers) = mpsc::channel(READS_WAITING_MAX);
        let link = watch::Sender::new(ReadLink::None);
        let pace = Arc::new(RoundTime::default());
        tokio::spawn(run(consensus, readers, link.subscribe(), pace.clone(), metrics));
        Self { wanted, room: Arc::new(Semaphore::new(READS_WAITING_MAX)), pace, link }
    }

    /// From now on rounds go here.
    pub fn set_link(&self, link: ReadLink) {
        self.link.send_replace(link);
    }

    /// Waits until this node's state includes everything acknowledged before the call.
    ///
    /// # Errors
    /// [`GatewayError::NoLeader`] when no leader confirmed a read point until the deadline.
    pub async fn barrier(&self, deadline: Instant) -> Result<LogIndex, GatewayError> {
        let (answer, rx) = oneshot::channel();
        let place = self.room.clone().try_acquire_owned().map_err(|_| self.full())?;
        self.wanted.try_send(Reader { answer, _place: place }).map_err(|_| self.full())?;
        match tokio::time::timeout_at(deadline, rx).await {
            Ok(Ok(index)) => Ok(index),
            Ok(Err(_)) => Err(GatewayError::Stopped),
            Err(_) => Err(GatewayError::NoLeader),
        }
    }

    fn full(&self) -> GatewayError {
        match *self.link.borrow() {
            ReadLink::None => GatewayError::NoLeader,
            _ => GatewayError::Overloaded { retry_after: self.pace.retry_after() },
        }
    }
}

async fn run(
    consensus: Consensus,
    mut readers: mpsc::Receiver<Reader>,
    mut link: watch::Receiver<ReadLink>,
    pace: Arc<RoundTime>,
    metrics: ReadMetrics,
) {
    let ids = AtomicU64::new(1);
    let mut round = Vec::new();
    while readers.recv_many(&mut round, READS_WAITING_MAX).await > 0 {
        let begun = Instant::now();
        if let Some(index) = one_round(&consensus, &round, &mut link, &ids).await {
            let (consensus, pace, readers) = (consensus.clone(), pace.clone(), std::mem::take(&mut round));
            let metrics = metrics.clone();
            tokio::spawn(async move {
                let count = readers.len();
                if answer_when_applied(&consensus, index, readers).await {
                    metrics.answered(count, begun.elapsed());
                    pace.measured(begun.elapsed());
                }
            });
        }
        round.clear();
    }
}

/// Tries until a leader confirms a read point or nobody waits any more.
async fn one_round(
    consensus: &Consensus,
    readers: &[Reader],
    link: &mut watch::Receiver<ReadLink>,
    ids: &AtomicU64,
) -> Option<LogIndex> {
    while readers.iter().any(|reader| !reader.answer.is_closed()) {
        let now = link.borrow_and_update().clone();
        let try_once = async {
            match now {
                ReadLink::None => None,
                ReadLink::Local => consensus.read_index().await.ok(),
                ReadLink::Remote(rounds) => {
                    let (answer, index) = oneshot::channel();
                    let round = Round { id: ids.fetch_add(1, Ordering::Relaxed), answer };
                    rounds.send(round).await.ok()?;
                    index.await.ok()
                }
            }
        };
        let index = tokio::select! {
            index = tokio::time::timeout(TRY_PATIENCE, try_once) => index.ok().flatten(),
            changed = link.changed() => {
                if changed.is_err() {
                    return None;
                }
                continue;
            }
        };
        if index.is_some() {
            return index;
        }
        // No leader, or one that could not confirm: try again soon, at once when the link changes.
        tokio::select! {
            () = tokio::time::sleep(RETRY_PAUSE) => {}
            _ = link.changed() => {}
        }
    }
    None
}

/// Returns whether they were answered: not when this node stops.
async fn answer_when_applied(consensus: &Consensus, index: LogIndex, readers: Vec<Reader>) -> bool {
    let mut applied = consensus.applied_index();
    if applied.wait_for(|applied| *applied >= index).await.is_err() {
        return false;
    }
    for reader in readers {
        // Some have given up meanwhile.
        let _ = reader.answer.send(index);
    }
    true
}
