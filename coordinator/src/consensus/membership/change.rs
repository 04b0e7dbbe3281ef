//! Making a change, on the leader.
//!
//! **Invariant:** what is written was planned for just these members in just this term, or it is not written.
//! **Invariant:** a change goes on when its caller goes away; who did not hear how it ended asks for it again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use flame_proto::ha::ProbeReply;
use flame_storage::{LogId, MemberNode, TypeConfig};
use flame_types::{CoordinatorId, Term};
use openraft::alias::CommittedLeaderIdOf;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::{ChangeMembers, Instant, LogIdOptionExt, Precondition};
use uuid::Uuid;

use super::finish::finish;
use super::plan::{Change, Plan, Refusal, Scene};
use crate::consensus::error::TransferError;
use crate::consensus::gate::Remember;
use crate::consensus::handle::Consensus;
use crate::consensus::propose::leader_of;

/// A member of whom the leader has heard this recently answers.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// A new leader may not have heard of everybody yet: it waits this long before it believes that somebody is away.
const HEARING_MAX: Duration = Duration::from_secs(2);

/// Between two looks meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Another change must end in this time.
const TURN_MAX: Duration = Duration::from_secs(5);

/// The majority must agree in this time, or the outcome is unknown.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// How a change is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Although too few seem to answer.
    pub force: bool,
    /// Only plan it.
    pub dry_run: bool,
}

/// A change that was made, or planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// What it does, or has done.
    pub plan: Plan,
    /// Whether anything was written.
    pub made: bool,
}

/// A change that was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// This node does not lead (any more): nothing was done.
    #[error("this node does not lead")]
    NotLeader {
        /// Who does, as far as this node knows.
        leader: Option<CoordinatorId>,
    },
    /// Nothing was done.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Another change is under way: nothing was done.
    #[error("another change of the members is under way; try again in a moment")]
    Busy,
    /// The leader is to go and nobody took over: nothing was changed.
    #[error("nobody took over the lead in time; nothing was changed, try again")]
    StillLeads,
    /// It may have been made.
    #[error("the majority did not agree in time; the change may have been made or not")]
    Unknown,
    /// The node is stopping.
    #[error("this node is stopping")]
    Stopped,
}

/// The members that a plan is for.
struct Seen {
    scene: Scene,
    term: Term,
    at: Option<LogId>,
    is_joint: bool,
}

impl Consensus {
    /// Changes who the members are, on the leader. A leader that is to go hands over and says who leads then.
    ///
    /// # Errors
    /// [`ChangeError`]; all but `Unknown` are certain: nothing was changed.
    pub async fn change_members(&self, change: Change, wish: Wish) -> Result<Changed, ChangeError> {
        let consensus = self.clone();
        let made = self.runtime().spawn(async move { consensus.change(change, wish).await });
        made.await.map_err(|_ended| ChangeError::Stopped)?
    }

    async fn change(&self, change: Change, wish: Wish) -> Result<Changed, ChangeError> {
        let turn = tokio::time::timeout(TURN_MAX, self.inner.turn.lock());
        let _turn = turn.await.map_err(|_elapsed| ChangeError::Busy)?;
        let change = self.completed(change).await?;
        let (seen, plan) = self.planned(&change).await?;
        if wish.dry_run {
            return Ok(Changed { plan, made: false });
        }
        if let Some(refusal) = plan.refusal.clone().filter(|refusal| !(wish.force && refusal.may_be_forced())) {
            return Err(refusal.into());
        }
        if plan.already {
            return Ok(Changed { plan, made: false });
        }
        self.hand_over_if_leaving(&seen, &plan).await?;
        tracing::info!(?change, "changing the members");
        let changes = entries_of(&change, &plan);
        self.write(&seen, changes).await?;
        Ok(Changed { plan, made: true })
    }

    /// What the leader sees now. A change that somebody else has begun is ended first.
    async fn planned(&self, change: &Change) -> Result<(Seen, Plan), ChangeError> {
        let until = tokio::time::Instant::now() + HEARING_MAX;
        loop {
            let seen = self.seen()?;
            if seen.is_joint {
                finish(&self.inner.raft, seen.term, seen.at).await;
            }
            let plan = Plan::of(&seen.scene, change);
            let may_pass = seen.is_joint || plan.refusal.as_ref().is_some_and(Refusal::may_pass);
            if !may_pass {
                return Ok((seen, plan));
            }
            if tokio::time::Instant::now() >= until {
                return if seen.is_joint { Err(ChangeError::Busy) } else { Ok((seen, plan)) };
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn seen(&self) -> Result<Seen, ChangeError> {
        let leadership = *self.inner.leadership.borrow();
        if !leadership.is_self {
            return Err(ChangeError::NotLeader { leader: leadership.leader });
        }
        let metrics = self.inner.raft.metrics().borrow_watched().clone();
        let membership = &metrics.membership_config;
        let last = metrics.last_log_index.unwrap_or(0);
        let me = CoordinatorId(metrics.id);
        let heard = metrics.heartbeat.iter().flatten();
        let heard = heard.filter(|(_, at)| at.as_ref().is_some_and(|at| at.elapsed() <= ANSWERS_WITHIN));
        let answering: BTreeSet<_> = heard.map(|(id, _)| CoordinatorId(*id)).chain([me]).collect();
        // Of whom nothing is known yet has nothing.
        let mut behind: BTreeMap<_, _> = membership.nodes().map(|(id, _)| (CoordinatorId(*id), last)).collect();
        for (id, matched) in metrics.replication.iter().flatten() {
            behind.insert(CoordinatorId(*id), last.saturating_sub(matched.index().unwrap_or(0)));
        }
        let scene = Scene {
            leader: me,
            voters: membership.voter_ids().map(CoordinatorId).collect(),
            nodes: membership.nodes().map(|(id, node)| (CoordinatorId(*id), node.clone())).collect(),
            next_id: self.inner.gate.directory.next_id(),
            answering,
            behind,
        };
        let is_joint = membership.get_joint_config().len() > 1;
        Ok(Seen { scene, term: leadership.term, at: *membership.log_id(), is_joint })
    }

    /// A node that is to be added is asked who it is, where it listens, and whose disk it has.
    async fn completed(&self, change: Change) -> Result<Change, ChangeError> {
        let Change::Add { id, node } = change else { return Ok(change) };
        let scene = self.seen()?.scene;
        if scene.nodes.contains_key(&id) || id < scene.next_id {
            return Ok(Change::Add { id, node });
        }
        let not_waiting = |why: String| ChangeError::from(Refusal::NotWaiting { id, why });
        let reply = self.introduced(id, &node).await.map_err(not_waiting)?;
        let confirmed = self.inner.gate.confirm_as(id, reply.header.as_ref(), Remember::Never);
        confirmed.map_err(|refused| not_waiting(refused.to_string()))?;
        if !reply.waits || reply.holds_log {
            let why = "it does not wait to be added: start it with coordinator.join and an empty directory";
            return Err(not_waiting(why.to_owned()));
        }
        let store = reply.header.as_ref().map(|header| header.store_id.as_str()).unwrap_or_default();
        let store_id = Uuid::parse_str(store).map_err(|_| not_waiting("it names no store".to_owned()))?;
        let client = named_or_own(node.client, reply.client_endpoint).map_err(|why| not_waiting(why("--client")))?;
        let worker = named_or_own(node.worker, reply.worker_endpoint).map_err(|why| not_waiting(why("--worker")))?;
        Ok(Change::Add { id, node: MemberNode { peer: node.peer, client, worker, store_id } })
    }

    /// What a new node says of itself. It may have been started a moment ago, and not know this one yet.
    async fn introduced(&self, id: CoordinatorId, node: &MemberNode) -> Result<ProbeReply, String> {
        let until = tokio::time::Instant::now() + HEARING_MAX;
        loop {
            let why = match self.inner.bootstrap_service.ask(id, node).await {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => format!("nobody answers at {}", node.peer),
                Err(error) => format!("{error}; does its coordinator.join name members of this cluster?"),
            };
            if tokio::time::Instant::now() >= until {
                return Err(why);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// A leader that loses its vote lets somebody else make the change. Alone it cannot: then Raft hands over afterwards.
    async fn hand_over_if_leaving(&self, seen: &Seen, plan: &Plan) -> Result<(), ChangeError> {
        let me = seen.scene.leader;
        if plan.voters_after.contains(&me) || plan.voters_before == plan.voters_after {
            return Ok(());
        }
        let successor = plan.voters_after.intersection(&plan.voters_before).find(|id| plan.answering.contains(id));
        let Some(successor) = successor.copied() else { return Ok(()) };
        match self.transfer_leader(Some(successor)).await {
            Ok(()) => Err(ChangeError::NotLeader { leader: self.inner.leadership.borrow().leader }),
            Err(TransferError::NotLeader { leader }) => Err(ChangeError::NotLeader { leader }),
            Err(TransferError::NoCandidate) => Ok(()),
            Err(TransferError::TimedOut) => Err(ChangeError::StillLeads),
            Err(TransferError::Stopped) => Err(ChangeError::Stopped),
        }
    }

    async fn write(&self, seen: &Seen, changes: ChangeMembers<u64, MemberNode>) -> Result<(), ChangeError> {
        // Whoever loses its vote goes: a former voter is not kept as a learner.
        let written = self.inner.raft.change_membership_if(changes, false, preconditions(seen.term, seen.at));
        match tokio::time::timeout(WRITE_MAX, written).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(error))) => Err(self.not_written(&error)),
            Ok(Err(RaftError::Fatal(_))) => Err(ChangeError::Stopped),
            Err(_elapsed) => Err(ChangeError::Unknown),
        }
    }

    fn not_written(&self, error: &ClientWriteError<TypeConfig>) -> ChangeError {
        match error {
            // The second of two steps is refused like this too.
            ClientWriteError::ForwardToLeader(forward) if self.is_changing() => {
                tracing::warn!(leader = ?leader_of(forward), "a change of the members is left to the next leader");
                ChangeError::Unknown
            }
            ClientWriteError::ForwardToLeader(forward) => ChangeError::NotLeader { leader: leader_of(forward) },
            ClientWriteError::LogEntryDiscarded(_) => ChangeError::Unknown,
            ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(_)) => ChangeError::Busy,
            ClientWriteError::ChangeMembershipError(other) => Refusal::Impossible(other.to_string()).into(),
            ClientWriteError::PreconditionFailed(_) if self.is_changing() => ChangeError::Unknown,
            ClientWriteError::PreconditionFailed(_) => ChangeError::Busy,
        }
    }
}

/// What must hold for a change to be written.
pub(super) fn preconditions(term: Term, at: Option<LogId>) -> [Precondition<TypeConfig>; 2] {
    let committed_leader_id = CommittedLeaderIdOf::<TypeConfig>::new(term.0);
    [
        Precondition::CommittedLeaderId { committed_leader_id },
        Precondition::LastMembershipLogId { last_membership_log_id: at },
    ]
}

/// Where a new member listens: as the operator says, else as it says itself.
fn named_or_own(named: String, own: String) -> Result<String, impl Fn(&str) -> String> {
    if !named.is_empty() {
        return Ok(named);
    }
    // An address that means "everywhere" leads nobody there.
    let leads_there = |address: &SocketAddr| !address.ip().is_unspecified() && address.port() != 0;
    let usable = match own.parse::<SocketAddr>() {
        Ok(address) => leads_there(&address),
        Err(_a_name) => !own.is_empty(),
    };
    if usable {
        Ok(own)
    } else {
        Err(move |flag: &str| format!("it listens at {own:?}: say with {flag} where that is"))
    }
}

fn entries_of(change: &Change, plan: &Plan) -> ChangeMembers<u64, MemberNode> {
    match change {
        Change::Add { id, node } => ChangeMembers::AddNodes(BTreeMap::from([(id.0, node.clone())])),
        Change::Promote { id } => ChangeMembers::AddVoterIds(BTreeSet::from([id.0])),
        Change::Remove { id } if plan.learners_before.contains(id) => {
            ChangeMembers::RemoveNodes(BTreeSet::from([id.0]))
        }
        Change::Remove { .. } | Change::Replace { .. } => {
            ChangeMembers::ReplaceAllVoters(plan.voters_after.iter().map(|id| id.0).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_reached_where_somebody_says() {
        let address =
            |named: &str, own: &str| named_or_own(named.to_owned(), own.to_owned()).map_err(|why| why("--client"));
        assert_eq!(address("a:1", "0.0.0.0:8080"), Ok("a:1".to_owned()));
        assert_eq!(address("", "127.0.0.1:8080"), Ok("127.0.0.1:8080".to_owned()));
        assert_eq!(address("", "node-4:8080"), Ok("node-4:8080".to_owned()));
        for own in ["0.0.0.0:8080", "127.0.0.1:0", ""] {
            assert!(address("", own).unwrap_err().contains("--client"), "{own}");
        }
    }
}
