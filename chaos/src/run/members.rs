//! Coordinators that come and go during a run, as an operator makes them do, through the Rust client.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_sdk::{Connection, MemberChange, NewMember};
use flame_testkit::wait_until;
use flame_types::CoordinatorId;

use crate::run::setup::Run;

/// What a coordinator exits with when the cluster has removed it.
pub const REMOVED: i32 = 16;

/// What one exits with whose disk must not be believed.
pub const QUARANTINE: i32 = 13;

/// For a new coordinator to catch up.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(120);

impl Run {
    /// A connection that goes to any coordinator.
    ///
    /// # Errors
    /// If the cluster has none.
    pub fn any(&self) -> Result<&Connection> {
        self.connections.values().next().context("the cluster has no coordinator")
    }

    /// The feature level of each coordinator, by its own word.
    ///
    /// # Errors
    /// If one does not answer.
    pub async fn feature_levels(&self) -> Result<Vec<(CoordinatorId, u32)>> {
        let mut levels = Vec::new();
        for id in self.cluster.coordinator_ids() {
            levels.push((id, self.only(id)?.member_status().await?.feature_level));
        }
        Ok(levels)
    }

    /// Starts a new coordinator and makes it a voter.
    ///
    /// # Errors
    /// If it does not become one.
    pub async fn grow(&mut self) -> Result<CoordinatorId> {
        let id = self.add_learner().await?;
        let promote = MemberChange::Promote(id);
        self.has_caught_up(id, &promote).await?;
        self.any()?.change_members(&promote, false).await.with_context(|| format!("promote {id}"))?;
        self.cluster.set_member(id, true);
        self.catches_up(id).await?;
        Ok(id)
    }

    /// Removes a coordinator that runs; it ends by itself.
    ///
    /// # Errors
    /// If it is not removed, or does not end as it should.
    pub async fn shrink(&mut self, id: CoordinatorId) -> Result<()> {
        let remove = MemberChange::Remove(id);
        self.any()?.change_members(&remove, false).await.with_context(|| format!("remove {id}"))?;
        self.cluster.set_member(id, false);
        let code = self.cluster.coordinator_ended(id).await?;
        ensure!(code == REMOVED, "coordinator {id} ended with {code}\n{}", self.cluster.tail(id));
        Ok(())
    }

    /// Puts a new coordinator in the place of one that has ended.
    ///
    /// # Errors
    /// If it does not get the vote.
    pub async fn replace(&mut self, old: CoordinatorId) -> Result<CoordinatorId> {
        let new = self.add_learner().await?;
        let replace = MemberChange::Replace { old, new };
        self.has_caught_up(new, &replace).await?;
        self.any()?.change_members(&replace, false).await.with_context(|| format!("replace {old} by {new}"))?;
        self.cluster.set_member(old, false);
        self.cluster.set_member(new, true);
        self.catches_up(new).await?;
        Ok(new)
    }

    async fn add_learner(&mut self) -> Result<CoordinatorId> {
        let id = self.cluster.add_coordinator().await?;
        let peer = self.cluster.peer_address(id);
        let add = MemberChange::Add(NewMember { id, peer, ..NewMember::default() });
        self.any()?.change_members(&add, false).await.with_context(|| format!("add {id}"))?;
        Ok(id)
    }

    /// Until the learner may vote, as the leader sees it.
    async fn has_caught_up(&self, id: CoordinatorId, vote: &MemberChange) -> Result<()> {
        wait_until(CATCH_UP_LIMIT, &format!("coordinator {id} has caught up"), || async {
            let plan = self.any()?.plan_members(vote).await?;
            ensure!(plan.refusal.is_none() && plan.answering.contains(&id.0), "{plan:?}");
            Ok(())
        })
        .await
    }
}
