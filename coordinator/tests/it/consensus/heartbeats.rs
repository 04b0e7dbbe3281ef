//! Heartbeats go over a stream that stays open.

use std::time::Duration;

use super::harness::{Cluster, Node, eventually};

/// So many that a stream for each of them would be seen.
const HEARTBEATS: usize = 40;

/// A late answer on a busy machine ends a stream, and a change of leader opens others: a few are to be expected.
const STREAMS_MAX: usize = HEARTBEATS / 4;

/// Waits until whoever leads has heard so often from a follower, while there is nothing to say but heartbeats.
async fn heard(cluster: &Cluster, follower: u64) {
    let (mut times, mut last_heard) = (0, None);
    eventually("the follower answers heartbeats", async || {
        let peers = cluster.nodes.values().flat_map(|node| node.consensus.status().peers);
        let heard = peers.filter(|peer| peer.id.0 == follower).find_map(|peer| peer.heard)?;
        // A later answer is one that is not as long ago as the last one.
        if last_heard.replace(heard).is_some_and(|last| heard < last) {
            times += 1;
        }
        (times >= HEARTBEATS).then_some(())
    })
    .await;
}

fn streams(node: &Node) -> usize {
    node.calls("/flame.ha.v1.Raft/Append")
}

#[tokio::test]
async fn a_stream_serves_many_heartbeats_and_another_one_follows_it_when_it_breaks() {
    let mut cluster = Cluster::new(3).running().await;
    cluster.register("before").await;
    let follower = cluster.follower().await;
    let before = streams(&cluster.nodes[&follower]);
    heard(&cluster, follower).await;
    let opened = streams(&cluster.nodes[&follower]) - before;
    assert!(opened <= STREAMS_MAX, "{opened} streams for {HEARTBEATS} heartbeats");

    cluster.kill(follower);
    cluster.start(follower).await;
    heard(&cluster, follower).await;
    let opened = streams(&cluster.nodes[&follower]);
    assert!((1..=STREAMS_MAX).contains(&opened), "{opened} streams for {HEARTBEATS} heartbeats");
}

#[tokio::test]
async fn a_leader_knows_whether_a_majority_hears_it() {
    const SOON: Duration = Duration::from_secs(2);
    let mut cluster = Cluster::new(3).running().await;
    let leader = cluster.leader().await;
    let others: Vec<u64> = cluster.nodes.keys().copied().filter(|id| *id != leader).collect();
    eventually("a majority answers", async || cluster.nodes[&leader].consensus.has_majority_within(SOON).then_some(()))
        .await;
    assert!(!cluster.nodes[&others[0]].consensus.has_majority_within(SOON), "it does not lead");

    cluster.kill(others[0]);
    cluster.register("with-two-of-three").await;
    for id in others.into_iter().skip(1) {
        cluster.kill(id);
    }
    eventually("nobody answers any more", async || {
        (!cluster.nodes[&leader].consensus.has_majority_within(SOON)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_single_voter_is_its_own_majority() {
    let cluster = Cluster::new(1).running().await;
    let leader = cluster.leader().await;
    assert!(cluster.nodes[&leader].consensus.has_majority_within(Duration::ZERO));
}
