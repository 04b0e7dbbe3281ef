//! Changing who the coordinators are.
//!
//! Only the leader can: it is looked for and asked itself, and again whoever leads next when it does not answer any more.
//! A change that is asked for twice is made once, so a lost answer is no reason to stop.

use std::time::Duration;

use flame_proto::ha;
use flame_proto::ha::change_members_request::Change;
use flame_proto::ha::membership_client::MembershipClient;
use flame_types::CoordinatorId;
use flame_types::limits::MESSAGE_BYTES_MAX;
use tokio::time::{Instant, sleep};

use crate::model::{MembershipChange, MembershipPlan};
use crate::repeats::Kind;
use crate::{Connection, FlameError};

/// How long one leader may take for a change before the next one is looked for.
const ATTEMPT_MAX: Duration = Duration::from_secs(20);

/// Before the leader is looked for again.
const PAUSE: Duration = Duration::from_millis(100);

/// A coordinator that waits to be added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewMember {
    /// Its id; one that was never taken.
    pub id: CoordinatorId,
    /// Where other coordinators reach it, `host:port`.
    pub peer: String,
    /// Where clients do; where it listens itself when not given.
    pub client: Option<String>,
    /// Where workers do; likewise.
    pub worker: Option<String>,
}

/// A change of the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// A new member, which has no vote yet.
    Add(NewMember),
    /// One that has caught up gets a vote.
    Promote(CoordinatorId),
    /// A member goes, for ever.
    Remove(CoordinatorId),
    /// A voter goes, and one that has caught up gets its vote.
    Replace {
        /// Who goes.
        old: CoordinatorId,
        /// Who gets the vote.
        new: CoordinatorId,
    },
}

impl Connection {
    /// What a change would do; nothing is changed. The plan says why it would be refused.
    ///
    /// # Errors
    /// [`FlameError::FailedPrecondition`] when a new member does not answer or does not wait to be added;
    /// [`FlameError::Unavailable`] when nobody leads.
    pub async fn plan_members(&self, change: &MemberChange) -> Result<MembershipPlan, FlameError> {
        let request = ha::ChangeMembersRequest { change: Some(wire(change)), force: false, dry_run: true };
        Ok(self.ask_leader(&request).await?.plan)
    }

    /// Changes the members. `force`: although fewer voters than a majority answer afterwards.
    ///
    /// # Errors
    /// [`FlameError::NotFound`], [`FlameError::AlreadyExists`], [`FlameError::InvalidArgument`] and
    /// [`FlameError::FailedPrecondition`] say why it is refused; [`FlameError::Unavailable`] when nobody leads for so long
    /// that it may have been done or not: look, or ask for it again.
    pub async fn change_members(&self, change: &MemberChange, force: bool) -> Result<MembershipChange, FlameError> {
        let request = ha::ChangeMembersRequest { change: Some(wire(change)), force, dry_run: false };
        self.ask_leader(&request).await
    }

    async fn ask_leader(&self, request: &ha::ChangeMembersRequest) -> Result<MembershipChange, FlameError> {
        let until = Instant::now() + self.options().deadline;
        loop {
            let why = match self.ask_whoever_leads(request).await? {
                Ok(change) => return Ok(change),
                Err(why) => why,
            };
            if Instant::now() + PAUSE >= until {
                return Err(FlameError::Unavailable(why));
            }
            sleep(PAUSE).await;
        }
    }

    /// The inner error says why another leader should be asked.
    async fn ask_whoever_leads(
        &self,
        request: &ha::ChangeMembersRequest,
    ) -> Result<Result<MembershipChange, String>, FlameError> {
        let members = self.members_with_leader().await?;
        let leader = members.members.iter().find(|member| Some(member.id) == members.leader);
        let Some(leader) = leader else { return Ok(Err("the leader is no member".to_owned())) };
        let node = self.one_try_at(&leader.client_endpoint, ATTEMPT_MAX.min(self.options().deadline))?;
        let outcome = node.call(Kind::Idempotent, |channel| {
            let request = request.clone();
            let mut client = MembershipClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
            async move { client.change(request).await }
        });
        match outcome.await.result {
            Ok(reply) if reply.not_leader => {
                self.leave(self.channel().0);
                Ok(Err(format!("coordinator {} does not lead any more", leader.id)))
            }
            Ok(reply) => {
                let plan = reply.plan.map(MembershipPlan::from).unwrap_or_default();
                Ok(Ok(MembershipChange { plan, changed: reply.changed }))
            }
            // Whatever became of it: asked for again, it is done once.
            Err(FlameError::Unavailable(why) | FlameError::UnknownOutcome(why)) => {
                self.leave(self.channel().0);
                Ok(Err(why))
            }
            Err(refused) => Err(refused),
        }
    }
}

fn wire(change: &MemberChange) -> Change {
    match change {
        MemberChange::Add(NewMember { id, peer, client, worker }) => Change::Add(ha::AddMember {
            id: id.0,
            peer_endpoint: peer.clone(),
            client_endpoint: client.clone().unwrap_or_default(),
            worker_endpoint: worker.clone().unwrap_or_default(),
        }),
        MemberChange::Promote(id) => Change::Promote(ha::PromoteMember { id: id.0 }),
        MemberChange::Remove(id) => Change::Remove(ha::RemoveMember { id: id.0 }),
        MemberChange::Replace { old, new } => Change::Replace(ha::ReplaceMember { old: old.0, new: new.0 }),
    }
}
