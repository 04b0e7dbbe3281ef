//! The types openraft is instantiated with.
//!
//! **Invariant:** an entry's data is opaque here. Whoever proposes it encodes it once; log, network and apply pass the
//! same bytes on.

use std::fmt;

use bytes::Bytes;
use openraft::alias::{LeaderIdOf, LogIdOf, SnapshotMetaOf, StoredMembershipOf, VoteOf};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

openraft::declare_raft_types!(
    /// Raft as this project runs it: plain terms (one leader a term), entries of opaque bytes, and no response through
    /// Raft, since every node computes the replies in its own apply.
    pub TypeConfig:
        D = EntryData,
        R = (),
        NodeId = u64,
        Node = MemberNode,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
);

/// Term and candidate of a vote.
pub type LeaderId = LeaderIdOf<TypeConfig>;
/// Term and index of an entry.
pub type LogId = LogIdOf<TypeConfig>;
/// A vote, given or won.
pub type Vote = VoteOf<TypeConfig>;
/// A log entry.
pub type Entry = openraft::alias::EntryOf<TypeConfig>;
/// What a log entry carries.
pub type EntryPayload = openraft::EntryPayload<EntryData, u64, MemberNode>;
/// Voters, learners and their addresses.
pub type Membership = openraft::Membership<u64, MemberNode>;
/// A membership with the log id that set it.
pub type StoredMembership = StoredMembershipOf<TypeConfig>;
/// What a snapshot stands for.
pub type SnapshotMeta = SnapshotMetaOf<TypeConfig>;

/// The data of one entry: a batch of commands, already encoded.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryData(pub Bytes);

impl From<Bytes> for EntryData {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for EntryData {
    /// Length only: user data does not belong into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

impl fmt::Display for EntryData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Where a member listens, as "host:port", and whose disk it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MemberNode {
    /// For the other members.
    pub peer: String,
    /// For clients.
    pub client: String,
    /// For workers.
    pub worker: String,
    /// The random id of its store when it became a member: under its id no other disk is ever believed. Nil in the
    /// configuration, where nobody knows it yet.
    pub store_id: Uuid,
}

impl fmt::Display for MemberNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer={} client={} worker={}", self.peer, self.client, self.worker)
    }
}
