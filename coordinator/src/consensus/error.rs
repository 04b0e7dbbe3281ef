//! What can go wrong, by what the caller can do about it.

use flame_storage::Error as StorageError;
use flame_tls::Verdict;
use flame_types::CoordinatorId;

use super::gate::TLS_SETTINGS;

/// The node could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Log, state or identity could not be opened: the storage error says why and what it means.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A row of the state cannot be read: it is damaged, or a newer release wrote it.
    #[error("the stored state cannot be loaded: {0}")]
    State(String),
    /// The rows are of a feature level that this build does not understand.
    #[error("{0}")]
    Outdated(String),
    /// The options contradict each other.
    #[error("{0}")]
    Options(String),
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A defect.
    #[error("consensus failed while it started: {0}")]
    Defect(String),
    /// The Raft library refused to start from what it found in the log.
    #[error("the log cannot be recovered: {0}")]
    Recovery(String),
}

/// An entry was not taken, or did not make it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This node does not lead in that term. Without a hint: try here again after a short wait; it may be a leader
    /// that has lost touch with the majority for a moment.
    #[error("this node does not lead{}", hint(*leader))]
    NotLeader {
        /// Who leads, as far as this node knows.
        leader: Option<CoordinatorId>,
    },
    /// The entry never reached the log: it has no effect, for certain.
    #[error("the entry was refused before it reached the log{}", hint(*leader))]
    Dropped {
        /// Who leads, as far as this node knows.
        leader: Option<CoordinatorId>,
    },
    /// The entry may or may not take effect: another leader came, or the node stopped, before its fate was known.
    #[error("the fate of the entry is unknown")]
    Unknown,
    /// The entry is longer than any that is accepted.
    #[error("an entry of {bytes} bytes exceeds the limit of {limit}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The most that is accepted.
        limit: usize,
    },
    /// The node is stopping; nothing was written.
    #[error("this node is stopping")]
    Stopped,
}

/// A read could not be confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// This node does not lead.
    #[error("this node does not lead{}", hint(*leader))]
    NotLeader {
        /// Who leads, as far as this node knows.
        leader: Option<CoordinatorId>,
    },
    /// The majority did not answer, or this node's own state did not catch up, in time.
    #[error("the majority could not be reached in time")]
    NoQuorum,
    /// The node is stopping.
    #[error("this node is stopping")]
    Stopped,
}

/// The node is stopping: nothing is answered any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this node is stopping")]
pub struct Stopped;

/// The leadership was not handed over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// This node does not lead.
    #[error("this node does not lead{}", hint(*leader))]
    NotLeader {
        /// Who leads, as far as this node knows.
        leader: Option<CoordinatorId>,
    },
    /// There is no other voter (or that node is none).
    #[error("there is no other voter to hand the leadership to")]
    NoCandidate,
    /// No other leader appeared in time; this node may still lead.
    #[error("no other leader appeared in time")]
    TimedOut,
    /// The node is stopping.
    #[error("this node is stopping")]
    Stopped,
}

/// The cluster was not begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootstrapError {
    /// A listed peer lists other members, or other addresses.
    #[error("coordinator {peer} lists other members than this one: give all of them the same list")]
    MembersDiffer {
        /// The peer.
        peer: CoordinatorId,
    },
    /// A listed peer refused: it belongs to another cluster, or does not know this node.
    #[error("coordinator {peer} refused: {reason}")]
    Refused {
        /// The peer.
        peer: CoordinatorId,
        /// Its words.
        reason: String,
    },
    /// The certificates of both sides do not fit. They may be mended while both run.
    #[error("coordinator {peer} and this one do not come together over TLS: {}", verdict.explain(TLS_SETTINGS))]
    Unfit {
        /// The peer.
        peer: CoordinatorId,
        /// What is wrong.
        verdict: Verdict,
    },
    /// A listed peer already has data, so the cluster exists and this node has lost its part of it. It must not begin
    /// a new one, and must not come back under its old id.
    #[error("coordinator {peer} already has data but this node has none: rejoin under a new id")]
    ClusterExists {
        /// The peer.
        peer: CoordinatorId,
    },
    /// The Raft library refused to begin.
    #[error("the cluster could not be begun: {0}")]
    Failed(String),
    /// The node is stopping.
    #[error("this node is stopping")]
    Stopped,
}

fn hint(leader: Option<CoordinatorId>) -> String {
    leader.map_or_else(String::new, |id| format!("; coordinator {id} may"))
}
