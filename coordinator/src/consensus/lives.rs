//! What this node remembers of the disks of others, so that one that was wiped, or is an old copy, is noticed.
//!
//! * **Store**: drawn when a disk is first used. A wiped disk has another one.
//! * **Incarnation and life**: every opening of a disk counts up and draws a number. An old copy counts from where it was
//!   taken, so sooner or later it comes to an incarnation that somebody has met with another number.
//! * **Acknowledged**: what a node has acknowledged to this one, as its leader, and is committed, cannot leave a log any
//!   more. A disk that is opened with less has lost it. (A leader hears of a life, in the answer that opens the way to it,
//!   before anything that is acknowledged in it.)
//!
//! What others acknowledge is looked up when somebody comes; it is written down while this node leads, every
//! [`NOTE_EVERY`], without a sync of its own.
//!
//! **Invariant:** nobody is remembered with less than before: a memory only grows until its owner is removed.
//! **Invariant:** a node that is remembered with more than it holds is not believed, whatever it says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use flame_proto::ha::PeerHeader;
use flame_storage::{Error as StorageError, Fatal, Identity, PeerMemory, TypeConfig};
use flame_types::{CoordinatorId, LogIndex};
use openraft::LogIdOptionExt;
use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftMetrics;
use uuid::Uuid;

use super::gate::Refused;

/// Between two notes of what others have acknowledged.
const NOTE_EVERY: Duration = Duration::from_secs(1);

type RaftWatch = WatchReceiverOf<TypeConfig, RaftMetrics<TypeConfig>>;

/// Whether what is new of somebody is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remember {
    /// It takes part.
    Always,
    /// It has nothing of the log yet, or is not known to be a member. It may have been given another disk by the time it
    /// takes part.
    Never,
}

impl Remember {
    /// Those of nodes that both have something of the log are written down.
    pub(super) fn if_both(this: bool, other: bool) -> Self {
        if this && other { Self::Always } else { Self::Never }
    }
}

/// What a header says of the sender's disk.
struct Said {
    store_id: Uuid,
    incarnation: u64,
    life: u64,
    holds: LogIndex,
}

/// The memory of others' disks.
pub(super) struct Lives {
    identity: Arc<Identity>,
    fatal: Fatal,
    /// As in the identity, which waits for the disk while it is written.
    known: Mutex<BTreeMap<CoordinatorId, PeerMemory>>,
    raft: OnceLock<RaftWatch>,
}

impl Lives {
    pub(super) fn new(identity: Arc<Identity>, fatal: Fatal) -> Self {
        let remembered = identity.peers().into_iter().filter_map(|id| Some((id, identity.peer(id)?)));
        let known = Mutex::new(remembered.collect());
        Self { identity, fatal, known, raft: OnceLock::new() }
    }

    /// From now on it is looked up here what others have acknowledged.
    pub(super) fn follow(&self, raft: RaftWatch) {
        // Called once.
        let _ = self.raft.set(raft);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<CoordinatorId, PeerMemory>> {
        // Nothing that is done under the lock leaves it half changed.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store that was met under this id.
    pub(super) fn store_of(&self, peer: CoordinatorId) -> Option<Uuid> {
        self.lock().get(&peer).map(|memory| memory.store_id)
    }

    /// Checks what somebody says of its disk against what is remembered. `named`: the store that the log names for it.
    pub(super) fn check(
        &self,
        peer: CoordinatorId,
        header: &PeerHeader,
        named: Option<Uuid>,
        remember: Remember,
    ) -> Result<(), Refused> {
        let said = Said::read(peer, header)?;
        let mut known = self.lock();
        let memory = known.get(&peer).copied();
        let expected = named.or(memory.map(|memory| memory.store_id));
        if expected.is_some_and(|store| store != said.store_id) {
            return Err(Refused::OtherStore(peer));
        }
        // What is remembered of a disk that the log does not name is of no use for this one.
        let memory = memory.filter(|memory| memory.store_id == said.store_id);
        if let Some(memory) = &memory {
            said.check_against(peer, memory, self.acknowledged(peer))?;
        }
        let fresh = said.remembered_with(memory);
        if remember == Remember::Always && Some(fresh) != memory {
            // One synced write per member and start of it; until it is done the peer is not believed.
            self.write(peer, fresh)?;
            known.insert(peer, fresh);
        }
        Ok(())
    }

    /// What a follower has acknowledged to this node, as its leader, and is committed.
    fn acknowledged(&self, peer: CoordinatorId) -> LogIndex {
        let Some(raft) = self.raft.get() else { return LogIndex(0) };
        acknowledged_in(&raft.borrow_watched(), peer)
    }

    fn write(&self, peer: CoordinatorId, memory: PeerMemory) -> Result<(), Refused> {
        self.identity.remember_peer(peer, memory).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: StorageError) -> Refused {
        if let StorageError::Stopped(cause) = error {
            self.fatal.raise(cause);
        }
        Refused::DiskFailed
    }

    /// Forgets those who are members no more.
    pub(super) fn retain(&self, is_member: impl Fn(CoordinatorId) -> bool) {
        let gone: Vec<CoordinatorId> = self.lock().keys().copied().filter(|id| !is_member(*id)).collect();
        for peer in gone {
            self.lock().remove(&peer);
            if let Err(error) = self.identity.forget_peer(peer) {
                // It is not believed either way: its id is nobody's.
                let _ = self.failed(error);
            }
        }
    }

    /// Notes what others acknowledge, until Raft stops.
    pub(super) async fn keep_notes(self: Arc<Self>) {
        loop {
            tokio::time::sleep(NOTE_EVERY).await;
            let Some(raft) = self.raft.get() else { continue };
            let metrics = raft.borrow_watched().clone();
            if metrics.running_state.is_err() {
                return;
            }
            let followers = metrics.replication.iter().flatten().map(|(id, _)| CoordinatorId(*id));
            let all: Vec<_> = followers.map(|peer| (peer, acknowledged_in(&metrics, peer))).collect();
            // Whoever writes the identity may be waiting for the disk: that is not for the thread of Raft.
            let lives = self.clone();
            let noted = tokio::task::spawn_blocking(move || lives.note(&all));
            if let Ok(Err(error)) = noted.await {
                let _ = self.failed(error);
                return;
            }
        }
    }

    fn note(&self, all: &[(CoordinatorId, LogIndex)]) -> Result<(), StorageError> {
        let mut known = self.lock();
        for (peer, index) in all {
            if let Some(memory) = known.get_mut(peer) {
                memory.matched = memory.matched.max(*index);
            }
        }
        drop(known);
        self.identity.note_matched(all.iter().copied())
    }
}

fn acknowledged_in(metrics: &RaftMetrics<TypeConfig>, peer: CoordinatorId) -> LogIndex {
    let matched = metrics.replication.as_ref().and_then(|all| all.get(&peer.0)).and_then(|matched| matched.index());
    LogIndex(matched.unwrap_or(0).min(metrics.local_committed.index().unwrap_or(0)))
}

impl Said {
    fn read(peer: CoordinatorId, header: &PeerHeader) -> Result<Self, Refused> {
        let store_id = Uuid::parse_str(&header.store_id).map_err(|_| Refused::NoStore(peer))?;
        Ok(Self { store_id, incarnation: header.incarnation, life: header.life, holds: LogIndex(header.holds) })
    }

    /// A release before these fields tells no incarnation, and nothing is held against it.
    fn check_against(&self, id: CoordinatorId, memory: &PeerMemory, acknowledged: LogIndex) -> Result<(), Refused> {
        if self.incarnation == 0 {
            return Ok(());
        }
        let rolled_back = |why: String| Err(Refused::RolledBack { id, why });
        if self.incarnation < memory.incarnation {
            let (now, met) = (self.incarnation, memory.incarnation);
            return rolled_back(format!(
                "it says that it was opened {now} times, and was met when it was opened {met} times"
            ));
        }
        if self.incarnation == memory.incarnation && self.life != memory.life {
            return rolled_back(format!("another copy of it was met when it was opened {} times", self.incarnation));
        }
        if self.life == memory.life {
            // Nobody can take a disk away from a process that has it open. It may have acknowledged more since it said this.
            return Ok(());
        }
        let acknowledged = memory.matched.max(acknowledged);
        if self.holds < acknowledged {
            let holds = self.holds;
            return rolled_back(format!("it holds entries up to {holds} and has acknowledged entry {acknowledged}"));
        }
        Ok(())
    }

    fn remembered_with(&self, memory: Option<PeerMemory>) -> PeerMemory {
        match memory {
            Some(memory) if self.incarnation == 0 => memory,
            _ => PeerMemory {
                store_id: self.store_id,
                incarnation: self.incarnation,
                life: self.life,
                matched: memory.map_or(LogIndex(0), |memory| memory.matched),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: CoordinatorId = CoordinatorId(2);

    fn said(incarnation: u64, life: u64, holds: u64) -> Said {
        Said { store_id: Uuid::nil(), incarnation, life, holds: LogIndex(holds) }
    }

    #[test]
    fn an_old_copy_is_told_from_a_restart() {
        let memory = PeerMemory { store_id: Uuid::nil(), incarnation: 5, life: 77, matched: LogIndex(100) };
        let check = |said: Said, acknowledged| said.check_against(PEER, &memory, LogIndex(acknowledged));
        assert_eq!(check(said(5, 77, 100), 0), Ok(()), "the same life");
        assert_eq!(check(said(5, 77, 99), 101), Ok(()), "the same life, said before it acknowledged more");
        assert_eq!(check(said(6, 1, 100), 0), Ok(()), "a restart");
        assert_eq!(check(said(0, 0, 0), 0), Ok(()), "an older release");
        for (old, acknowledged) in
            [(said(4, 77, 100), 0), (said(5, 78, 100), 0), (said(6, 1, 99), 0), (said(6, 1, 100), 101)]
        {
            assert!(matches!(check(old, acknowledged), Err(Refused::RolledBack { id: PEER, .. })));
        }
    }
}
