//! The client side of the peer protocol: how this node speaks to the others.
//!
//! Every peer has four kept connections, one per purpose, so that a large frame of one never delays another: the
//! stream of log entries, heartbeats, single questions (vote, pre-vote, transfer of leadership), and snapshots.
//!
//! * [`channels`]: the kept connections and their limits.
//! * [`frame`]: Raft messages as frames.
//! * [`append`]: the pipelined stream of entries.
//! * [`heartbeat`]: one question after the other on one standing stream.
//! * [`ask`]: single questions.
//! * [`snapshot`]: a snapshot, file by file, at a pace.
//!
//! **Invariant:** a stream carries its header and nothing else until the peer's own has come and was confirmed.
//! **Invariant:** everything that waits for one answer has a deadline, and a peer that could not be asked is never
//! counted as having agreed.

mod append;
mod ask;
pub(super) mod channels;
pub(super) mod frame;
mod heartbeat;
mod snapshot;

use std::sync::Arc;

use flame_storage::{MemberNode, TypeConfig};
use openraft::errors::{RPCError, Timeout, Unreachable};
use openraft::network::{Backoff, NetBackoff, RPCOption};
use openraft::{RPCTypes, RaftNetworkFactory};
use tonic::Status;
use tonic::transport::Channel;

use self::channels::Channels;
use self::heartbeat::Heartbeat;
pub(super) use self::snapshot::CHUNK_BYTES_MAX;
use super::audience::{Audiences, Elsewhere};
use super::gate::Gate;
use super::options::SnapshotLimits;
use super::rows::Rows;
use super::shipments::Shipments;
use super::snapshot_body::SnapshotDirs;
use super::token_bucket::Pace;

/// Largest frame that is accepted from a peer. Far above the byte limit of a replication frame (1 MiB) plus the
/// largest single entry.
pub(super) const FRAME_BYTES_MAX: usize = 64 << 20;

/// Makes clients for the Raft library.
#[derive(Clone)]
pub(super) struct Network {
    gate: Arc<Gate>,
    channels: Arc<Channels>,
    audiences: Arc<Audiences>,
    shipments: Arc<Shipments>,
    store: Arc<Rows>,
    dirs: SnapshotDirs,
    pace: Arc<Pace>,
}

impl Network {
    pub(super) fn new(
        gate: &Arc<Gate>,
        channels: &Arc<Channels>,
        shipments: &Arc<Shipments>,
        store: &Arc<Rows>,
        dirs: &SnapshotDirs,
        limits: &SnapshotLimits,
    ) -> Self {
        Self {
            gate: gate.clone(),
            channels: channels.clone(),
            audiences: Arc::default(),
            shipments: shipments.clone(),
            store: store.clone(),
            dirs: dirs.clone(),
            pace: Arc::new(Pace::new(limits.ship_bytes_per_second, CHUNK_BYTES_MAX)),
        }
    }

    fn client(&self, target: u64, node: &MemberNode, pick: fn(&channels::Kept) -> Channel) -> Client {
        let kept = self.channels.of(target, &node.peer);
        Client {
            network: self.clone(),
            target,
            stream: kept.as_ref().map(pick),
            questions: kept.as_ref().map(|kept| kept.questions.clone()),
            heartbeat: None,
            audience: self.audiences.of(target),
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, node: &MemberNode) -> Client {
        self.client(target, node, |kept| kept.entries.clone())
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &MemberNode) -> Client {
        let client = self.client(target, node, |kept| kept.heartbeats.clone());
        Client { heartbeat: Some(Heartbeat::default()), ..client }
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &MemberNode) -> Client {
        self.client(target, node, |kept| kept.snapshots.clone())
    }
}

/// Speaks to one peer for one purpose.
pub(super) struct Client {
    network: Network,
    target: u64,
    /// `None` when the member's address is not one: reported with every try.
    stream: Option<Channel>,
    questions: Option<Channel>,
    /// Only of a client for heartbeats.
    heartbeat: Option<Heartbeat>,
    /// Whether the peer has clients who wait for commits.
    audience: Elsewhere,
}

impl NetBackoff<TypeConfig> for Client {
    /// None of its own: the configuration has one for all.
    fn backoff(&self) -> Option<Backoff> {
        None
    }
}

fn unreachable(why: impl std::fmt::Display) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::from_string(why))
}

impl Client {
    fn timed_out(&self, action: RPCTypes, option: &RPCOption) -> RPCError<TypeConfig> {
        RPCError::Timeout(Timeout {
            action,
            id: self.network.gate.id().0,
            target: self.target,
            timeout: option.soft_ttl(),
        })
    }

    /// An error of the peer. If it takes this node for a stranger, the log says so.
    fn refused(&self, status: Status) -> RPCError<TypeConfig> {
        self.network.gate.refused_by(self.target, &status);
        unreachable(status)
    }

    fn bad_address(&self) -> RPCError<TypeConfig> {
        unreachable(format!("the address of coordinator {} cannot be used", self.target))
    }
}
