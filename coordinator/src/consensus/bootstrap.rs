//! The beginning of a cluster, and the question by which nodes get to know each other then and later
//! (see [`meeting`](super::meeting)).
//!
//! The lowest listed node begins, and only after every other listed node has answered that it is empty and lists the
//! same members. So two halves of a misconfigured list can never begin two clusters. The other nodes need do nothing:
//! they hear of the cluster through the log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flame_proto::ha::bootstrap_client::BootstrapClient;
use flame_proto::ha::bootstrap_server::{Bootstrap, BootstrapServer};
use flame_proto::ha::{ProbeReply, ProbeRequest};
use flame_storage::{Identity, MemberNode};
use flame_types::{CoordinatorId, LogIndex};
use openraft::errors::{InitializeError, RaftError};
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status};

use super::RaftHandle;
use super::error::BootstrapError;
use super::gate::{Gate, Remember};
use super::leadership::Leadership;
use super::network::channels::Channels;

/// A peer that does not answer in this time is asked again later.
const PROBE_MAX: Duration = Duration::from_secs(1);

/// Between two rounds of questions, at first and at most.
const ROUND_WAIT_MIN: Duration = Duration::from_millis(50);
const ROUND_WAIT_MAX: Duration = Duration::from_secs(1);

/// A number that two nodes share only if they list the same ids with the same addresses.
#[must_use]
pub fn members_token(members: &[(CoordinatorId, MemberNode)]) -> u64 {
    let sorted: BTreeMap<u64, &str> = members.iter().map(|(id, node)| (id.0, node.peer.as_str())).collect();
    // FNV-1a: written down here, since the value is compared between releases.
    let mut token = 0xcbf2_9ce4_8422_2325_u64;
    let mut feed = |bytes: &[u8]| {
        for byte in bytes {
            token = (token ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    for (id, address) in sorted {
        feed(&id.to_be_bytes());
        feed(&(address.len() as u64).to_be_bytes());
        feed(address.as_bytes());
    }
    token
}

/// Answers probes and begins the cluster.
#[derive(Clone)]
pub struct BootstrapService {
    pub(super) raft: RaftHandle,
    pub(super) gate: Arc<Gate>,
    pub(super) channels: Arc<Channels>,
    pub(super) identity: Arc<Identity>,
    /// As listed in the configuration.
    pub(super) members: Arc<Vec<(CoordinatorId, MemberNode)>>,
    pub(super) leadership: watch::Receiver<Leadership>,
    pub(super) applied: watch::Receiver<LogIndex>,
}

impl BootstrapService {
    pub(super) fn into_server(self) -> BootstrapServer<Self> {
        BootstrapServer::new(self)
    }

    /// Whether this node has neither log nor vote.
    async fn is_empty(&self) -> Result<bool, BootstrapError> {
        let initialized = self.raft.is_initialized().await.map_err(|_fatal| BootstrapError::Stopped)?;
        Ok(!initialized)
    }

    /// Whether this node has anything of a log. The vote does not count: it is given to whoever asks first.
    pub(super) fn holds_log(&self) -> bool {
        self.identity.acknowledged_floor().is_some() || *self.applied.borrow() > LogIndex(0)
    }

    /// Whether it is this node that begins the cluster.
    pub(super) fn is_first(&self) -> bool {
        self.members.iter().all(|(id, _)| *id >= self.gate.id())
    }

    /// All listed members but this one.
    pub(super) fn others(&self) -> impl Iterator<Item = &(CoordinatorId, MemberNode)> {
        self.members.iter().filter(|(id, _)| *id != self.gate.id())
    }

    /// Begins the cluster if that is this node's task; returns at once otherwise, and when it has begun before.
    pub(super) async fn begin(&self) -> Result<(), BootstrapError> {
        if !self.is_first() {
            return Ok(());
        }
        let mut wait = ROUND_WAIT_MIN;
        loop {
            if !self.is_empty().await? {
                return Ok(());
            }
            if self.all_agree().await? {
                return self.initialize().await;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(ROUND_WAIT_MAX);
        }
    }

    async fn initialize(&self) -> Result<(), BootstrapError> {
        let members: BTreeMap<u64, MemberNode> = self.members.iter().map(|(id, node)| (id.0, node.clone())).collect();
        tracing::info!(members = members.len(), "beginning the cluster");
        match self.raft.initialize(members).await {
            Ok(()) => {}
            // Somebody was faster: the cluster exists, which is all that is wanted.
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => return Ok(()),
            Err(RaftError::APIError(error)) => return Err(BootstrapError::Failed(error.to_string())),
            Err(RaftError::Fatal(_)) => return Err(BootstrapError::Stopped),
        }
        self.identity.set_bootstrapped().map_err(|error| BootstrapError::Failed(error.to_string()))
    }

    /// Asks all others, at the same time.
    async fn all_agree(&self) -> Result<bool, BootstrapError> {
        let answers = futures::future::join_all(self.others().map(|(id, node)| self.probe(*id, node))).await;
        answers.into_iter().try_fold(true, |all, answer| answer.map(|agrees| all && agrees))
    }

    /// Whether a peer is there, empty, and of the same mind. `false`: not there yet.
    async fn probe(&self, peer: CoordinatorId, node: &MemberNode) -> Result<bool, BootstrapError> {
        let Some(reply) = self.ask(peer, node).await? else { return Ok(false) };
        if reply.members_token != members_token(&self.members) {
            return Err(BootstrapError::MembersDiffer { peer });
        }
        if reply.empty { Ok(true) } else { Err(BootstrapError::ClusterExists { peer }) }
    }

    /// Asks a listed member how it stands. `None`: it is not there, or too slow.
    pub(super) async fn ask(
        &self,
        peer: CoordinatorId,
        node: &MemberNode,
    ) -> Result<Option<ProbeReply>, BootstrapError> {
        let refused = |reason: String| BootstrapError::Refused { peer, reason };
        let Some(kept) = self.channels.of(peer.0, &node.peer) else {
            return Err(refused(format!("{:?} is not an address", node.peer)));
        };
        let question = ProbeRequest {
            cluster_id: self.gate.cluster_id().to_owned(),
            from: self.gate.id().0,
            members_token: members_token(&self.members),
            header: Some(self.gate.header_to(peer.0)),
            holds_log: self.holds_log(),
        };
        let mut client = BootstrapClient::new(kept.questions);
        let reply = match tokio::time::timeout(PROBE_MAX, client.probe(question)).await {
            Ok(Ok(reply)) => reply.into_inner(),
            Ok(Err(status)) if status.code() == Code::FailedPrecondition => {
                return Err(refused(status.message().to_owned()));
            }
            Ok(Err(_)) | Err(_) => return Ok(None),
        };
        if reply.id != peer.0 {
            return Err(refused(format!("at its address coordinator {} answers", reply.id)));
        }
        Ok(Some(reply))
    }
}

#[tonic::async_trait]
impl Bootstrap for BootstrapService {
    async fn probe(&self, request: Request<ProbeRequest>) -> Result<Response<ProbeReply>, Status> {
        let question = request.into_inner();
        let from = CoordinatorId(question.from);
        self.gate.check_cluster(&question.cluster_id)?;
        self.gate.check_member(from)?;
        let holds_log = self.holds_log();
        // A release before this field does not introduce itself.
        if let Some(header) = &question.header {
            let remember = Remember::if_both(holds_log, question.holds_log);
            self.gate.meet(from, header, remember);
        }
        let empty = self.is_empty().await.map_err(|stopped| Status::unavailable(stopped.to_string()))?;
        Ok(Response::new(ProbeReply {
            id: self.gate.id().0,
            empty,
            members_token: members_token(&self.members),
            cluster_id: self.gate.cluster_id().to_owned(),
            header: Some(self.gate.header_to(question.from)),
            holds_log,
            leads: self.leadership.borrow().is_self && self.gate.is_in_log(from),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, peer: &str) -> (CoordinatorId, MemberNode) {
        (CoordinatorId(id), MemberNode { peer: peer.to_owned(), ..MemberNode::default() })
    }

    #[test]
    fn the_token_depends_on_ids_and_addresses_and_not_on_their_order() {
        let token = members_token(&[member(1, "a:1"), member(2, "b:2")]);
        assert_eq!(token, members_token(&[member(2, "b:2"), member(1, "a:1")]));
        assert_ne!(token, members_token(&[member(1, "a:1"), member(3, "b:2")]));
        assert_ne!(token, members_token(&[member(1, "a:1"), member(2, "b:3")]));
        assert_ne!(token, members_token(&[member(1, "a:1")]));
        assert_ne!(token, members_token(&[member(1, "a:1b"), member(2, ":2")]));
    }
}
