//! Changing who the coordinators are.
//!
//! Only the leader can. A change that is asked for twice is made once, so a lost answer is no reason to stop.

use flame_proto::ha;
use flame_proto::ha::change_members_request::Change;
use flame_proto::ha::membership_client::MembershipClient;
use flame_types::CoordinatorId;
use flame_types::limits::MESSAGE_BYTES_MAX;

use crate::at_leader::OfLeader;
use crate::model::{MembershipChange, MembershipPlan};
use crate::{Connection, FlameError};

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
    /// ```
    /// # flame_sdk::__private::example(async {
    /// use flame_sdk::MemberChange;
    ///
    /// let connection = flame_sdk::connect().await?;
    /// # let members = connection.members().await?.members;
    /// # let one = flame_sdk::types::CoordinatorId(members[0].id);
    /// let plan = connection.plan_members(&MemberChange::Remove(one)).await?;
    /// println!("{plan:?}");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::FailedPrecondition`] when a new member does not answer or does not wait to be added;
    /// [`FlameError::Unavailable`] when nobody leads.
    pub async fn plan_members(&self, change: &MemberChange) -> Result<MembershipPlan, FlameError> {
        let request = ha::ChangeMembersRequest { change: Some(wire(change)), force: false, dry_run: true };
        Ok(self.ask_for_change(&request).await?.plan)
    }

    /// Changes the members. `force`: although fewer voters than a majority answer afterwards.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), flame_sdk::FlameError> {
    /// use flame_sdk::types::CoordinatorId;
    /// use flame_sdk::{MemberChange, NewMember};
    ///
    /// let connection = flame_sdk::connect().await?;
    /// let id = CoordinatorId(4);
    /// let new = NewMember { id, peer: "10.0.0.4:8070".to_owned(), ..NewMember::default() };
    /// connection.change_members(&MemberChange::Add(new), false).await?;
    /// connection.change_members(&MemberChange::Promote(id), false).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`FlameError::NotFound`], [`FlameError::AlreadyExists`], [`FlameError::InvalidArgument`] and
    /// [`FlameError::FailedPrecondition`] say why it is refused; [`FlameError::Unavailable`] when nobody leads for so long
    /// that it may have been done or not: look, or ask for it again.
    pub async fn change_members(&self, change: &MemberChange, force: bool) -> Result<MembershipChange, FlameError> {
        let request = ha::ChangeMembersRequest { change: Some(wire(change)), force, dry_run: false };
        self.ask_for_change(&request).await
    }

    async fn ask_for_change(&self, request: &ha::ChangeMembersRequest) -> Result<MembershipChange, FlameError> {
        let ask = |channel| {
            let request = request.clone();
            let mut client = MembershipClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
            async move { client.change(request).await }
        };
        let reply = self.ask_leader(ask).await?;
        let plan = reply.plan.map(MembershipPlan::from).unwrap_or_default();
        Ok(MembershipChange { plan, changed: reply.changed })
    }
}

impl OfLeader for ha::ChangeMembersReply {
    fn is_elsewhere(&self) -> bool {
        self.not_leader
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
