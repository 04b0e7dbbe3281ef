//! How a node comes into a cluster that exists: it asks the members at the addresses in its configuration who they all
//! are, and waits until one of them, which leads, adds it.
//!
//! It knows nothing by which it could tell a member from somebody else but those addresses. So whoever answers there, of the
//! right cluster, is believed in one thing: which ids with which disks are members. Only these may speak to Raft here, and
//! only until the log says who is a member.
//!
//! **Invariant:** a node that waits begins no cluster, votes for nobody and campaigns never: it is in no one's membership.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flame_proto::ha::{KnownMember, ProbeReply, ProbeRequest, Standing};
use flame_storage::{Cause, Fatal, MemberNode};
use flame_types::CoordinatorId;
use uuid::Uuid;

use super::bootstrap::BootstrapService;
use super::error::BootstrapError;
use super::gate::TLS_SETTINGS;
use super::level::outdated;
use super::meeting::told;

/// Between two rounds of questions.
const ROUND_WAIT: Duration = Duration::from_millis(500);

/// What a node waits for before it is a member; for its log and for whoever asks whether it is ready.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting(Arc<Mutex<Option<String>>>);

impl Waiting {
    pub(super) fn get(&self) -> Option<String> {
        // Nothing that is done under the lock can fail halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, what: Option<String>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != what {
            match &what {
                Some(what) => tracing::info!("this node is no member yet: {what}"),
                None => tracing::info!("this node was added"),
            }
            *known = what;
        }
    }
}

/// Asks until this node is a member, or must end. Nothing to do for one that is listed or holds a log.
pub(super) async fn run(service: BootstrapService, waiting: Waiting, fatal: Fatal) {
    while !service.join.addresses.is_empty() && !service.gate.directory.is_in_log(service.gate.id()) {
        let asked = service.join.addresses.iter().enumerate().map(|(slot, address)| ask(&service, slot, address));
        let mut silent = Vec::new();
        for answer in futures::future::join_all(asked).await {
            match answer {
                Ok(reply) => match ends(&service, &reply) {
                    Some(cause) => return fatal.raise_as(cause),
                    None => trust(&service, reply),
                },
                Err(why) => silent.push(why),
            }
        }
        waiting.set(Some(what_for(&service, &silent)));
        tokio::time::sleep(ROUND_WAIT).await;
    }
    waiting.set(None);
}

/// Asks whoever is at an address who the members are.
async fn ask(service: &BootstrapService, slot: usize, address: &str) -> Result<ProbeReply, String> {
    // Connections are kept by member, and nobody has so high an id.
    let nobody = CoordinatorId(u64::MAX - slot as u64);
    let header = Some(service.gate.header_to(0));
    let question = ProbeRequest { header, joins: true, ..service.question() };
    let reply = match service.put(nobody, address, question).await {
        Ok(reply) => reply.ok_or_else(|| format!("{address} does not answer"))?,
        Err(BootstrapError::Refused { reason, .. }) => return Err(format!("{address} refuses: {reason}")),
        Err(BootstrapError::Unfit { verdict, .. }) => {
            return Err(format!("{address} and this node: {}", verdict.explain(TLS_SETTINGS)));
        }
        Err(error) => return Err(format!("{address}: {error}")),
    };
    if reply.cluster_id != service.gate.cluster_id() {
        return Err(format!("{address} belongs to cluster {:?}", reply.cluster_id));
    }
    if !reply.members.iter().any(|member| member.id == reply.id) {
        return Err(format!("coordinator {} at {address} is no member of a cluster itself", reply.id));
    }
    Ok(reply)
}

/// What ends this node: it can never be added.
fn ends(service: &BootstrapService, reply: &ProbeReply) -> Option<Cause> {
    if reply.standing() == Standing::OtherStore && !service.holds_log() {
        let (id, by, next) = (service.gate.id(), reply.id, reply.next_id);
        let why = format!("coordinator {by} says that coordinator {id} is a member with another disk");
        return Some(Cause::Replaced(format!("{why}; start that disk again, or join under a new id: {next} is free")));
    }
    told(reply).or_else(|| reply.header.as_ref().and_then(outdated))
}

fn trust(service: &BootstrapService, reply: ProbeReply) {
    let node = |member: KnownMember| {
        // One without a store is checked by what is met.
        let store_id = Uuid::parse_str(&member.store_id).unwrap_or_default();
        let node = MemberNode { peer: member.peer_endpoint, store_id, ..MemberNode::default() };
        (CoordinatorId(member.id), node)
    };
    let members: BTreeMap<_, _> = reply.members.into_iter().map(node).collect();
    service.gate.directory.trust(members);
}

fn what_for(service: &BootstrapService, silent: &[String]) -> String {
    let (id, cluster) = (service.gate.id(), service.gate.cluster_id());
    if service.gate.directory.trusts_anybody() {
        let peer = seen_from_outside(&service.join.own.peer);
        return format!("it waits to be added to cluster {cluster:?}: flmctl cluster add {id} --peer {peer}");
    }
    format!("it waits for a member of cluster {cluster:?} to answer: {}", silent.join("; "))
}

/// An address that means "everywhere" leads nobody there.
fn seen_from_outside(listens: &str) -> String {
    match listens.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_unspecified() => format!("HOST:{}", address.port()),
        _ => listens.to_owned(),
    }
}
