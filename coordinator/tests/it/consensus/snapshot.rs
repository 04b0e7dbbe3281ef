//! A node that was away while the log was cut.

use super::harness::{Cluster, eventually};

#[tokio::test]
async fn a_node_that_missed_the_cut_gets_a_snapshot() {
    let mut cluster = Cluster::new(3).cutting_after(20).running().await;
    cluster.register("first").await;
    let away = cluster.follower().await;
    let last_there = cluster.nodes[&away].consensus.status().last;
    cluster.nodes[&away].consensus.shutdown().await;
    cluster.kill(away);

    for number in 0..60 {
        cluster.register(&format!("app-{number}")).await;
    }
    let leader = cluster.leader().await;
    eventually("the log is cut beyond what the missing node has", async || {
        (cluster.nodes[&leader].consensus.status().purged > last_there).then_some(())
    })
    .await;

    cluster.start(away).await;
    let index = cluster.register("last").await;
    cluster.agree_at(index).await;
    let installed = cluster.nodes[&away].seen.lock().unwrap().installed.clone();
    assert!(installed.first().is_some_and(|index| *index > last_there), "{installed:?}");

    // What it got is on its disk: it starts from it alone.
    let digest = cluster.agree_at(index).await;
    cluster.nodes[&away].consensus.shutdown().await;
    cluster.kill(away);
    cluster.start(away).await;
    assert_eq!(cluster.agree_at(index).await, digest);
}

#[tokio::test]
async fn a_restarted_node_needs_only_what_was_cut_to() {
    let mut cluster = Cluster::new(1).cutting_after(20).running().await;
    for number in 0..60 {
        cluster.register(&format!("app-{number}")).await;
    }
    eventually("the log is cut", async || (cluster.nodes[&1].consensus.status().purged.0 > 20).then_some(())).await;
    let index = cluster.register("last").await;
    let digest = cluster.agree_at(index).await;

    cluster.kill(1);
    cluster.start(1).await;
    cluster.leader().await;
    assert_eq!(cluster.agree_at(index).await, digest);
}
