//! What this node's Raft looks like from outside, for people and for health checks.

use std::time::Duration;

use flame_storage::{DatabaseFigures, LogFigures, MemberNode, TypeConfig};
use flame_types::{CoordinatorId, LogIndex, Term};
use openraft::metrics::RaftMetrics;
use openraft::{Instant, LogIdOptionExt, ServerState};

/// A snapshot of this node's Raft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftStatus {
    /// This node.
    pub id: CoordinatorId,
    /// What it is at the moment.
    pub role: Role,
    /// Its term.
    pub term: Term,
    /// Who leads, as far as it knows.
    pub leader: Option<CoordinatorId>,
    /// Last entry of its log; 0 when it has none.
    pub last: LogIndex,
    /// Last entry it knows to be committed.
    pub committed: LogIndex,
    /// Last entry applied to its state.
    pub applied: LogIndex,
    /// What a crash would leave of its state without the log.
    pub flushed: LogIndex,
    /// Its newest snapshot.
    pub snapshot: LogIndex,
    /// The log begins after this entry.
    pub purged: LogIndex,
    /// The others, as the leader sees them; empty on other nodes.
    pub peers: Vec<PeerStatus>,
}

/// What a node is in Raft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Receives the log and has no vote.
    Learner,
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
    /// Has stopped.
    Stopped,
}

/// How the leader sees another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The node.
    pub id: CoordinatorId,
    /// Its log is known to agree up to here.
    pub matched: LogIndex,
    /// How long ago the message was sent that it last answered; `None` if it never did.
    pub heard: Option<Duration>,
}

/// What this node's consensus takes of memory and disk.
#[derive(Clone, Debug, PartialEq)]
pub struct StorageStatus {
    /// The log.
    pub log: LogFigures,
    /// The rows.
    pub state: DatabaseFigures,
    /// Blocks of both databases in memory.
    pub block_bytes: usize,
    /// Entries that are proposed and not settled.
    pub proposed_bytes: usize,
}

fn index(log_id: &Option<flame_storage::LogId>) -> LogIndex {
    LogIndex(log_id.index().unwrap_or(0))
}

pub(super) fn read(metrics: &RaftMetrics<TypeConfig>, flushed: LogIndex) -> RaftStatus {
    let replication = metrics.replication.iter().flatten();
    let peers = replication
        .filter(|(id, _)| **id != metrics.id)
        .map(|(id, matched)| PeerStatus {
            id: CoordinatorId(*id),
            matched: index(matched),
            heard: metrics
                .heartbeat
                .as_ref()
                .and_then(|heard| heard.get(id))
                .and_then(|at| at.as_ref().map(|at| at.elapsed())),
        })
        .collect();
    RaftStatus {
        id: CoordinatorId(metrics.id),
        role: match metrics.state {
            ServerState::Learner => Role::Learner,
            ServerState::Follower => Role::Follower,
            ServerState::Candidate => Role::Candidate,
            ServerState::Leader => Role::Leader,
            ServerState::Shutdown => Role::Stopped,
        },
        term: Term(metrics.current_term),
        leader: metrics.current_leader.map(CoordinatorId),
        last: LogIndex(metrics.last_log_index.unwrap_or(0)),
        committed: index(&metrics.local_committed),
        applied: index(&metrics.last_applied),
        flushed,
        snapshot: index(&metrics.snapshot),
        purged: index(&metrics.purged),
        peers,
    }
}

/// All members, in the order of their ids: address and whether they vote.
pub(super) fn members(metrics: &RaftMetrics<TypeConfig>) -> Vec<(CoordinatorId, MemberNode, bool)> {
    let voters: Vec<u64> = metrics.membership_config.voter_ids().collect();
    metrics
        .membership_config
        .nodes()
        .map(|(id, node)| (CoordinatorId(*id), node.clone(), voters.contains(id)))
        .collect()
}
