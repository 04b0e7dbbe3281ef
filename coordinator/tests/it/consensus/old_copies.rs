//! Nodes whose disk is not what it was: wiped, or an old copy.

use flame_storage::Cause;

use super::harness::{Cluster, DEADLINE};

async fn cause(cluster: &Cluster, id: u64) -> Cause {
    let fatal = cluster.nodes[&id].consensus.fatal();
    tokio::time::timeout(DEADLINE, fatal.raised()).await.expect("it stops")
}

async fn stop(cluster: &mut Cluster, id: u64) {
    cluster.nodes[&id].consensus.shutdown().await;
    cluster.kill(id);
}

/// What was acknowledged is gone with the disk that replaced it.
#[tokio::test]
async fn an_old_copy_that_lost_entries_is_caught() {
    let mut cluster = Cluster::new(3).running().await;
    let index = cluster.register("copied").await;
    cluster.agree_at(index).await;
    let old = cluster.follower().await;
    stop(&mut cluster, old).await;
    let copy = tempfile::tempdir().unwrap();
    cluster.copy(old, copy.path()).await;
    cluster.start(old).await;
    let index = cluster.register("not-copied").await;
    cluster.agree_at(index).await;
    stop(&mut cluster, old).await;
    cluster.restore(old, copy.path()).await;
    cluster.start(old).await;
    let Cause::RolledBack(why) = cause(&cluster, old).await else { panic!("its disk is an old copy") };
    assert!(why.contains("has an old copy of its disk"), "{why}");
    stop(&mut cluster, old).await;
    let index = cluster.register("later").await;
    cluster.agree_at(index).await;
}

/// Who has led remembers it, whether or not there is a leader now.
#[tokio::test]
async fn an_old_copy_is_caught_without_a_leader() {
    let mut cluster = Cluster::new(3).running().await;
    let index = cluster.register("copied").await;
    cluster.agree_at(index).await;
    let leader = cluster.leader().await;
    let [old, witness] = *cluster.nodes.keys().copied().filter(|id| *id != leader).collect::<Vec<_>>() else {
        panic!()
    };
    stop(&mut cluster, old).await;
    let copy = tempfile::tempdir().unwrap();
    cluster.copy(old, copy.path()).await;
    cluster.start(old).await;
    cluster.leader().await;
    let witness_id = flame_types::CoordinatorId(witness);
    cluster.nodes[&leader].consensus.transfer_leader(Some(witness_id)).await.expect("it takes over");
    let index = cluster.register("with-it").await;
    cluster.agree_at(index).await;
    stop(&mut cluster, old).await;
    cluster.kill(leader);
    cluster.restore(old, copy.path()).await;
    cluster.start(old).await;
    assert!(matches!(cause(&cluster, old).await, Cause::RolledBack(_)));
}

/// Without a leader the others know its disk all the same: the log names it.
#[tokio::test]
async fn a_wiped_node_hears_it_without_a_leader() {
    let mut cluster = Cluster::new(3).running().await;
    let index = cluster.register("kept").await;
    cluster.agree_at(index).await;
    let leader = cluster.leader().await;
    let wiped = cluster.nodes.keys().copied().filter(|id| *id != leader).max().expect("there are two");
    stop(&mut cluster, wiped).await;
    cluster.kill(leader);
    cluster.wipe(wiped).await;
    cluster.start(wiped).await;
    let Cause::Replaced(why) = cause(&cluster, wiped).await else { panic!("its disk was wiped") };
    assert!(why.contains("knows another store"), "{why}");
}

/// From the very first entry on: nobody needs to have met it.
#[tokio::test]
async fn the_log_names_the_disk_of_every_member() {
    let cluster = Cluster::new(3).running().await;
    cluster.leader().await;
    for node in cluster.nodes.values() {
        let stores: Vec<_> = super::harness::eventually("it has the first entry", async || {
            let members = node.consensus.members();
            (members.len() == 3).then(|| members.into_iter().map(|(_, node, _)| node.store_id).collect())
        })
        .await;
        assert!(stores.iter().all(|store| !store.is_nil()), "{stores:?}");
        assert_eq!(stores.iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
    }
}
