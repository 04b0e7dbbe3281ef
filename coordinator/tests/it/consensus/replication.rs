//! Entries reach all nodes, in order, once.

use flame_coordinator::consensus::{Proposal, ProposeError, ReadError};
use flame_types::{CoordinatorId, LogIndex, Term};

use super::harness::{Cluster, eventually, register};

#[tokio::test]
async fn a_hundred_entries_give_three_equal_states() {
    let cluster = Cluster::new(3).durable().running().await;
    let mut waiting: Vec<String> = (0..100).map(|number| format!("app-{number}")).collect();
    let mut last = LogIndex(0);
    // A leader that loses touch with the majority for a moment refuses entries: those, and only those, come again.
    while !waiting.is_empty() {
        let node = &cluster.nodes[&cluster.leader().await];
        let term = node.leadership().term;
        // All are under way before the first is settled.
        let mut proposals = Vec::new();
        for name in waiting.drain(..) {
            let proposal = node.consensus.propose(term, register(&name)).await;
            proposals.push((name, proposal));
        }
        for (name, proposal) in proposals {
            match settled(proposal).await {
                Ok(index) => {
                    assert!(index > last, "in the order in which they were handed over");
                    last = index;
                }
                Err(ProposeError::NotLeader { .. } | ProposeError::Dropped { .. }) => waiting.push(name),
                Err(error) => panic!("{name}: {error}"),
            }
        }
    }

    cluster.agree_at(last).await;
    for node in cluster.nodes.values() {
        let seen = node.seen.lock().unwrap();
        assert_eq!(seen.replies, 100);
        let gapless: Vec<LogIndex> = (0..=last.0).map(LogIndex).collect();
        assert_eq!(seen.applied[..gapless.len()], gapless);
        assert_eq!(node.consensus.members().len(), 3);
    }
}

async fn settled(proposal: Result<Proposal, ProposeError>) -> Result<LogIndex, ProposeError> {
    proposal?.settled().await
}

#[tokio::test]
async fn only_the_leader_of_the_very_term_may_propose_and_confirm_reads() {
    let cluster = Cluster::new(3).running().await;
    let written = cluster.register("first").await;
    let leader = cluster.leader().await;
    let node = &cluster.nodes[&leader];
    let term = node.leadership().term;

    let old = node.consensus.propose(Term(term.0 - 1), register("old")).await;
    assert_eq!(old.expect_err("an old term"), ProposeError::NotLeader { leader: None });
    assert!(node.consensus.read_index().await.expect("confirmed") >= written);

    let follower = &cluster.nodes[&cluster.follower().await];
    eventually("the follower knows the leader", async || {
        (follower.leadership().leader == Some(CoordinatorId(leader))).then_some(())
    })
    .await;
    let hint = Some(CoordinatorId(leader));
    let refused = follower.consensus.propose(term, register("other")).await;
    assert_eq!(refused.expect_err("not the leader"), ProposeError::NotLeader { leader: hint });
    assert_eq!(follower.consensus.read_index().await, Err(ReadError::NotLeader { leader: hint }));
}

#[tokio::test]
async fn one_node_alone_is_a_cluster_and_keeps_what_it_has() {
    let mut cluster = Cluster::new(1).running().await;
    let index = cluster.register("kept").await;
    let digest = cluster.agree_at(index).await;
    let first_term = cluster.nodes[&1].leadership().term;

    cluster.nodes[&1].consensus.shutdown().await;
    cluster.kill(1);
    cluster.start(1).await;
    cluster.leader().await;

    assert!(cluster.nodes[&1].leadership().term > first_term, "it was elected again");
    assert_eq!(cluster.agree_at(index).await, digest);
}
