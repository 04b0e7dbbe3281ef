//! Replication, broken: disks that forget, votes that are given twice, states that differ, members that get lost.

use flame_jepsen::record::{AdminChange, Answer, FaultKind, NodeStep, Operation, Recording, Target, Text};
use flame_types::{CoordinatorId, LogIndex, TaskState, Term};

use crate::story::Story;

/// One task is done, and all nodes say so.
fn one_done() -> Story {
    let mut story = Story::new();
    story.submit(1);
    story.run(1, "worker-1", 1);
    story.digests();
    story
}

fn killed(story: &mut Story, node: u64) {
    story.fault(1, FaultKind::Kill, &[Target::Node(CoordinatorId(node))]);
    story.heal(1);
}

pub fn retry_after_a_failed_sync() -> Recording {
    let mut story = one_done();
    story.fault(1, FaultKind::DiskError, &[Target::Node(CoordinatorId(2))]);
    story.node(2, NodeStep::DiskFailed);
    story.heal(1);
    // It tries again in the same process, and this time the page cache says yes.
    story.node(2, NodeStep::Durable { last: LogIndex(story.index) });
    story.end()
}

pub fn silent_truncation() -> Recording {
    let mut story = one_done();
    killed(&mut story, 2);
    story.node(2, NodeStep::Opened { last: LogIndex(story.index - 3), term: Term(1) });
    story.end()
}

pub fn amnesia() -> Recording {
    let mut story = one_done();
    story.fault(1, FaultKind::DiskDeleted, &[Target::Node(CoordinatorId(2))]);
    story.heal(1);
    story.node(2, NodeStep::Opened { last: LogIndex(0), term: Term(0) });
    story.end()
}

pub fn votes_twice() -> Recording {
    let mut story = one_done();
    story.node(2, NodeStep::Voted { term: Term(5), candidate: CoordinatorId(1) });
    killed(&mut story, 2);
    story.node(2, NodeStep::Opened { last: LogIndex(story.index), term: Term(5) });
    story.node(2, NodeStep::Voted { term: Term(5), candidate: CoordinatorId(3) });
    story.end()
}

pub fn two_leaders() -> Recording {
    let mut story = one_done();
    story.node(2, NodeStep::Leads { term: Term(2) });
    story.node(3, NodeStep::Leads { term: Term(2) });
    story.end()
}

pub fn two_logs() -> Recording {
    let mut story = one_done();
    let (index, digest) = (LogIndex(story.index), Text::from("digest"));
    for (node, term) in [(1, 2), (2, 3)] {
        let index = LogIndex(index.0 + 1);
        story.node(node, NodeStep::Applied { index, term: Term(term), digest: digest.clone() });
    }
    story.index += 1;
    story.end()
}

/// One node says something else of its state than the others.
fn differs(story: &mut Story, node: u64) {
    let index = LogIndex(story.index);
    story.node(node, NodeStep::Applied { index, term: Term(story.term), digest: "another".into() });
}

pub fn clock_in_apply() -> Recording {
    let mut story = one_done();
    differs(&mut story, 3);
    story.end()
}

pub fn version_skew() -> Recording {
    let mut story = one_done();
    story.fault(1, FaultKind::Upgrade, &[Target::Node(CoordinatorId(2))]);
    story.node(2, NodeStep::Exited { code: Some(0), signal: None });
    story.heal(1);
    story.node(2, NodeStep::Opened { last: LogIndex(story.index), term: Term(1) });
    differs(&mut story, 2);
    story.end()
}

pub fn half_a_snapshot() -> Recording {
    let mut story = one_done();
    story.node(2, NodeStep::SnapshotInstalled { last: LogIndex(story.index) });
    differs(&mut story, 2);
    story.end()
}

pub fn older_snapshot() -> Recording {
    let mut story = one_done();
    story.node(2, NodeStep::SnapshotInstalled { last: LogIndex(story.index - 3) });
    story.end()
}

pub fn damaged_snapshot() -> Recording {
    let mut story = one_done();
    let text = "snapshot 12: file 3 does not match its manifest".to_owned();
    story.node(2, NodeStep::Log { error: true, text });
    story.end()
}

fn ids(ids: &[u64]) -> Vec<CoordinatorId> {
    ids.iter().copied().map(CoordinatorId).collect()
}

fn members(story: &mut Story, voters: &[&[u64]]) {
    let voters = voters.iter().map(|set| ids(set)).collect();
    let index = LogIndex(story.entry());
    story.nodes(&NodeStep::Members { index, voters, learners: Vec::new() });
}

pub fn lost_change_of_members() -> Recording {
    let mut story = one_done();
    members(&mut story, &[&[1, 2, 3]]);
    let change = AdminChange::AddNode { node: CoordinatorId(4) };
    story.does(Operation::Admin { change }, Answer::Done);
    story.end()
}

pub fn stuck_in_joint() -> Recording {
    let mut story = one_done();
    members(&mut story, &[&[1, 2, 3]]);
    members(&mut story, &[&[1, 2, 3], &[1, 2, 3, 4]]);
    story.end()
}

pub fn removed_node_leads() -> Recording {
    let mut story = one_done();
    members(&mut story, &[&[1, 2, 3]]);
    members(&mut story, &[&[1, 2]]);
    story.node(3, NodeStep::Leads { term: Term(9) });
    story.end()
}

pub fn state_goes_back() -> Recording {
    let mut story = one_done();
    let digest = Text::from("digest");
    story.node(2, NodeStep::Applied { index: LogIndex(2), term: Term(1), digest });
    story.is(1, TaskState::Succeed);
    story.end()
}
