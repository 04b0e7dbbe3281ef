//! C11: terms, votes, logs and members, as far as nodes tell of them.
//!
//! | must hold | or else |
//! |---|---|
//! | one leader for each term, one vote of each node for each term | two majorities |
//! | terms of a node never go back, and one in which it voted or led not even over a restart | it votes twice |
//! | one term for each position of the log | two logs |
//! | what a node said is durable is there when it opens its directory, unless its disk was taken from it, and then it does not come back under its id | forgotten acknowledgements |
//! | nothing is durable any more after a write or sync has failed, until it is opened anew | a failed sync that was tried again |
//! | no snapshot of an older state is installed | a state that goes back |
//! | one set of members for each position; at rest one set of voters; what was added is there, what was removed is not, and never leads again | a lost or stuck change, a disturber |
//!
//! *Source:* D. Ongaro, Consensus: bridging theory and practice, 2014, figure 3.2; the invariants of openraft's simulation;
//! the amnesia guard and the bugs #2123 and #2124 of openraft.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use flame_types::{CoordinatorId, LogIndex, Term};

use super::{Checker, CheckerId, Found};
use crate::facts::{EventAt, Facts};
use crate::record::{AdminChange, Answer, NodeStep, Operation, Target, What, Witness};

/// The checker.
pub const CHECKER: Checker = Checker {
    id: CheckerId::C11,
    promise: "terms, votes, logs and members",
    source: "Ongaro 2014, figure 3.2; openraft's invariants; protocol-aware recovery",
    needs: &[Witness::Raft],
    check,
};

/// What is known of a node by its own word.
#[derive(Default)]
struct Node {
    /// In this life.
    term: Term,
    /// The last term in which it has promised others something.
    promised: Term,
    durable: LogIndex,
    /// Its disk failed in this life.
    failed: bool,
    /// How far its state is in this life: it may go back when it is opened anew.
    applied: LogIndex,
}

#[derive(Default)]
struct Raft {
    nodes: HashMap<CoordinatorId, Node>,
    leaders: HashMap<Term, CoordinatorId>,
    votes: HashMap<(CoordinatorId, Term), CoordinatorId>,
    term_at: HashMap<LogIndex, Term>,
    members: HashMap<LogIndex, Members>,
    latest: Option<(LogIndex, EventAt)>,
    /// Who was removed, and the highest term that had a leader then.
    removed: HashMap<CoordinatorId, Term>,
}

/// Voters, of which there are two sets during a change, and learners.
type Members = (Vec<BTreeSet<CoordinatorId>>, BTreeSet<CoordinatorId>);

fn check(facts: &Facts<'_>, found: &mut Found) {
    let mut raft = Raft::default();
    for (event, recorded) in facts.events.iter().enumerate() {
        if let What::Node(node) = &recorded.what {
            raft.step(facts, node.node, &node.step, event, found);
        }
        // An order to remove counts from its answer on.
        if facts.rest.is_some_and(|rest| rest.event == event) {
            raft.at_rest(facts, found);
        }
    }
    found.figure("terms_with_leader", raft.leaders.len() as u64);
    found.figure("membership_changes", (raft.members.len() as u64).saturating_sub(1));
}

impl Raft {
    fn step(&mut self, facts: &Facts<'_>, id: CoordinatorId, step: &NodeStep, event: EventAt, found: &mut Found) {
        match step {
            NodeStep::Opened { last, term } => self.opened(facts, id, *last, *term, event, found),
            NodeStep::Voted { term, candidate } => {
                self.term(id, *term, event, found);
                self.promised(id, *term);
                self.voted(id, *term, *candidate, event, found);
            }
            NodeStep::Leads { term } => {
                self.term(id, *term, event, found);
                self.promised(id, *term);
                self.leads(id, *term, event, found);
            }
            NodeStep::Follows { term, leader } => {
                self.term(id, *term, event, found);
                self.leads(*leader, *term, event, found);
            }
            NodeStep::Durable { last } => {
                let node = self.nodes.entry(id).or_default();
                if node.failed {
                    found.broken(event, format!("node {id} says that {last} is durable after its disk failed"));
                }
                node.durable = node.durable.max(*last);
            }
            NodeStep::DiskFailed => self.nodes.entry(id).or_default().failed = true,
            NodeStep::SnapshotInstalled { last } => {
                let node = self.nodes.entry(id).or_default();
                if *last < node.applied {
                    let applied = node.applied;
                    found.broken(event, format!("node {id} had applied {applied} and installed a snapshot of {last}"));
                }
                node.applied = *last;
            }
            NodeStep::Applied { index, term, .. } => self.applied(id, *index, *term, event, found),
            NodeStep::Members { index, voters, learners } => {
                let members = (
                    voters.iter().map(|set| set.iter().copied().collect()).collect(),
                    learners.iter().copied().collect(),
                );
                self.members(*index, members, event, found);
            }
            _ => {}
        }
    }

    fn opened(
        &mut self,
        facts: &Facts<'_>,
        id: CoordinatorId,
        last: LogIndex,
        term: Term,
        event: EventAt,
        found: &mut Found,
    ) {
        let node = self.nodes.entry(id).or_default();
        let (durable, known) = (node.durable, node.promised);
        node.term = term;
        node.failed = false;
        node.applied = LogIndex(0);
        if last >= durable && term >= known {
            return;
        }
        // Whose disk was taken from it must not come back as if nothing had been.
        let damaged = facts.faults.iter().any(|fault| {
            fault.kind.takes_from_disk()
                && fault.hits(&Target::Node(id))
                && fault.from.is_some_and(|at| at.event < event)
        });
        let why = if damaged { "its disk was damaged, and it takes part all the same" } else { "it has forgotten" };
        let text = format!(
            "node {id} had {durable} durable and had promised term {known}, and opens with {last} in term {term}: {why}"
        );
        found.broken(event, text);
    }

    fn term(&mut self, id: CoordinatorId, term: Term, event: EventAt, found: &mut Found) {
        let node = self.nodes.entry(id).or_default();
        if term < node.term {
            found.broken(event, format!("node {id} goes back from term {} to {term}", node.term));
        }
        node.term = node.term.max(term);
    }

    fn promised(&mut self, id: CoordinatorId, term: Term) {
        let node = self.nodes.entry(id).or_default();
        node.promised = node.promised.max(term);
    }

    fn voted(&mut self, id: CoordinatorId, term: Term, candidate: CoordinatorId, event: EventAt, found: &mut Found) {
        let first = *self.votes.entry((id, term)).or_insert(candidate);
        if first != candidate {
            found.broken(event, format!("node {id} voted for {first} and for {candidate} in term {term}"));
        }
    }

    fn leads(&mut self, id: CoordinatorId, term: Term, event: EventAt, found: &mut Found) {
        match self.leaders.entry(term) {
            Entry::Occupied(first) if *first.get() != id => {
                let first = first.get();
                found.broken(event, format!("nodes {first} and {id} lead in term {term}"));
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(none) => {
                none.insert(id);
                // Of a term before its removal somebody may hear late.
                if self.removed.get(&id).is_some_and(|then| term > *then) {
                    found.broken(event, format!("node {id} was removed, and leads in term {term}"));
                }
            }
        }
    }

    fn applied(&mut self, id: CoordinatorId, index: LogIndex, term: Term, event: EventAt, found: &mut Found) {
        let first = *self.term_at.entry(index).or_insert(term);
        if first != term {
            found.broken(event, format!("entry {index} is of term {first}, and on node {id} of term {term}"));
        }
        let node = self.nodes.entry(id).or_default();
        if index < node.applied {
            let applied = node.applied;
            found.broken(event, format!("node {id} had applied {applied}, and applies {index} without a restart"));
        }
        node.applied = index;
    }

    fn members(&mut self, index: LogIndex, members: Members, event: EventAt, found: &mut Found) {
        if self.members.get(&index).is_some_and(|known| *known != members) {
            found.broken(event, format!("the members since entry {index} differ from node to node"));
        }
        if self.latest.is_none_or(|(latest, _)| latest < index) {
            // Whoever was there before and is in none of the sets any more was removed, for ever.
            if let Some(before) = self.latest.and_then(|(latest, _)| self.members.get(&latest)) {
                let gone: Vec<CoordinatorId> = everybody(before).difference(&everybody(&members)).copied().collect();
                let term = self.leaders.keys().max().copied().unwrap_or_default();
                self.removed.extend(gone.into_iter().map(|id| (id, term)));
            }
            self.latest = Some((index, event));
        }
        self.members.insert(index, members);
    }

    fn at_rest(&self, facts: &Facts<'_>, found: &mut Found) {
        let Some((index, event)) = self.latest else { return };
        let members = &self.members[&index];
        if members.0.len() != 1 {
            found.broken(event, format!("the change of members of entry {index} was never finished"));
        }
        for op in facts.ops.iter().filter(|op| matches!(op.answer(), Some(Answer::Done))) {
            let Operation::Admin { change } = op.operation else { continue };
            let (node, should_be_there) = match change {
                AdminChange::AddNode { node } => (*node, true),
                AdminChange::RemoveNode { node } => (*node, false),
                _ => continue,
            };
            let later = facts.ops.iter().any(|other| {
                let touches = matches!(
                    other.operation,
                    Operation::Admin { change: AdminChange::AddNode { node: on } | AdminChange::RemoveNode { node: on } }
                        if *on == node
                );
                touches && !other.did_nothing() && other.call > op.call
            });
            let is_there = members.0.iter().all(|voters| voters.contains(&node));
            if !later && is_there != should_be_there {
                let wanted = if should_be_there { "added" } else { "removed" };
                found.broken(
                    event,
                    format!("node {node} was {wanted}, and the members since entry {index} do not say so"),
                );
            }
        }
    }
}

fn everybody(members: &Members) -> BTreeSet<CoordinatorId> {
    members.0.iter().flatten().chain(&members.1).copied().collect()
}
