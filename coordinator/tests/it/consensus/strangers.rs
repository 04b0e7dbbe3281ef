//! Who is refused.

use flame_coordinator::consensus::{BootstrapError, Consensus, StartError};
use flame_proto::ha::bootstrap_client::BootstrapClient;
use flame_proto::ha::raft_client::RaftClient;
use flame_proto::ha::{PeerHeader, ProbeRequest, RaftFrame};
use flame_types::CoordinatorId;
use tonic::Code;

use super::harness::{CLUSTER_ID, Cluster};

const STORE: &str = "00000000-0000-4000-8000-000000000002";
const OTHER_STORE: &str = "00000000-0000-4000-8000-000000000003";

fn header() -> PeerHeader {
    let store_id = STORE.to_owned();
    PeerHeader { cluster_id: CLUSTER_ID.into(), from: 2, to: 1, feature_level: 1, store_id, ..PeerHeader::default() }
}

/// The code with which node 1 answers a vote whose header is this. Its body is not one, so an admitted header gives
/// "invalid argument".
async fn answer(cluster: &Cluster, header: Option<PeerHeader>) -> Code {
    let mut client = RaftClient::connect(format!("http://{}", cluster.address(1))).await.unwrap();
    let frame = RaftFrame { header, body: "no vote".into(), ..RaftFrame::default() };
    client.vote(frame).await.expect_err("it is no vote").code()
}

#[tokio::test]
async fn only_members_of_the_cluster_are_heard() {
    let mut cluster = Cluster::new(2);
    cluster.start(1).await;

    let refused = [
        None,
        Some(PeerHeader { cluster_id: "another".into(), ..header() }),
        Some(PeerHeader { to: 2, ..header() }),
        Some(PeerHeader { from: 9, ..header() }),
        Some(PeerHeader { store_id: "none".into(), ..header() }),
        Some(PeerHeader { known_store_id: OTHER_STORE.into(), ..header() }),
        Some(PeerHeader { known_store_id: "none".into(), ..header() }),
    ];
    for header in refused {
        assert_eq!(answer(&cluster, header.clone()).await, Code::FailedPrecondition, "{header:?}");
    }
    assert_eq!(answer(&cluster, Some(header())).await, Code::InvalidArgument);

    let other_store = PeerHeader { store_id: OTHER_STORE.into(), ..header() };
    assert_eq!(answer(&cluster, Some(other_store)).await, Code::FailedPrecondition, "its disk was wiped");
    assert_eq!(answer(&cluster, Some(header())).await, Code::InvalidArgument, "the one that is known is still heard");
}

#[tokio::test]
async fn a_stream_of_a_stranger_is_refused() {
    let mut cluster = Cluster::new(2);
    cluster.start(1).await;
    let mut client = RaftClient::connect(format!("http://{}", cluster.address(1))).await.unwrap();
    let header = PeerHeader { cluster_id: "another".into(), ..header() };
    let frame = RaftFrame { header: Some(header), ..RaftFrame::default() };
    let refused = client.append(tokio_stream::iter([frame])).await.expect_err("refused");
    assert_eq!(refused.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_cluster_does_not_begin_with_differing_lists() {
    let mut cluster = Cluster::new(2);
    cluster.start(1).await;
    // Node 2 has been told that node 1 listens elsewhere.
    let mut probe = BootstrapClient::connect(format!("http://{}", cluster.address(1))).await.unwrap();
    let question = ProbeRequest { cluster_id: "another".into(), from: 2, members_token: 1, ..ProbeRequest::default() };
    assert_eq!(probe.probe(question.clone()).await.expect_err("another cluster").code(), Code::FailedPrecondition);
    let question = ProbeRequest { cluster_id: CLUSTER_ID.into(), ..question };
    let reply = probe.probe(question).await.expect("a member asks").into_inner();
    assert!(reply.empty && reply.id == 1 && reply.members_token != 1);

    let mut differing = cluster.options(2);
    differing.members[0].1.peer = "127.0.0.1:1".into();
    cluster.start_with(2, differing).await;
    let begun = cluster.nodes[&1].consensus.bootstrap().await;
    assert_eq!(begun, Err(BootstrapError::MembersDiffer { peer: CoordinatorId(2) }));
    assert!(cluster.nodes[&1].consensus.members().is_empty());
}

#[tokio::test]
async fn a_wiped_lowest_node_does_not_begin_a_second_cluster() {
    let mut cluster = Cluster::new(3).running().await;
    cluster.register("kept").await;
    cluster.nodes[&1].consensus.shutdown().await;
    cluster.kill(1);
    cluster.wipe(1).await;
    cluster.start(1).await;
    let begun = cluster.nodes[&1].consensus.bootstrap().await;
    assert!(matches!(begun, Err(BootstrapError::ClusterExists { .. })), "{begun:?}");
}

#[tokio::test]
async fn the_directory_of_another_node_is_refused() {
    let mut cluster = Cluster::new(2);
    cluster.start(1).await;
    cluster.nodes[&1].consensus.shutdown().await;
    cluster.kill(1);
    let mut options = cluster.options(2);
    options.data_dir = cluster.data_dir(1);
    let refused = super::harness::eventually("the directory is free", async || {
        match Consensus::start(options.clone(), super::harness::sink()).await {
            Err(StartError::Storage(flame_storage::Error::AlreadyOpen(_))) => None,
            other => Some(other.map(|_| ())),
        }
    })
    .await;
    assert!(matches!(refused, Err(StartError::Storage(flame_storage::Error::WrongNode { .. }))), "{refused:?}");
}
