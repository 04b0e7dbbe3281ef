//! The one handle through which the rest of the coordinator uses consensus. Cheap to clone.
//!
//! Everything behind it runs on a runtime of its own, and what may take long with the state on one more thread, so that
//! load elsewhere in the process cannot delay heartbeats.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flame_machine::State;
use flame_proto::ha::PeerHeader;
use flame_proto::ha::bootstrap_server::BootstrapServer;
use flame_proto::ha::raft_server::RaftServer;
use flame_storage::{Fatal, LogMeter, MemberNode, RowReader, TypeConfig};
use flame_types::{CoordinatorId, LogIndex, RequestNo, Term};
use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::metrics::RaftDataMetrics;
use openraft::{Instant, LogIdOptionExt, ReadPolicy};
use tokio::sync::watch;

use super::RaftHandle;
use super::applier::Applier;
use super::arrivals::{Arrivals, Receiving};
use super::audience::Audience;
use super::bootstrap::BootstrapService;
use super::error::{BootstrapError, ProposeError, ReadError, StartError, Stopped, TransferError};
use super::gate::{Gate, Refused};
use super::joining::Waiting;
use super::leadership::Leadership;
use super::level::RunningLevel;
use super::membership::Turn;
use super::options::Options;
use super::own_runtime::OwnRuntime;
use super::propose::{Proposal, Proposer, leader_of};
use super::rows::Rows;
use super::server::RaftService;
use super::sink::ApplySink;
use super::snapshot_body::SnapshotDirs;
use super::snapshots::flushed;
use super::start;
use super::status::{self, RaftStatus, StorageStatus};

/// A confirmed read waits for this node's own apply no longer than this.
const READ_APPLY_MAX: Duration = Duration::from_secs(5);

/// After a transfer of leadership another leader must appear in this time.
const TRANSFER_MAX: Duration = Duration::from_secs(1);

/// Raft itself must end in this time.
const RAFT_END_MAX: Duration = Duration::from_secs(5);

/// The rows must be flushed in this time when the node stops.
const FLUSH_MAX: Duration = Duration::from_secs(30);

/// This node's part of the replicated log and state.
#[derive(Clone)]
pub struct Consensus {
    pub(super) inner: Arc<Inner>,
}

/// What all handles share.
pub(super) struct Inner {
    pub(super) raft: RaftHandle,
    pub(super) proposer: Proposer,
    pub(super) applier: Applier,
    pub(super) store: Arc<Rows>,
    pub(super) dirs: SnapshotDirs,
    pub(super) rows: RowReader,
    pub(super) gate: Arc<Gate>,
    pub(super) turn: Turn,
    pub(super) waiting: Waiting,
    pub(super) raft_service: RaftService,
    pub(super) arrivals: Arrivals,
    pub(super) audience: Audience,
    pub(super) bootstrap_service: BootstrapService,
    pub(super) leadership: watch::Receiver<Leadership>,
    pub(super) applied: watch::Receiver<LogIndex>,
    pub(super) next_request: Arc<AtomicU64>,
    pub(super) level: RunningLevel,
    pub(super) log: WatchReceiverOf<TypeConfig, RaftDataMetrics<TypeConfig>>,
    pub(super) meter: LogMeter,
    pub(super) fatal: Fatal,
    pub(super) runtime: OwnRuntime,
}

impl Consensus {
    /// Opens the data directory, loads the state and starts Raft. Needs no peer to be up.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong with the directory or the options.
    pub async fn start(options: Options, sink: Box<dyn ApplySink>) -> Result<Self, StartError> {
        start::start(options, sink).await
    }

    /// The runtime of consensus: the peer listener belongs there, and what waits for nothing but Raft and does little.
    #[must_use]
    pub fn runtime(&self) -> tokio::runtime::Handle {
        self.inner.runtime.handle.clone()
    }

    /// The Raft service of the peer listener.
    #[must_use]
    pub fn raft_service(&self) -> RaftServer<RaftService> {
        self.inner.raft_service.clone().into_server()
    }

    /// Where clients of this node are counted: as long as there is one, leaders tell this node of commits at once.
    #[must_use]
    pub fn audience(&self) -> Audience {
        self.inner.audience.clone()
    }

    /// The Bootstrap service of the peer listener.
    #[must_use]
    pub fn bootstrap_service(&self) -> BootstrapServer<BootstrapService> {
        self.inner.bootstrap_service.clone().into_server()
    }

    /// How this node introduces itself to a peer, in the first frame of a stream of another service.
    #[must_use]
    pub fn header_to(&self, peer: CoordinatorId) -> PeerHeader {
        self.inner.gate.header_to(peer.0)
    }

    /// Checks the first frame of a peer's stream of another service, and says who it is.
    ///
    /// # Errors
    /// [`Refused`]: answer with it (it converts to FAILED_PRECONDITION).
    pub fn admit(&self, header: Option<&PeerHeader>) -> Result<CoordinatorId, Refused> {
        self.inner.gate.admit(header)
    }

    /// Begins the cluster once all listed members are there and empty, if this is the lowest of them. Returns at once
    /// on the others, and where the cluster has begun before.
    ///
    /// # Errors
    /// [`BootstrapError`]: the configuration is wrong somewhere, or the cluster exists and this node's disk is new.
    pub async fn bootstrap(&self) -> Result<(), BootstrapError> {
        let service = self.inner.bootstrap_service.clone();
        let begun = self.inner.runtime.handle.spawn(async move { service.begin().await });
        begun.await.map_err(|_ended| BootstrapError::Stopped)?
    }

    /// Who leads, as far as this node knows, and every change of it.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// The last entry that was applied here and told to the sink.
    #[must_use]
    pub fn applied_index(&self) -> watch::Receiver<LogIndex> {
        self.inner.applied.clone()
    }

    /// The number of the next change that carries a request id, by what was applied here.
    #[must_use]
    pub fn next_request(&self) -> RequestNo {
        RequestNo(self.inner.next_request.load(Ordering::Acquire))
    }

    /// The feature level that the cluster runs at, and the gate in front of what a later one brings.
    #[must_use]
    pub fn level(&self) -> &RunningLevel {
        &self.inner.level
    }

    /// Raised when the node can never go on: the process must end.
    #[must_use]
    pub fn fatal(&self) -> Fatal {
        self.inner.fatal.clone()
    }

    /// Hands an entry (see [`encode_entry`](super::encode_entry)) to the log, if this node leads in `term`. Returns as
    /// soon as it is on its way, with its fate to be awaited; several may be under way.
    ///
    /// # Errors
    /// Nothing was written, for certain: see [`ProposeError`].
    pub async fn propose(&self, term: Term, entry: Bytes) -> Result<Proposal, ProposeError> {
        let leadership = *self.inner.leadership.borrow();
        self.inner.proposer.propose(leadership, term, entry).await
    }

    /// Confirms with the majority that this node leads, and gives the index that a read must have seen. A node that
    /// has applied that index shows everything that was acknowledged before this call.
    ///
    /// # Errors
    /// [`ReadError`]: nothing was confirmed.
    pub async fn read_index(&self) -> Result<LogIndex, ReadError> {
        // Never by lease: it trusts clocks. The index includes this term's first entry, so waiting for it here also
        // makes sure that entries of earlier terms are committed.
        let linearizer =
            self.inner.raft.get_read_linearizer(ReadPolicy::ReadIndex).await.map_err(|error| match error {
                RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => {
                    // For a moment the library may not know any more, or not yet, whom this node has seen lead.
                    ReadError::NotLeader { leader: leader_of(&forward).or_else(|| self.other_leader()) }
                }
                RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)) => ReadError::NoQuorum,
                RaftError::Fatal(_) => ReadError::Stopped,
            })?;
        let index = LogIndex(linearizer.read_log_id().index());
        let mut applied = self.inner.applied.clone();
        match tokio::time::timeout(READ_APPLY_MAX, applied.wait_for(|applied| *applied >= index)).await {
            Ok(Ok(_)) => Ok(index),
            Ok(Err(_)) => Err(ReadError::Stopped),
            Err(_elapsed) => Err(ReadError::NoQuorum),
        }
    }

    /// Who leads as far as this node knows, if it is another one.
    fn other_leader(&self) -> Option<CoordinatorId> {
        let seen = *self.inner.leadership.borrow();
        seen.leader.filter(|_| !seen.is_self)
    }

    /// Runs a short closure on the state, between two groups of entries. Apply waits for it.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn with_state<T: Send + 'static>(
        &self,
        read: impl FnOnce(&State) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        self.inner.applier.read(read).await
    }

    /// Looks at the state where Raft runs, if nobody else has it and everything that is committed is applied.
    pub fn peek<T>(&self, look: impl FnOnce(&State) -> T) -> Option<T> {
        if self.lag() == 0 { self.inner.applier.peek(look) } else { None }
    }

    /// Reads rows from disk.
    #[must_use]
    pub fn rows(&self) -> RowReader {
        self.inner.rows.clone()
    }

    /// All members: address, and whether they vote. Empty until the cluster has begun.
    #[must_use]
    pub fn members(&self) -> Vec<(CoordinatorId, MemberNode, bool)> {
        status::members(&self.inner.raft.metrics().borrow_watched())
    }

    /// Whether a majority has answered this leader what it sent within so long. A follower's answer counts from the moment
    /// at which the question was sent. A single voter is its own majority; a node that does not lead has none.
    #[must_use]
    pub fn has_majority_within(&self, limit: Duration) -> bool {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        let mut voters = metrics.membership_config.voter_ids();
        let is_alone = voters.next() == Some(metrics.id) && voters.next().is_none();
        is_alone || metrics.last_quorum_acked.is_some_and(|acked| acked.elapsed() <= limit)
    }

    /// Whether a change of the voters is under way: the old and the new ones must both agree until it is done.
    #[must_use]
    pub fn is_changing(&self) -> bool {
        self.inner.raft.metrics().borrow_watched().membership_config.get_joint_config().len() > 1
    }

    /// The coordinators that certificates keep apart from this one, and why.
    #[must_use]
    pub fn unfit_peers(&self) -> Option<String> {
        self.inner.gate.unfit_peers()
    }

    /// What this node waits for before it is a member of its cluster; `None` once it is.
    #[must_use]
    pub fn waits_for(&self) -> Option<String> {
        self.inner.waiting.get()
    }

    /// What this node's Raft looks like.
    #[must_use]
    pub fn status(&self) -> RaftStatus {
        let flushed = flushed(&self.inner.store).unwrap_or_default();
        status::read(&self.inner.raft.metrics().borrow_watched(), flushed)
    }

    /// What log, rows and proposed entries take of memory and disk. Asks RocksDB: not for a thread that must not wait.
    #[must_use]
    pub fn storage(&self) -> StorageStatus {
        StorageStatus {
            log: self.inner.meter.figures(),
            state: self.inner.store.figures(),
            block_bytes: self.inner.store.block_bytes(),
            proposed_bytes: self.inner.proposer.bytes(),
        }
    }

    /// How many entries that are committed, as the leader says, this node has not applied yet, whether or not it has
    /// received them. Costs two looks, so it can be asked with every call.
    #[must_use]
    pub fn lag(&self) -> u64 {
        // One look after the other: a watch that is looked at keeps its writer waiting.
        let committed = {
            let log = self.inner.log.borrow_watched();
            log.cluster_committed.index().max(log.local_committed.index())
        };
        let applied = *self.inner.applied.borrow();
        committed.unwrap_or(0).saturating_sub(applied.0)
    }

    /// The snapshot that is on its way to this node, if there is one: until it is installed, nothing is applied here.
    #[must_use]
    pub fn receiving(&self) -> Option<Receiving> {
        self.inner.arrivals.receiving()
    }

    /// Hands the leadership to another voter, by default to the one whose log is longest, and waits until another
    /// leader is known here.
    ///
    /// # Errors
    /// [`TransferError`].
    pub async fn transfer_leader(&self, to: Option<CoordinatorId>) -> Result<(), TransferError> {
        let mut leadership = self.inner.leadership.clone();
        let now = *leadership.borrow_and_update();
        if !now.is_self {
            return Err(TransferError::NotLeader { leader: now.leader });
        }
        let target = self.successor(to).ok_or(TransferError::NoCandidate)?;
        self.inner.raft.trigger().transfer_leader(target).await.map_err(|_fatal| TransferError::Stopped)?;
        let changed = leadership.wait_for(|seen| seen.term > now.term && seen.leader.is_some() && !seen.is_self);
        match tokio::time::timeout(TRANSFER_MAX, changed).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(TransferError::Stopped),
            Err(_elapsed) => Err(TransferError::TimedOut),
        }
    }

    fn successor(&self, wanted: Option<CoordinatorId>) -> Option<u64> {
        let metrics = self.inner.raft.metrics().borrow_watched().clone();
        let voters = metrics.membership_config.voter_ids();
        let others = voters.filter(|id| *id != metrics.id && wanted.is_none_or(|wanted| wanted.0 == *id));
        let matched = |id: &u64| metrics.replication.as_ref().and_then(|all| all.get(id).cloned()).flatten();
        others.max_by_key(matched)
    }

    /// Stops Raft, then the state, flushes the rows, and ends the runtime of consensus with all that runs on it, the
    /// peer listener included. Other handles get errors from then on. A process must do this before it exits: the
    /// databases do not like to be used by threads while it goes down.
    ///
    /// Call it from another runtime.
    pub async fn shutdown(&self) {
        match tokio::time::timeout(RAFT_END_MAX, self.inner.raft.shutdown()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "Raft did not end cleanly"),
            Err(_elapsed) => tracing::warn!("Raft does not end: its disk hangs, or a defect"),
        }
        if tokio::time::timeout(FLUSH_MAX, self.inner.applier.stop()).await.is_err() {
            tracing::warn!("the rows are not flushed in time; the next start applies the log again");
        }
        let inner = self.inner.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || inner.runtime.stop()).await {
            tracing::warn!(%error, "the runtime of consensus did not end cleanly");
        }
    }
}
