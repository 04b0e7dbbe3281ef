//! The one row about the cluster as a whole.

use flame_types::{ClientId, ClusterMs, Epoch, EventNo, ExecutorKey, Generation, SessionKey, Term, Token, WallMs};
use serde::{Deserialize, Serialize};

use crate::config::ClusterConfig;

/// Cluster time, counters and configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRow {
    /// Cluster time. Never decreases.
    pub time: ClusterMs,
    /// The latest wall time any proposer stamped: what is shown never runs backwards.
    pub wall: WallMs,
    /// Term of the last [`crate::command::Command::LeaderStart`]: a second one of the same term changes nothing.
    pub term: Term,
    /// Counts restores and forced recoveries.
    pub generation: Generation,
    /// Nonce of the last new generation: the same command twice changes nothing.
    pub generation_nonce: u128,
    /// Feature level agreed by all members; 0 before they have agreed on one. See [`crate::level`].
    pub level: u32,
    /// Version of the built-in applications that were installed last.
    pub builtins: u32,
    /// Key of the next session.
    pub next_session: SessionKey,
    /// Key of the next executor.
    pub next_executor: ExecutorKey,
    /// Id of the next client.
    pub next_client: ClientId,
    /// The next token. One counter for the cluster: a token is never used twice.
    pub next_token: Token,
    /// The next lease epoch. One counter for all nodes: a node that was forgotten and comes back gets no old epoch.
    pub next_epoch: Epoch,
    /// The next edition of an application. One counter for all, so that an edition names one specification for ever.
    pub next_edition: u64,
    /// Figures that apply decides by.
    pub config: ClusterConfig,
    /// Nothing more may come in: too many coordinators are short of disk.
    pub disk_short: bool,
    /// Number of the next thing that happens in the cluster.
    pub next_event: EventNo,
    /// Number of the next entry of the object directory: what was deleted is told by it from what was put afterwards.
    pub next_object: u64,
}

impl Default for ClusterRow {
    fn default() -> Self {
        Self {
            time: ClusterMs(0),
            wall: WallMs(0),
            term: Term(0),
            generation: Generation(0),
            generation_nonce: 0,
            level: 0,
            builtins: 0,
            next_session: SessionKey(1),
            next_executor: ExecutorKey(1),
            next_client: ClientId(1),
            next_token: Token(1),
            next_epoch: Epoch(1),
            next_edition: 1,
            config: ClusterConfig::default(),
            disk_short: false,
            next_event: EventNo(1),
            next_object: 1,
        }
    }
}
