//! The beginning of a cluster, and the question by which nodes get to know each other then and later
//! (see [`meeting`](super::meeting)).
//!
//! The lowest listed node begins, and only after every other listed node has answered that it is empty and lists the
//! same members. So two halves of a misconfigured list can never begin two clusters. The other nodes need do nothing:
//! they hear of the cluster through the log. The first entry names the disk of each, as it has just answered: from the
//! first vote on nobody believes another one.
//!
//! **Invariant:** a node that waits to be added lists nobody and begins nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flame_proto::ha::bootstrap_client::BootstrapClient;
use flame_proto::ha::bootstrap_server::{Bootstrap, BootstrapServer};
use flame_proto::ha::{self, ProbeReply, ProbeRequest};
use flame_storage::{Identity, MemberNode};
use flame_tls::Verdict;
use flame_types::{CoordinatorId, LogIndex};
use openraft::errors::{InitializeError, RaftError};
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

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

/// How a node comes into a cluster that exists already.
#[derive(Clone, Debug, Default)]
pub(super) struct Join {
    /// Where members are asked; empty for a node that is listed.
    pub(super) addresses: Vec<String>,
    /// Where this node listens.
    pub(super) own: MemberNode,
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
    /// Whom this node asks to be added, and where it listens itself.
    pub(super) join: Arc<Join>,
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
        !self.members.is_empty() && self.members.iter().all(|(id, _)| *id >= self.gate.id())
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
            if let Some(stores) = self.all_agree().await? {
                return self.initialize(&stores).await;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(ROUND_WAIT_MAX);
        }
    }

    /// `stores`: of all others.
    async fn initialize(&self, stores: &BTreeMap<CoordinatorId, Uuid>) -> Result<(), BootstrapError> {
        let own = self.identity.store_id();
        let member = |(id, node): &(CoordinatorId, MemberNode)| {
            let store_id = stores.get(id).copied().unwrap_or(own);
            (id.0, MemberNode { store_id, ..node.clone() })
        };
        let members: BTreeMap<u64, MemberNode> = self.members.iter().map(member).collect();
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

    /// Asks all others, at the same time. Gives their stores when all agree; `None`: not all are there yet.
    async fn all_agree(&self) -> Result<Option<BTreeMap<CoordinatorId, Uuid>>, BootstrapError> {
        let answers = futures::future::join_all(self.others().map(|(id, node)| self.probe(*id, node))).await;
        let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        let stores = self.others().zip(answers).map(|((id, _), store)| Some((*id, store?)));
        Ok(stores.collect())
    }

    /// The store of a peer that is empty and of the same mind. `None`: not there yet.
    async fn probe(&self, peer: CoordinatorId, node: &MemberNode) -> Result<Option<Uuid>, BootstrapError> {
        let Some(reply) = self.ask(peer, node).await? else { return Ok(None) };
        if reply.members_token != members_token(&self.members) {
            return Err(BootstrapError::MembersDiffer { peer });
        }
        if !reply.empty {
            return Err(BootstrapError::ClusterExists { peer });
        }
        let store = reply.header.as_ref().and_then(|header| Uuid::parse_str(&header.store_id).ok());
        let refused = || BootstrapError::Refused { peer, reason: "it does not say which disk it has".to_owned() };
        store.map(Some).ok_or_else(refused)
    }

    /// Asks another coordinator how it stands. `None`: it is not there, or too slow.
    pub(super) async fn ask(
        &self,
        peer: CoordinatorId,
        node: &MemberNode,
    ) -> Result<Option<ProbeReply>, BootstrapError> {
        let refused = |reason: String| BootstrapError::Refused { peer, reason };
        let question = ProbeRequest { header: Some(self.gate.header_to(peer.0)), ..self.question() };
        let reply = match self.put(peer, &node.peer, question).await {
            Err(BootstrapError::Unfit { verdict, .. }) => {
                self.gate.unfit(peer, &verdict);
                None
            }
            reply => reply?,
        };
        match reply {
            Some(reply) if reply.id != peer.0 => {
                Err(refused(format!("at its address coordinator {} answers", reply.id)))
            }
            reply => Ok(reply),
        }
    }

    /// A question without a header.
    pub(super) fn question(&self) -> ProbeRequest {
        ProbeRequest {
            cluster_id: self.gate.cluster_id().to_owned(),
            from: self.gate.id().0,
            members_token: members_token(&self.members),
            header: None,
            holds_log: self.holds_log(),
            joins: false,
        }
    }

    /// Puts a question to whoever is at an address, over the connections that are kept for `peer`.
    pub(super) async fn put(
        &self,
        peer: CoordinatorId,
        address: &str,
        question: ProbeRequest,
    ) -> Result<Option<ProbeReply>, BootstrapError> {
        let refused = |reason: String| BootstrapError::Refused { peer, reason };
        let Some(kept) = self.channels.of(peer.0, address) else {
            return Err(refused(format!("{address:?} is not an address")));
        };
        let mut client = BootstrapClient::new(kept.questions);
        match tokio::time::timeout(PROBE_MAX, client.probe(question)).await {
            Ok(Ok(reply)) => Ok(Some(reply.into_inner())),
            Ok(Err(status)) if status.code() == Code::FailedPrecondition => Err(refused(status.message().to_owned())),
            Ok(Err(status)) => match Verdict::of(&status) {
                Some(verdict) => Err(BootstrapError::Unfit { peer, verdict }),
                None => Ok(None),
            },
            Err(_) => Ok(None),
        }
    }

    /// What this node tells of itself, whoever asks.
    async fn answer(&self, to: CoordinatorId) -> Result<ProbeReply, Status> {
        let empty = self.is_empty().await.map_err(|stopped| Status::unavailable(stopped.to_string()))?;
        let gate = &self.gate;
        let waits = !self.join.addresses.is_empty() && !self.holds_log();
        Ok(ProbeReply {
            id: gate.id().0,
            empty,
            members_token: members_token(&self.members),
            cluster_id: gate.cluster_id().to_owned(),
            header: Some(gate.header_to(to.0)),
            holds_log: self.holds_log(),
            leads: self.leadership.borrow().is_self && gate.directory.is_in_log(to),
            next_id: gate.directory.next_id().0,
            client_endpoint: self.join.own.client.clone(),
            worker_endpoint: self.join.own.worker.clone(),
            waits,
            ..ProbeReply::default()
        })
    }

    fn members_by_log(&self) -> Vec<ha::KnownMember> {
        let known = |(id, node): (CoordinatorId, MemberNode)| ha::KnownMember {
            id: id.0,
            peer_endpoint: node.peer,
            store_id: node.store_id.to_string(),
        };
        self.gate.directory.by_log().into_iter().map(known).collect()
    }
}

#[tonic::async_trait]
impl Bootstrap for BootstrapService {
    async fn probe(&self, request: Request<ProbeRequest>) -> Result<Response<ProbeReply>, Status> {
        let question = request.into_inner();
        let from = CoordinatorId(question.from);
        self.gate.check_cluster(&question.cluster_id)?;
        // A release before this field does not introduce itself.
        let header = question.header.unwrap_or_default();
        let (standing, reason) = self.gate.standing(from, &header);
        // Who was removed is told so, and who wants to be added is nobody yet.
        if standing != ha::Standing::Removed && !question.joins {
            self.gate.check_may_ask(from)?;
            if !header.store_id.is_empty() {
                self.gate.meet(from, &header, Remember::if_both(self.holds_log(), question.holds_log));
            }
        }
        let members = if question.joins { self.members_by_log() } else { Vec::new() };
        Ok(Response::new(ProbeReply {
            standing: standing.into(),
            reason: reason.map(|reason| reason.to_string()).unwrap_or_default(),
            members,
            ..self.answer(from).await?
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
