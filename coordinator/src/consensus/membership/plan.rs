//! What a change of the members does to the quorum, and whether it is made.
//!
//! Pure: what the leader sees goes in, a plan comes out.

use std::collections::{BTreeMap, BTreeSet};

use flame_storage::MemberNode;
use flame_types::CoordinatorId;

type Ids = BTreeSet<CoordinatorId>;

/// A learner votes only when it is not further behind the leader than this: else the next commits might wait for it.
pub const BEHIND_MAX: u64 = 1024;

/// Most members of a cluster, learners included.
pub const MEMBERS_MAX: usize = 16;

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new learner.
    Add {
        /// Its id, never taken before.
        id: CoordinatorId,
        /// Where it listens.
        node: MemberNode,
    },
    /// A learner gets a vote.
    Promote {
        /// Which one.
        id: CoordinatorId,
    },
    /// A member goes.
    Remove {
        /// Which one.
        id: CoordinatorId,
    },
    /// A voter goes and a learner gets its vote.
    Replace {
        /// The voter.
        old: CoordinatorId,
        /// The learner.
        new: CoordinatorId,
    },
}

/// The cluster as its leader sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct Scene {
    pub(super) leader: CoordinatorId,
    pub(super) voters: Ids,
    /// All members.
    pub(super) nodes: BTreeMap<CoordinatorId, MemberNode>,
    /// The lowest id that was never taken.
    pub(super) next_id: CoordinatorId,
    /// Members that were heard of just now, the leader included.
    pub(super) answering: Ids,
    /// By how many entries each member is behind the leader.
    pub(super) behind: BTreeMap<CoordinatorId, u64>,
}

/// What a change does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Who votes now.
    pub voters_before: BTreeSet<CoordinatorId>,
    /// Who will vote.
    pub voters_after: BTreeSet<CoordinatorId>,
    /// Who only receives the log now.
    pub learners_before: BTreeSet<CoordinatorId>,
    /// Who will only receive it.
    pub learners_after: BTreeSet<CoordinatorId>,
    /// Of whom the leader has heard just now.
    pub answering: BTreeSet<CoordinatorId>,
    /// There is nothing to do.
    pub already: bool,
    /// Why it is not made.
    pub refusal: Option<Refusal>,
    /// By how many entries the learner in question is behind.
    pub behind: Option<u64>,
    /// What to know before doing it.
    pub notes: Vec<String>,
}

/// Why a change is not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such member, and never was.
    #[error("coordinator {0} not found")]
    NotFound(CoordinatorId),
    /// Its id was somebody's.
    #[error("id {id} was taken before, and ids are never given out again: {next} is free")]
    Taken {
        /// The id.
        id: CoordinatorId,
        /// The lowest that was never taken.
        next: CoordinatorId,
    },
    /// It is a member, at other addresses.
    #[error("coordinator {id} is a member already, at {found}")]
    Elsewhere {
        /// The id.
        id: CoordinatorId,
        /// Where.
        found: MemberNode,
    },
    /// Another member has that address.
    #[error("{address} is the address of coordinator {owner}")]
    AddressTaken {
        /// The address.
        address: String,
        /// Whose it is.
        owner: CoordinatorId,
    },
    /// There are as many as there may be.
    #[error("a cluster has at most {MEMBERS_MAX} members")]
    TooMany,
    /// It can never be done.
    #[error("{0}")]
    Impossible(String),
    /// The learner is not there, or not to be added.
    #[error("coordinator {id} cannot be added: {why}")]
    NotWaiting {
        /// Which one.
        id: CoordinatorId,
        /// Why not.
        why: String,
    },
    /// The learner has not caught up.
    #[error(
        "coordinator {id} is {behind} entries behind, at most {BEHIND_MAX} are allowed for a voter: wait until it has caught up"
    )]
    Behind {
        /// Which one.
        id: CoordinatorId,
        /// By how many entries.
        behind: u64,
    },
    /// Somebody who is to vote does not answer.
    #[error("coordinator {0} does not answer the leader just now: a voter that is away is one that is lost")]
    Silent(CoordinatorId),
    /// Afterwards, or even now, too few answer.
    #[error(
        "of {voters} voters only {answering} answer the leader, and {needed} must: the cluster would accept no changes"
    )]
    NoMajority {
        /// How many vote then.
        voters: usize,
        /// How many of them answer.
        answering: usize,
        /// How many must.
        needed: usize,
    },
}

impl Refusal {
    /// Whether it is a judgement of how things stand, which an operator may know better.
    #[must_use]
    pub fn may_be_forced(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::NoMajority { .. })
    }

    /// Whether it may be otherwise in a moment: members were not heard of yet.
    pub(super) fn may_pass(&self) -> bool {
        self.may_be_forced()
    }
}

/// How many of so many voters must agree.
fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// How many of these that answer may still be lost.
fn can_lose(voters: &Ids, answering: &Ids) -> usize {
    voters.intersection(answering).count().saturating_sub(majority(voters.len()))
}

impl Plan {
    /// How many more voters may be lost now.
    #[must_use]
    pub fn can_lose_before(&self) -> usize {
        can_lose(&self.voters_before, &self.answering)
    }

    /// How many more may be lost afterwards.
    #[must_use]
    pub fn can_lose_after(&self) -> usize {
        can_lose(&self.voters_after, &self.answering)
    }

    /// Plans a change.
    pub(super) fn of(scene: &Scene, change: &Change) -> Self {
        let learners: Ids = scene.nodes.keys().filter(|id| !scene.voters.contains(id)).copied().collect();
        let mut plan = Self {
            voters_before: scene.voters.clone(),
            voters_after: scene.voters.clone(),
            learners_before: learners.clone(),
            learners_after: learners,
            answering: scene.answering.clone(),
            ..Self::default()
        };
        plan.refusal = match change {
            Change::Add { id, node } => plan.add(scene, *id, node),
            Change::Promote { id } => plan.promote(scene, *id),
            Change::Remove { id } => plan.remove(scene, *id),
            Change::Replace { old, new } => plan.replace(scene, *old, *new),
        }
        .and_then(|()| plan.quorum())
        .err();
        plan.say_more(scene);
        plan
    }

    fn add(&mut self, scene: &Scene, id: CoordinatorId, node: &MemberNode) -> Result<(), Refusal> {
        if let Some(found) = scene.nodes.get(&id) {
            self.already = is_at(found, node);
            return if self.already { Ok(()) } else { Err(Refusal::Elsewhere { id, found: found.clone() }) };
        }
        if id < scene.next_id {
            return Err(Refusal::Taken { id, next: scene.next_id });
        }
        if scene.nodes.len() >= MEMBERS_MAX {
            return Err(Refusal::TooMany);
        }
        for (owner, other) in &scene.nodes {
            let taken = [&other.peer, &other.client, &other.worker];
            let wanted = [&node.peer, &node.client, &node.worker];
            if let Some(address) = wanted.into_iter().find(|address| !address.is_empty() && taken.contains(address)) {
                return Err(Refusal::AddressTaken { address: address.clone(), owner: *owner });
            }
        }
        self.learners_after.insert(id);
        Ok(())
    }

    fn promote(&mut self, scene: &Scene, id: CoordinatorId) -> Result<(), Refusal> {
        if scene.voters.contains(&id) {
            self.already = true;
            return Ok(());
        }
        self.check_learner(scene, id)?;
        self.learners_after.remove(&id);
        self.voters_after.insert(id);
        Ok(())
    }

    fn remove(&mut self, scene: &Scene, id: CoordinatorId) -> Result<(), Refusal> {
        if !scene.nodes.contains_key(&id) {
            self.already = id < scene.next_id;
            return if self.already { Ok(()) } else { Err(Refusal::NotFound(id)) };
        }
        if scene.voters.len() == 1 && scene.voters.contains(&id) {
            let why = format!("coordinator {id} is the only voter: without it there is no cluster");
            return Err(Refusal::Impossible(why));
        }
        self.learners_after.remove(&id);
        self.voters_after.remove(&id);
        Ok(())
    }

    fn replace(&mut self, scene: &Scene, old: CoordinatorId, new: CoordinatorId) -> Result<(), Refusal> {
        if old == new {
            return Err(Refusal::Impossible("a coordinator is replaced by another one, under a new id".to_owned()));
        }
        if !scene.nodes.contains_key(&old) && old < scene.next_id && scene.voters.contains(&new) {
            self.already = true;
            return Ok(());
        }
        if !scene.voters.contains(&old) {
            return Err(match scene.nodes.contains_key(&old) {
                true => Refusal::Impossible(format!("coordinator {old} has no vote: remove it, and promote {new}")),
                false => Refusal::NotFound(old),
            });
        }
        if scene.voters.contains(&new) {
            return Err(Refusal::Impossible(format!("coordinator {new} votes already: remove {old}")));
        }
        self.check_learner(scene, new)?;
        self.learners_after.remove(&new);
        self.voters_after.remove(&old);
        self.voters_after.insert(new);
        Ok(())
    }

    /// Whether a learner may vote.
    fn check_learner(&mut self, scene: &Scene, id: CoordinatorId) -> Result<(), Refusal> {
        if !scene.nodes.contains_key(&id) {
            return Err(Refusal::NotFound(id));
        }
        let behind = scene.behind.get(&id).copied().unwrap_or(u64::MAX);
        self.behind = Some(behind);
        if behind > BEHIND_MAX {
            return Err(Refusal::Behind { id, behind });
        }
        if scene.answering.contains(&id) { Ok(()) } else { Err(Refusal::Silent(id)) }
    }

    /// Whether enough answer: now, for the change to be written at all, and afterwards.
    fn quorum(&self) -> Result<(), Refusal> {
        if self.already {
            return Ok(());
        }
        for voters in [&self.voters_before, &self.voters_after] {
            let (answering, needed) = (voters.intersection(&self.answering).count(), majority(voters.len()));
            if answering < needed {
                return Err(Refusal::NoMajority { voters: voters.len(), answering, needed });
            }
        }
        Ok(())
    }

    fn say_more(&mut self, scene: &Scene) {
        if self.already || self.voters_before == self.voters_after {
            return;
        }
        if !self.voters_after.contains(&scene.leader) {
            self.notes.push(format!("coordinator {} leads: it hands the lead over first", scene.leader));
        }
        let voters = self.voters_after.len();
        if voters.is_multiple_of(2) {
            self.notes.push(format!("{voters} voters survive no more losses than {}", voters - 1));
        }
    }
}

/// Whether a member is where somebody wants it: an address that nobody names is any.
fn is_at(found: &MemberNode, wanted: &MemberNode) -> bool {
    let same = |found: &str, wanted: &str| wanted.is_empty() || found == wanted;
    same(&found.peer, &wanted.peer) && same(&found.client, &wanted.client) && same(&found.worker, &wanted.worker)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(all: &[u64]) -> Ids {
        all.iter().copied().map(CoordinatorId).collect()
    }

    fn node(id: u64) -> MemberNode {
        MemberNode {
            peer: format!("p:{id}"),
            client: format!("c:{id}"),
            worker: format!("w:{id}"),
            ..MemberNode::default()
        }
    }

    /// Coordinator 1 leads, all have the whole log, and `away` do not answer.
    fn scene(voters: &[u64], learners: &[u64], away: &[u64]) -> Scene {
        let all: Vec<u64> = voters.iter().chain(learners).copied().collect();
        let next = all.iter().max().map_or(1, |id| id + 1);
        Scene {
            leader: CoordinatorId(1),
            voters: ids(voters),
            nodes: all.iter().map(|id| (CoordinatorId(*id), node(*id))).collect(),
            next_id: CoordinatorId(next),
            answering: all.iter().filter(|id| !away.contains(id)).copied().map(CoordinatorId).collect(),
            behind: all.iter().map(|id| (CoordinatorId(*id), 0)).collect(),
        }
    }

    fn add(id: u64) -> Change {
        Change::Add { id: CoordinatorId(id), node: node(id) }
    }

    fn promote(id: u64) -> Change {
        Change::Promote { id: CoordinatorId(id) }
    }

    fn remove(id: u64) -> Change {
        Change::Remove { id: CoordinatorId(id) }
    }

    fn replace(old: u64, new: u64) -> Change {
        Change::Replace { old: CoordinatorId(old), new: CoordinatorId(new) }
    }

    #[test]
    fn a_new_node_learns_before_it_votes() {
        let plan = Plan::of(&scene(&[1, 2, 3], &[], &[]), &add(4));
        assert_eq!((plan.refusal, plan.voters_after, plan.learners_after), (None, ids(&[1, 2, 3]), ids(&[4])));
        let plan = Plan::of(&scene(&[1, 2, 3], &[4], &[]), &promote(4));
        assert_eq!((&plan.refusal, &plan.voters_after), (&None, &ids(&[1, 2, 3, 4])));
        assert_eq!((plan.can_lose_before(), plan.can_lose_after()), (1, 1));
        assert_eq!(plan.notes, ["4 voters survive no more losses than 3"]);
    }

    #[test]
    fn an_id_is_given_out_once() {
        let mut scene = scene(&[1, 2, 3], &[], &[]);
        scene.next_id = CoordinatorId(6);
        for taken in [4, 5] {
            let refusal = Plan::of(&scene, &add(taken)).refusal.expect("refused");
            assert_eq!(refusal, Refusal::Taken { id: CoordinatorId(taken), next: CoordinatorId(6) });
        }
        assert_eq!(Plan::of(&scene, &add(6)).refusal, None);
        assert_eq!(Plan::of(&scene, &add(9)).refusal, None, "gaps are allowed");
    }

    #[test]
    fn what_is_done_is_done_once() {
        let scene = scene(&[1, 2, 4], &[5], &[]);
        for done in [add(5), add(4), promote(4), remove(3), replace(3, 4)] {
            let plan = Plan::of(&scene, &done);
            assert!(plan.already && plan.refusal.is_none(), "{done:?}: {plan:?}");
            assert_eq!((plan.voters_before, plan.learners_before), (plan.voters_after, plan.learners_after));
        }
    }

    #[test]
    fn a_member_elsewhere_and_an_address_of_another_are_refused() {
        let scene = scene(&[1, 2, 3], &[], &[]);
        let moved = Change::Add { id: CoordinatorId(3), node: node(7) };
        assert!(matches!(Plan::of(&scene, &moved).refusal, Some(Refusal::Elsewhere { .. })));
        let crowded = Change::Add { id: CoordinatorId(4), node: MemberNode { worker: "c:2".to_owned(), ..node(4) } };
        let owner = CoordinatorId(2);
        assert_eq!(
            Plan::of(&scene, &crowded).refusal,
            Some(Refusal::AddressTaken { address: "c:2".to_owned(), owner })
        );
    }

    #[test]
    fn who_is_behind_or_away_gets_no_vote() {
        let mut scene = scene(&[1, 2, 3], &[4], &[]);
        scene.behind.insert(CoordinatorId(4), BEHIND_MAX);
        assert_eq!(Plan::of(&scene, &promote(4)).refusal, None);
        scene.behind.insert(CoordinatorId(4), BEHIND_MAX + 1);
        let behind = Refusal::Behind { id: CoordinatorId(4), behind: BEHIND_MAX + 1 };
        for change in [promote(4), replace(3, 4)] {
            assert_eq!(Plan::of(&scene, &change).refusal, Some(behind.clone()));
            assert!(!behind.may_be_forced());
        }
        scene.behind.insert(CoordinatorId(4), 0);
        scene.answering.remove(&CoordinatorId(4));
        assert_eq!(Plan::of(&scene, &promote(4)).refusal, Some(Refusal::Silent(CoordinatorId(4))));
    }

    #[test]
    fn what_leaves_no_majority_is_refused_unless_forced() {
        // The other one is away: alone with it nothing could be written.
        let plan = Plan::of(&scene(&[1, 2, 3], &[], &[3]), &remove(2));
        let refusal = plan.refusal.clone().expect("refused");
        assert_eq!(refusal, Refusal::NoMajority { voters: 2, answering: 1, needed: 2 });
        assert!(refusal.may_be_forced());
        assert_eq!((plan.can_lose_before(), plan.can_lose_after()), (0, 0));
        // To remove the one that is away costs nothing.
        let plan = Plan::of(&scene(&[1, 2, 3], &[], &[3]), &remove(3));
        assert_eq!((&plan.refusal, plan.can_lose_after()), (&None, 0));
        let plan = Plan::of(&scene(&[1, 2, 3], &[4], &[3]), &replace(3, 4));
        assert_eq!((&plan.refusal, plan.can_lose_before(), plan.can_lose_after()), (&None, 0, 1));
        // The last one stays, whatever is said.
        let last = Plan::of(&scene(&[1], &[], &[]), &remove(1)).refusal.expect("refused");
        assert!(!last.may_be_forced(), "{last}");
    }

    #[test]
    fn the_leader_may_go_after_it_has_handed_over() {
        let plan = Plan::of(&scene(&[1, 2, 3], &[], &[]), &remove(1));
        assert_eq!(plan.refusal, None);
        assert_eq!(plan.notes[0], "coordinator 1 leads: it hands the lead over first");
    }

    #[test]
    fn who_never_was_a_member_is_not_found() {
        let scene = scene(&[1, 2, 3], &[], &[]);
        for change in [promote(9), remove(9), replace(9, 8), replace(3, 8)] {
            assert!(matches!(Plan::of(&scene, &change).refusal, Some(Refusal::NotFound(_))), "{change:?}");
        }
    }

    #[test]
    fn a_learner_goes_without_touching_the_voters() {
        let plan = Plan::of(&scene(&[1, 2, 3], &[4], &[4]), &remove(4));
        assert_eq!((plan.refusal, plan.voters_after, plan.learners_after), (None, ids(&[1, 2, 3]), ids(&[])));
        assert_eq!(plan.notes, Vec::<String>::new());
    }
}
