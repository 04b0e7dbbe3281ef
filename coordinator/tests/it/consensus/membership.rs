//! Nodes that come and go, and changes that are cut short.

use std::collections::BTreeSet;

use flame_coordinator::consensus::{Change, ChangeError, Refusal, Wish};
use flame_storage::{Cause, MemberNode};
use flame_types::CoordinatorId;

use super::harness::{Cluster, DEADLINE, eventually};

const FORCED: Wish = Wish { force: true, dry_run: false };

fn remove(id: u64) -> Change {
    Change::Remove { id: CoordinatorId(id) }
}

/// Who votes, as one node knows it.
fn voters(cluster: &Cluster, id: u64) -> Vec<u64> {
    let members = cluster.nodes[&id].consensus.members();
    members.into_iter().filter(|(.., votes)| *votes).map(|(id, ..)| id.0).collect()
}

async fn all_know(cluster: &Cluster, wanted: &[u64]) {
    eventually("all know the voters", async || {
        cluster.nodes.keys().all(|id| voters(cluster, *id) == wanted).then_some(())
    })
    .await;
}

/// What ends a node.
async fn cause(cluster: &Cluster, id: u64) -> Cause {
    let fatal = cluster.nodes[&id].consensus.fatal();
    tokio::time::timeout(DEADLINE, fatal.raised()).await.expect("it stops")
}

#[tokio::test]
async fn a_cluster_grows_and_shrinks_and_keeps_everything() {
    let mut cluster = Cluster::new(3).running().await;
    cluster.register("with-three").await;
    assert_eq!([cluster.grow().await, cluster.grow().await], [4, 5]);
    all_know(&cluster, &[1, 2, 3, 4, 5]).await;
    let index = cluster.register("with-five").await;
    cluster.agree_at(index).await;

    // A follower goes, then whoever leads.
    for _ in 0..2 {
        let leaving = if cluster.nodes.len() == 5 { cluster.follower().await } else { cluster.leader().await };
        let changed = cluster.change(remove(leaving)).await.expect("it goes");
        assert!(changed.made);
        assert!(matches!(cause(&cluster, leaving).await, Cause::Removed(_)), "it hears of it");
        cluster.nodes[&leaving].consensus.shutdown().await;
        cluster.kill(leaving);
        let again = cluster.change(remove(leaving)).await.expect("done twice is done once");
        assert!(again.plan.already && !again.made);
    }
    let left: Vec<u64> = cluster.nodes.keys().copied().collect();
    all_know(&cluster, &left).await;
    let index = cluster.register("with-three-again").await;
    cluster.agree_at(index).await;
}

#[tokio::test]
async fn a_removed_node_does_not_come_back_and_its_id_is_gone() {
    let mut cluster = Cluster::new(3).running().await;
    let index = cluster.register("before").await;
    cluster.agree_at(index).await;
    // Not the one that would begin a cluster: wiped, it stops for another reason.
    let leader = cluster.leader().await;
    let removed = cluster.nodes.keys().copied().filter(|id| *id != leader).max().expect("there are two");
    cluster.kill(removed);
    cluster.change(remove(removed)).await.expect("it goes, although it is dead");
    for wiped in [false, true] {
        if wiped {
            cluster.wipe(removed).await;
        }
        cluster.start(removed).await;
        let Cause::Removed(why) = cause(&cluster, removed).await else { panic!("it was removed") };
        assert!(why.contains("the lowest that is free is 4"), "{why}");
        cluster.nodes[&removed].consensus.shutdown().await;
        cluster.kill(removed);
    }
    let add = Change::Add { id: CoordinatorId(removed), node: cluster.node(removed) };
    let taken = Refusal::Taken { id: CoordinatorId(removed), next: CoordinatorId(4) };
    assert_eq!(cluster.change(add).await, Err(ChangeError::Refused(taken)));
    // Neither a new leader nor one that has started again has forgotten.
    let leader = cluster.leader().await;
    cluster.nodes[&leader].consensus.transfer_leader(None).await.expect("the other takes over");
    let add = Change::Add { id: CoordinatorId(removed), node: cluster.node(removed) };
    assert!(matches!(cluster.change(add).await, Err(ChangeError::Refused(Refusal::Taken { .. }))));
}

#[tokio::test]
async fn a_node_that_waits_begins_nothing_and_says_what_it_waits_for() {
    let mut cluster = Cluster::new(3);
    let joiner = cluster.room();
    cluster.start(joiner).await;
    let waits_for = |cluster: &Cluster, what: &str| {
        let node = &cluster.nodes[&joiner].consensus;
        node.waits_for().filter(|said| said.contains(what)).map(|_| ())
    };
    eventually("nobody answers it", async || waits_for(&cluster, "for a member of cluster")).await;
    assert_eq!(cluster.nodes[&joiner].consensus.bootstrap().await, Ok(()));
    assert_eq!(cluster.nodes[&joiner].consensus.members(), []);
    for id in 1..=3 {
        cluster.start(id).await;
    }
    cluster.nodes[&1].consensus.bootstrap().await.expect("the cluster begins");
    let told = format!("flmctl cluster add {joiner} --peer {}", cluster.address(joiner));
    eventually("members answer it", async || waits_for(&cluster, &told)).await;
    let node = &cluster.nodes[&joiner];
    assert_eq!((node.consensus.members(), node.leadership().leader), (Vec::new(), None));

    let add = Change::Add { id: CoordinatorId(joiner), node: cluster.node(joiner) };
    assert!(cluster.change(add.clone()).await.expect("it is added").made);
    assert!(!cluster.change(add).await.expect("done twice is done once").made);
    eventually("it is a member", async || cluster.nodes[&joiner].consensus.waits_for().is_none().then_some(())).await;
    let index = cluster.register("after").await;
    cluster.agree_at(index).await;
    assert_eq!(voters(&cluster, joiner), [1, 2, 3], "it learns before it votes");
    // After a restart it is still one, and asks nobody.
    cluster.nodes[&joiner].consensus.shutdown().await;
    cluster.kill(joiner);
    cluster.start(joiner).await;
    let index = cluster.register("after-its-restart").await;
    cluster.agree_at(index).await;
}

#[tokio::test]
async fn only_who_waits_to_be_added_is_added() {
    let mut cluster = Cluster::new(3).running().await;
    cluster.leader().await;
    let nobody = cluster.room();
    let add = |id: u64, node: MemberNode| Change::Add { id: CoordinatorId(id), node };
    let refused = cluster.change(add(nobody, cluster.node(nobody))).await.expect_err("nobody is there");
    assert!(refused.to_string().contains("nobody answers"), "{refused}");
    let at_a_member = MemberNode { peer: cluster.address(2), ..cluster.node(nobody) };
    let refused = cluster.change(add(nobody, at_a_member)).await.expect_err("a member is there");
    assert!(refused.to_string().contains("coordinator 2 answers"), "{refused}");
    let mut stranger = cluster.options(nobody);
    stranger.cluster_id = "another".to_owned();
    cluster.start_with(nobody, stranger).await;
    eventually("it asks in vain", async || cluster.nodes[&nobody].consensus.waits_for().map(|_| ())).await;
    let refused = cluster.change(add(nobody, cluster.node(nobody))).await.expect_err("it is of another cluster");
    assert!(refused.to_string().contains("belongs to cluster \"another\""), "{refused}");
}

#[tokio::test]
async fn what_loses_the_majority_is_refused() {
    let mut cluster = Cluster::new(3).running().await;
    let leader = cluster.leader().await;
    let [away, other] = *cluster.nodes.keys().copied().filter(|id| *id != leader).collect::<Vec<_>>() else { panic!() };
    cluster.kill(away);
    let consensus = &cluster.nodes[&leader].consensus;
    let refusal = eventually("it is known to be away", async || {
        let wish = Wish { force: false, dry_run: true };
        let planned = consensus.change_members(remove(other), wish).await.expect("a plan");
        assert!(!planned.made);
        planned.plan.refusal
    })
    .await;
    assert_eq!(refusal, Refusal::NoMajority { voters: 2, answering: 1, needed: 2 });
    assert_eq!(cluster.change(remove(other)).await, Err(ChangeError::Refused(refusal)));
    let index = cluster.register("it-still-works").await;
    cluster.agree_at(index).await;
}

/// The entry that makes the membership joint is on two nodes and cannot be committed; then the leader dies.
#[tokio::test]
async fn a_change_that_its_leader_did_not_finish_is_finished_by_the_next() {
    let mut cluster = Cluster::new(3).running().await;
    let index = cluster.register("before").await;
    cluster.agree_at(index).await;
    let leader = cluster.leader().await;
    let [away, leaving] = *cluster.nodes.keys().copied().filter(|id| *id != leader).collect::<Vec<_>>() else {
        panic!()
    };
    cluster.kill(away);
    let consensus = cluster.nodes[&leader].consensus.clone();
    let change = tokio::spawn(async move { consensus.change_members(remove(leaving), FORCED).await });
    for id in [leader, leaving] {
        eventually("it has the joint membership", async || cluster.nodes[&id].consensus.is_changing().then_some(()))
            .await;
    }
    change.abort();
    // Its end is awaited: the handle that the change holds would keep it alive.
    cluster.nodes[&leader].consensus.shutdown().await;
    cluster.kill(leader);
    cluster.start(leader).await;
    cluster.start(away).await;
    let stay: BTreeSet<u64> = [leader, away].into();
    eventually("the change is finished", async || {
        let done = |id: &u64| {
            let node = &cluster.nodes[id].consensus;
            !node.is_changing() && voters(&cluster, *id).into_iter().eq(stay.iter().copied())
        };
        stay.iter().all(done).then_some(())
    })
    .await;
    assert!(matches!(cause(&cluster, leaving).await, Cause::Removed(_)));
    cluster.nodes[&leaving].consensus.shutdown().await;
    cluster.kill(leaving);
    let index = cluster.register("after").await;
    cluster.agree_at(index).await;
}
