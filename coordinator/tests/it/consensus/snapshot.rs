//! A node that was away while the log was cut.

use super::harness::{Cluster, eventually};

const SNAPSHOT: &str = "/flame.ha.v1.Raft/Snapshot";

/// So much that a snapshot of it travels for some time …
const DESCRIPTION_BYTES: usize = 20_000;
const APPLICATIONS: usize = 120;

/// … at this pace.
const BYTES_PER_SECOND: u64 = 1 << 20;

/// Tries until files of a database that compacts them now and then are the same in two of them.
const TRANSFERS_CUT_MAX: usize = 8;

/// Takes a follower out, fills the state, and waits until the log is cut beyond what the follower has.
async fn miss_the_cut(cluster: &mut Cluster) -> u64 {
    cluster.register("first").await;
    let away = cluster.follower().await;
    let last_there = cluster.nodes[&away].consensus.status().last;
    cluster.nodes[&away].consensus.shutdown().await;
    cluster.kill(away);
    for number in 0..APPLICATIONS {
        cluster.register_with(&format!("large-{number}"), DESCRIPTION_BYTES).await;
    }
    let leader = cluster.leader().await;
    eventually("the log is cut beyond what the missing node has", async || {
        (cluster.nodes[&leader].consensus.status().purged > last_there).then_some(())
    })
    .await;
    away
}

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

#[tokio::test]
async fn a_slow_follower_catches_up_while_the_cluster_works() {
    let cluster = Cluster::new(3).cutting_after(20).keeping(256 << 10).shipping_at(BYTES_PER_SECOND);
    let mut cluster = cluster.running().await;
    let away = miss_the_cut(&mut cluster).await;
    cluster.start(away).await;
    let mut was_behind = false;
    let (mut number, mut last) = (0, cluster.register("meanwhile").await);
    while cluster.nodes[&away].seen.lock().unwrap().installed.is_empty() {
        last = cluster.register(&format!("meanwhile-{number}")).await;
        number += 1;
        // It has not received what it misses, and knows that it misses it.
        let slow = &cluster.nodes[&away].consensus;
        was_behind |= slow.receiving().is_some() && slow.lag() as usize > APPLICATIONS;
        for node in cluster.nodes.values() {
            let purged = node.consensus.status().purged;
            assert!(purged <= node.consensus.status().flushed, "the log is cut beyond what a crash leaves of the rows");
        }
    }
    assert!(was_behind, "it never said how far it is behind");
    assert!(number > 0, "the cluster stood still");
    cluster.agree_at(last).await;
    assert_eq!(cluster.nodes[&away].calls(SNAPSHOT), 1, "the log behind it was there when it had come");
    assert_eq!(cluster.nodes[&away].consensus.receiving(), None);
    assert_eq!(cluster.nodes[&away].consensus.lag(), 0);
}

#[tokio::test]
async fn a_transfer_that_was_cut_goes_on_with_what_has_arrived() {
    let mut cluster = Cluster::new(3).cutting_after(20).shipping_at(BYTES_PER_SECOND).running().await;
    let away = miss_the_cut(&mut cluster).await;
    let receiving = async |cluster: &Cluster| {
        eventually("a snapshot is on its way", async || cluster.nodes[&away].consensus.receiving()).await
    };
    let mut kept = 0;
    for _ in 0..TRANSFERS_CUT_MAX {
        cluster.start(away).await;
        kept = receiving(&cluster).await.kept;
        if kept > 0 {
            break;
        }
        eventually("half of it is here", async || {
            let now = cluster.nodes[&away].consensus.receiving()?;
            (2 * now.arrived >= now.of).then_some(())
        })
        .await;
        cluster.kill(away);
    }
    assert!(kept > 0, "every transfer began at zero");
    let index = cluster.register("last").await;
    cluster.agree_at(index).await;
    assert_eq!(cluster.nodes[&away].seen.lock().unwrap().installed.len(), 1);
    let left: Vec<_> = std::fs::read_dir(cluster.data_dir(away).join("snapshots")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
