//! Linearizable read points for this node, on the leader or off it.
//!
//! Reads that arrive while a round is under way wait for the next one: a read joins only a round that was not sent
//! yet, so the index it gets cannot be older than the read. Each try of a round has a fresh id, so that a late answer
//! to an earlier try is never taken for this one (etcd #20418).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flame_types::LogIndex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::gateway::GatewayError;
use crate::consensus::Consensus;

/// Most reads that wait to join a round.
const READS_WAITING_MAX: usize = 65_536;

/// A try that is not answered within this time is made again, on the link of the moment.
const TRY_PATIENCE: Duration = Duration::from_secs(1);

/// Wait between two tries.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Asks for read points; cheap to clone.
#[derive(Clone)]
pub struct ReadIndex {
    wanted: mpsc::Sender<Reader>,
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

type Reader = oneshot::Sender<LogIndex>;

impl ReadIndex {
    /// Starts the rounds of a node. They end when the last handle is gone.
    #[must_use]
    pub fn start(consensus: Consensus) -> Self {
        let (wanted, readers) = mpsc::channel(READS_WAITING_MAX);
        let link = watch::Sender::new(ReadLink::None);
        tokio::spawn(run(consensus, readers, link.subscribe()));
        Self { wanted, link }
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
        let (tx, rx) = oneshot::channel();
        self.wanted.try_send(tx).map_err(|_| GatewayError::Overloaded { retry_ms: 100 })?;
        match tokio::time::timeout_at(deadline, rx).await {
            Ok(Ok(index)) => Ok(index),
            Ok(Err(_)) => Err(GatewayError::Stopped),
            Err(_) => Err(GatewayError::NoLeader),
        }
    }
}

async fn run(consensus: Consensus, mut readers: mpsc::Receiver<Reader>, mut link: watch::Receiver<ReadLink>) {
    let ids = AtomicU64::new(1);
    let mut round = Vec::new();
    while readers.recv_many(&mut round, READS_WAITING_MAX).await > 0 {
        if let Some(index) = one_round(&consensus, &round, &mut link, &ids).await {
            tokio::spawn(answer_when_applied(consensus.clone(), index, std::mem::take(&mut round)));
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
    while readers.iter().any(|reader| !reader.is_closed()) {
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

async fn answer_when_applied(consensus: Consensus, index: LogIndex, readers: Vec<Reader>) {
    let mut applied = consensus.applied_index();
    if applied.wait_for(|applied| *applied >= index).await.is_err() {
        return;
    }
    for reader in readers {
        // Some have given up meanwhile.
        let _ = reader.send(index);
    }
}
