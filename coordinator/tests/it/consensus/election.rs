//! Leaders come and go; what was acknowledged stays.

use super::harness::{Cluster, eventually, register};

#[tokio::test]
async fn a_lost_leader_is_replaced_and_nothing_is_lost() {
    let mut cluster = Cluster::new(3).running().await;
    for number in 0..10 {
        cluster.register(&format!("before-{number}")).await;
    }
    let lost = cluster.leader().await;
    let old_term = cluster.nodes[&lost].leadership().term;

    cluster.kill(lost);
    let index = cluster.register("after").await;
    let leader = cluster.leader().await;
    assert_ne!(leader, lost);
    assert!(cluster.nodes[&leader].leadership().term > old_term);
    let digest = cluster.agree_at(index).await;

    cluster.start(lost).await;
    assert_eq!(cluster.agree_at(index).await, digest, "the lost one has caught up");
}

#[tokio::test]
async fn a_leader_that_restarts_at_once_leads_only_after_an_election() {
    let mut cluster = Cluster::new(3).running().await;
    let index = cluster.register("before").await;
    let leader = cluster.leader().await;
    let old_term = cluster.nodes[&leader].leadership().term;

    cluster.kill(leader);
    cluster.start(leader).await;
    let restarted = cluster.nodes[&leader].consensus.clone();
    let in_old_term = restarted.propose(old_term, register("forged")).await;
    assert!(in_old_term.is_err(), "it does not lead in the term in which it led before");

    let new_term = eventually("there is a leader again", async || {
        let seen = *restarted.leadership().borrow();
        assert!(!(seen.is_self && seen.term == old_term), "it leads without having been elected");
        (seen.leader.is_some() && seen.term > old_term).then_some(seen.term)
    })
    .await;
    assert!(new_term > old_term);
    let later = cluster.register("after").await;
    assert!(later > index);
    cluster.agree_at(later).await;
}

#[tokio::test]
async fn the_leadership_can_be_handed_over() {
    let cluster = Cluster::new(3).running().await;
    cluster.register("before").await;
    let leader = cluster.leader().await;

    eventually("the leadership is handed over", async || {
        let leader = cluster.leader().await;
        cluster.nodes[&leader].consensus.transfer_leader(None).await.ok()
    })
    .await;
    let index = cluster.register("after").await;
    assert_ne!(cluster.leader().await, leader);
    cluster.agree_at(index).await;
}
