//! Raising the feature level of the cluster: by an operator's word, and once by itself when a cluster is new.
//!
//! The leader asks every member, voter and learner, what its build understands. All must answer, and understand the level;
//! then it is proposed in this term, alone in its entry. From the next entry on it is in force, for ever: builds that do
//! not understand it cannot come back. So it is never raised behind an operator's back, except in a cluster that has agreed
//! on no level yet: it begins at the highest that all of its members understand.
//!
//! **Invariant:** the level that is proposed was understood by every member, asked by this leader in this term.

use std::sync::Arc;
use std::time::Duration;

use flame_machine::command::Command;
use flame_machine::reply::Reply;
use flame_machine::{FIRST_LEVEL, Levels};
use flame_types::{CoordinatorId, Term};

use super::batcher::BatcherHandle;
use super::replies::{Replies, unnumbered};
use crate::consensus::{Consensus, MemberLevels, Stopped};

/// The majority must agree in this time, or the outcome is unknown.
const RAISE_MAX: Duration = Duration::from_secs(10);

/// What raising the level comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The level before.
    pub present: u32,
    /// The level wanted, or the highest that all members understand.
    pub to: u32,
    /// What every member understands.
    pub members: Vec<MemberLevels>,
    /// Why the level is not raised to that.
    pub refusal: Option<String>,
    /// Whether it was. Not on a dry run, and not when it was there before.
    pub raised: bool,
}

/// Why the level was not raised.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// This node does not lead: nothing was done.
    #[error("this node does not lead")]
    NotLeader {
        /// Who does, as far as this node knows.
        leader: Option<CoordinatorId>,
    },
    /// Nothing was done.
    #[error("{0}")]
    Refused(String),
    /// It may have been raised.
    #[error("the majority did not agree in time; the level may have been raised or not")]
    Unknown,
    /// The node is stopping.
    #[error("this node is stopping")]
    Stopped,
}

impl From<Stopped> for UpgradeError {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// Raises the level while this node leads. Cheap to clone.
#[derive(Clone)]
pub struct Upgrades {
    consensus: Consensus,
    batcher: BatcherHandle,
    replies: Arc<Replies>,
}

impl Upgrades {
    /// One for this node.
    #[must_use]
    pub fn new(consensus: Consensus, batcher: BatcherHandle, replies: Arc<Replies>) -> Self {
        Self { consensus, batcher, replies }
    }

    /// Raises the level, by default as far as all members go, or only says whether it could be.
    ///
    /// # Errors
    /// [`UpgradeError`]; all but `Unknown` are certain: nothing was changed.
    pub async fn raise(&self, to: Option<u32>, dry_run: bool) -> Result<Upgrade, UpgradeError> {
        let term = self.leading()?;
        let members = self.consensus.member_levels().await?;
        let level = self.consensus.with_state(|state| state.cluster().level).await?;
        let mut upgrade = plan(level, members, to);
        if dry_run || upgrade.to == level {
            return Ok(upgrade);
        }
        if let Some(refusal) = upgrade.refusal {
            return Err(UpgradeError::Refused(refusal));
        }
        self.propose(term, upgrade.to).await?;
        tracing::info!(level = upgrade.to, "the feature level of the cluster was raised");
        upgrade.raised = upgrade.to > upgrade.present;
        Ok(upgrade)
    }

    /// The term in which this node leads, opened for business.
    fn leading(&self) -> Result<Term, UpgradeError> {
        let seen = *self.consensus.leadership().borrow();
        let leader = seen.leader.filter(|_| !seen.is_self);
        let open = self.batcher.open_term().filter(|term| seen.is_self && *term == seen.term);
        open.ok_or(UpgradeError::NotLeader { leader })
    }

    async fn propose(&self, term: Term, level: u32) -> Result<(), UpgradeError> {
        let (ticket, reply) = self.replies.ticket();
        let item = unnumbered(self.consensus.level(), ticket, Command::SetFeatureLevel { level });
        let settled = async {
            self.batcher.propose_alone(term, item, ticket).await;
            reply.await
        };
        match tokio::time::timeout(RAISE_MAX, settled).await {
            Ok(Ok(Reply::Refused(refusal))) => Err(UpgradeError::Refused(refusal.to_string())),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(UpgradeError::Unknown),
            Err(_elapsed) => {
                self.replies.give_up(ticket);
                Err(UpgradeError::Unknown)
            }
        }
    }
}

/// What is to be done, by what the members say. `level`: of the state, 0 when none is agreed on yet.
fn plan(level: u32, members: Vec<MemberLevels>, wanted: Option<u32>) -> Upgrade {
    let present = level.max(FIRST_LEVEL);
    let common = members.iter().filter_map(|member| Some(member.levels.as_ref().ok()?.highest)).min();
    let to = wanted.unwrap_or_else(|| common.unwrap_or(present).max(present));
    let refusal = refusal(present, &members, to);
    Upgrade { present, to, members, refusal, raised: false }
}

fn refusal(present: u32, members: &[MemberLevels], to: u32) -> Option<String> {
    if to < present {
        return Some(format!("the cluster runs at feature level {present}, and levels never fall"));
    }
    members.iter().find_map(|MemberLevels { id, levels, .. }| match levels {
        Ok(levels) if levels.understand(to) => None,
        Ok(levels) => Some(too_narrow(*id, *levels, to)),
        Err(why) => Some(format!("coordinator {id} does not say what its build understands: {why}")),
    })
}

fn too_narrow(id: CoordinatorId, levels: Levels, to: u32) -> String {
    format!("the build of coordinator {id} understands {levels}: before level {to} start a release there that does")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, lowest: u32, highest: u32) -> MemberLevels {
        MemberLevels { id: CoordinatorId(id), voter: true, levels: Ok(Levels { lowest, highest }) }
    }

    fn refused(level: u32, members: Vec<MemberLevels>, wanted: Option<u32>) -> String {
        plan(level, members, wanted).refusal.unwrap()
    }

    #[test]
    fn the_level_goes_as_far_as_every_member() {
        let planned = plan(1, vec![member(1, 1, 3), member(2, 1, 2), member(3, 1, 3)], None);
        assert_eq!((planned.present, planned.to, planned.refusal), (1, 2, None));
        let planned = plan(2, vec![member(1, 1, 3), member(2, 1, 3)], Some(3));
        assert_eq!((planned.present, planned.to, planned.refusal), (2, 3, None));
    }

    #[test]
    fn a_new_cluster_begins_where_its_members_meet() {
        let planned = plan(0, vec![member(1, 1, 2), member(2, 1, 1)], None);
        assert_eq!((planned.present, planned.to, planned.refusal), (1, 1, None));
    }

    #[test]
    fn one_that_is_too_old_or_too_new_or_silent_holds_it_back() {
        let too_old = refused(1, vec![member(1, 1, 2), member(2, 1, 1)], Some(2));
        assert!(too_old.contains("coordinator 2 understands level 1"), "{too_old}");
        let too_new = refused(1, vec![member(1, 1, 3), member(2, 3, 4)], Some(2));
        assert!(too_new.contains("coordinator 2 understands levels 3 to 4"), "{too_new}");
        let silent = MemberLevels { id: CoordinatorId(3), voter: false, levels: Err("nobody answers".into()) };
        let silent = refused(1, vec![member(1, 1, 2), silent], None);
        assert!(silent.contains("coordinator 3 does not say"), "{silent}");
    }

    #[test]
    fn a_level_never_falls() {
        let falls = refused(3, vec![member(1, 1, 3)], Some(2));
        assert!(falls.contains("levels never fall"), "{falls}");
        assert_eq!(plan(3, vec![member(1, 1, 2)], None).to, 3, "nor does a member that is behind pull it down");
    }
}
