//! Putting entries into the log, several under way at a time.

use std::sync::Arc;

use bytes::Bytes;
use flame_storage::{EntryData, LogId, TypeConfig};
use flame_types::{CoordinatorId, LogIndex, Term};
use openraft::alias::{CommittedLeaderIdOf, OneshotReceiverOf};
use openraft::errors::{ClientWriteError, ForwardToLeader};
use openraft::impls::ProgressResponder;
use openraft::raft::ClientWriteResult;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::RaftHandle;
use super::error::ProposeError;
use super::leadership::Leadership;

/// Longest entry that is accepted: well below what a frame between peers may hold.
pub const ENTRY_BYTES_MAX: usize = 32 << 20;

/// Admits entries of a leader.
#[derive(Clone)]
pub(super) struct Proposer {
    raft: RaftHandle,
    /// Bytes of entries that may be under way; further ones wait.
    room: Arc<Semaphore>,
    room_bytes: u32,
}

impl Proposer {
    pub(super) fn new(raft: RaftHandle, room_bytes: u32) -> Self {
        Self { raft, room: Arc::new(Semaphore::new(room_bytes as usize)), room_bytes }
    }

    /// Bytes of entries that are under way.
    pub(super) fn bytes(&self) -> usize {
        (self.room_bytes as usize).saturating_sub(self.room.available_permits())
    }

    /// Hands the entry to Raft on condition that this node leads in this very term: an entry admitted in one term is
    /// never written under another.
    pub(super) async fn propose(&self, now: Leadership, term: Term, entry: Bytes) -> Result<Proposal, ProposeError> {
        if !now.is_self || now.term != term {
            return Err(ProposeError::NotLeader { leader: now.leader.filter(|_| !now.is_self) });
        }
        if entry.len() > ENTRY_BYTES_MAX {
            return Err(ProposeError::TooLong { bytes: entry.len(), limit: ENTRY_BYTES_MAX });
        }
        // One that is larger than all the room goes alone.
        let bytes = u32::try_from(entry.len()).expect("limited above").min(self.room_bytes);
        let room = self.room.clone().acquire_many_owned(bytes).await.map_err(|_| ProposeError::Stopped)?;
        let (responder, committed, result) = ProgressResponder::new();
        self.raft
            .write(EntryData(entry))
            .with_leader(CommittedLeaderIdOf::<TypeConfig>::new(term.0))
            .responder(responder)
            .await
            .map_err(|_fatal| ProposeError::Stopped)?;
        Ok(Proposal { committed: Some(committed), result, _room: room })
    }
}

/// An entry that was handed to Raft. Its fate does not depend on whether anybody waits for it.
#[derive(Debug)]
#[must_use = "the fate of an entry should be learnt"]
pub struct Proposal {
    committed: Option<OneshotReceiverOf<TypeConfig, LogId>>,
    result: OneshotReceiverOf<TypeConfig, ClientWriteResult<TypeConfig>>,
    _room: OwnedSemaphorePermit,
}

impl Proposal {
    /// Waits until a majority has the entry, or its fate is decided otherwise. Returns whether the former, and `false`
    /// when asked again.
    pub async fn committed(&mut self) -> bool {
        match self.committed.take() {
            Some(committed) => committed.await.is_ok(),
            None => false,
        }
    }

    /// Waits until the entry is committed and applied on this node, and gives its place in the log.
    ///
    /// A leader that has lost the majority does not answer until it finds it again or is deposed: give this a
    /// deadline, and take its passing for [`ProposeError::Unknown`].
    ///
    /// # Errors
    /// [`ProposeError::Dropped`] when the entry has no effect, for certain; [`ProposeError::Unknown`] otherwise.
    pub async fn settled(self) -> Result<LogIndex, ProposeError> {
        match self.result.await {
            Ok(Ok(written)) => Ok(LogIndex(written.log_id.index)),
            Ok(Err(ClientWriteError::ForwardToLeader(forward))) => {
                Err(ProposeError::Dropped { leader: leader_of(&forward) })
            }
            // Discarded by another leader's log, or the node stopped: it may be committed elsewhere.
            Ok(Err(_)) | Err(_) => Err(ProposeError::Unknown),
        }
    }
}

/// Whom an error of the library names as leader.
pub(super) fn leader_of(forward: &ForwardToLeader<TypeConfig>) -> Option<CoordinatorId> {
    forward.leader_id.map(CoordinatorId)
}
