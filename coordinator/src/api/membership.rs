//! `flame.ha.v1.Membership`: changing who the coordinators are.

use std::collections::BTreeSet;

use flame_proto::ha;
use flame_proto::ha::change_members_request::Change as Wanted;
use flame_proto::ha::membership_server::Membership;
use flame_storage::MemberNode;
use flame_types::CoordinatorId;
use tonic::{Request, Response, Status};

use super::call::Call;
use crate::consensus::{BEHIND_MAX, Change, ChangeError, Changed, Plan, Refusal, Wish};
use crate::drive::gateway::Gateway;

/// Longest address of a member.
const ADDRESS_BYTES_MAX: usize = 256;

/// The service of this node.
pub struct MembershipService {
    gateway: Gateway,
}

impl MembershipService {
    /// A service over this gateway.
    #[must_use]
    pub fn new(gateway: Gateway) -> Self {
        Self { gateway }
    }
}

#[tonic::async_trait]
impl Membership for MembershipService {
    async fn change(
        &self,
        request: Request<ha::ChangeMembersRequest>,
    ) -> Result<Response<ha::ChangeMembersReply>, Status> {
        let call = Call::of(request.metadata());
        let message = request.into_inner();
        let wish = Wish { force: message.force, dry_run: message.dry_run };
        let change = wanted(message.change)?;
        match self.gateway.change_members(change, wish, call.deadline).await {
            Ok(Changed { plan, made }) => {
                let plan = Some(shown(plan));
                Ok(Response::new(ha::ChangeMembersReply { plan, changed: made, ..ha::ChangeMembersReply::default() }))
            }
            Err(ChangeError::NotLeader { leader }) => {
                let leader = leader.map_or(0, |leader| leader.0);
                Ok(Response::new(ha::ChangeMembersReply {
                    not_leader: true,
                    leader,
                    ..ha::ChangeMembersReply::default()
                }))
            }
            Err(error) => Err(status(&error)),
        }
    }
}

fn wanted(change: Option<Wanted>) -> Result<Change, Status> {
    match change.ok_or_else(|| Status::invalid_argument("no change is named"))? {
        Wanted::Add(add) => {
            let peer = address("the peer address", add.peer_endpoint)?;
            if peer.is_empty() {
                return Err(Status::invalid_argument("the peer address is missing: write it as host:port"));
            }
            let client = address("the client address", add.client_endpoint)?;
            let worker = address("the worker address", add.worker_endpoint)?;
            Ok(Change::Add { id: id(add.id)?, node: MemberNode { peer, client, worker, ..MemberNode::default() } })
        }
        Wanted::Promote(promote) => Ok(Change::Promote { id: id(promote.id)? }),
        Wanted::Remove(remove) => Ok(Change::Remove { id: id(remove.id)? }),
        Wanted::Replace(replace) => Ok(Change::Replace { old: id(replace.old)?, new: id(replace.new)? }),
    }
}

fn id(id: u64) -> Result<CoordinatorId, Status> {
    if id == 0 { Err(Status::invalid_argument("ids are whole numbers from 1")) } else { Ok(CoordinatorId(id)) }
}

/// `host:port`, or nothing.
fn address(what: &str, text: String) -> Result<String, Status> {
    let is_one = || {
        let (host, port) = text.rsplit_once(':')?;
        let plain = !host.is_empty() && !host.contains(['/', ' ', '@']);
        (plain && text.len() <= ADDRESS_BYTES_MAX && port.parse::<u16>().is_ok()).then_some(())
    };
    if text.is_empty() || is_one().is_some() {
        return Ok(text);
    }
    Err(Status::invalid_argument(format!("{what} is no address: write it as host:port")))
}

fn shown(plan: Plan) -> ha::MembershipPlan {
    let numbers = |ids: &BTreeSet<CoordinatorId>| ids.iter().map(|id| id.0).collect();
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    ha::MembershipPlan {
        voters_before: numbers(&plan.voters_before),
        voters_after: numbers(&plan.voters_after),
        learners_before: numbers(&plan.learners_before),
        learners_after: numbers(&plan.learners_after),
        answering: numbers(&plan.answering),
        can_lose_before: count(plan.can_lose_before()),
        can_lose_after: count(plan.can_lose_after()),
        already: plan.already,
        refusal: plan.refusal.as_ref().map(ToString::to_string).unwrap_or_default(),
        force_helps: plan.refusal.as_ref().is_some_and(Refusal::may_be_forced),
        behind: plan.behind,
        behind_max: BEHIND_MAX,
        notes: plan.notes,
    }
}

fn status(error: &ChangeError) -> Status {
    let text = error.to_string();
    match error {
        ChangeError::Refused(refusal) => match refusal {
            Refusal::NotFound(_) => Status::not_found(text),
            Refusal::Taken { .. } | Refusal::Elsewhere { .. } | Refusal::AddressTaken { .. } => {
                Status::already_exists(text)
            }
            Refusal::TooMany => Status::resource_exhausted(text),
            Refusal::Impossible(_) => Status::invalid_argument(text),
            Refusal::NotWaiting { .. } | Refusal::Behind { .. } | Refusal::Silent(_) | Refusal::NoMajority { .. } => {
                Status::failed_precondition(text)
            }
        },
        ChangeError::Busy | ChangeError::StillLeads => Status::failed_precondition(text),
        ChangeError::Unknown => Status::deadline_exceeded(text),
        ChangeError::NotLeader { .. } | ChangeError::Stopped => Status::unavailable(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused() {
        for good in ["", "a:1", "127.0.0.1:8082", "[::1]:8082", "node-4.example:65535"] {
            assert!(address("x", good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["a", "a:", ":1", "a:70000", "http://a:1", "a b:1", "u@a:1"] {
            assert!(address("x", bad.to_owned()).is_err(), "{bad}");
        }
    }
}
