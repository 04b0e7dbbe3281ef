//! Feature levels between coordinators: who does not understand the level that the cluster runs at is not let in, and ends
//! when it hears of it, or meets it in the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flame_coordinator::consensus::{BatchHeader, Consensus, StartError, encode_entry};
use flame_machine::command::{Command, Item};
use flame_machine::{FEATURE_LEVEL, Levels};
use flame_proto::ha::bootstrap_server::{Bootstrap, BootstrapServer};
use flame_proto::ha::raft_client::RaftClient;
use flame_proto::ha::{PeerHeader, ProbeReply, ProbeRequest, RaftFrame};
use flame_storage::{Cause, codec};
use flame_types::{ClientId, LogIndex, Payload, Payloads, Seq};
use serde::Serialize;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};

use super::harness::{CLUSTER_ID, Cluster, DEADLINE, eventually, sink};

const STORE: &str = "00000000-0000-4000-8000-000000000002";

/// Questions after which a node would have stopped long ago.
const ROUNDS: usize = 3;

/// Of a build that understands one level more and runs at it.
const LATER: u32 = FEATURE_LEVEL + 1;

fn header(from: u64, to: u64) -> PeerHeader {
    let (cluster_id, store_id) = (CLUSTER_ID.to_owned(), STORE.to_owned());
    PeerHeader { cluster_id, from, to, feature_level: LATER, store_id, ..PeerHeader::default() }
}

/// Answers as this member, whoever asks, and counts.
#[derive(Clone)]
struct Member {
    says: ProbeReply,
    asked: Arc<AtomicUsize>,
}

impl Member {
    fn saying(id: u64, header: PeerHeader) -> (Routes, Arc<AtomicUsize>) {
        let cluster_id = CLUSTER_ID.to_owned();
        let says = ProbeReply { id, header: Some(header), cluster_id, holds_log: true, ..ProbeReply::default() };
        let member = Self { says, asked: Arc::default() };
        let asked = member.asked.clone();
        (Routes::new(BootstrapServer::new(member)), asked)
    }
}

#[tonic::async_trait]
impl Bootstrap for Member {
    async fn probe(&self, _request: Request<ProbeRequest>) -> Result<Response<ProbeReply>, Status> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(self.says.clone()))
    }
}

async fn cause(cluster: &Cluster, id: u64) -> Cause {
    let fatal = cluster.nodes[&id].consensus.fatal();
    tokio::time::timeout(DEADLINE, fatal.raised()).await.expect("it ends")
}

#[tokio::test]
async fn a_member_at_a_later_level_ends_a_node() {
    let mut cluster = Cluster::new(2);
    let ahead = PeerHeader { cluster_level: LATER, ..header(1, 2) };
    cluster.impostor(1, Member::saying(1, ahead).0).await;
    cluster.start(2).await;
    let Cause::Outdated(why) = cause(&cluster, 2).await else { panic!("another cause") };
    let says = format!("coordinator 1 says that the cluster runs at feature level {LATER}");
    assert!(why.starts_with(&says), "{why}");
}

#[tokio::test]
async fn a_member_of_a_later_build_at_the_present_level_does_not() {
    let mut cluster = Cluster::new(2);
    let (routes, asked) = Member::saying(1, PeerHeader { cluster_level: FEATURE_LEVEL, ..header(1, 2) });
    cluster.impostor(1, routes).await;
    cluster.start(2).await;
    eventually("it has asked again and again", async || (asked.load(Ordering::SeqCst) >= ROUNDS).then_some(())).await;
    assert_eq!(cluster.nodes[&2].consensus.fatal().cause(), None);
}

#[tokio::test]
async fn a_build_that_does_not_understand_the_level_is_not_let_in() {
    let mut cluster = Cluster::new(2);
    cluster.start(1).await;
    let mut client = RaftClient::connect(format!("http://{}", cluster.address(1))).await.unwrap();
    let too_new = PeerHeader { feature_level_min: LATER, ..header(2, 1) };
    let asked = client.pre_vote(RaftFrame { header: Some(too_new), ..RaftFrame::default() }).await;
    let refused = asked.expect_err("it forgot level 1");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let says = format!("the cluster runs at feature level 1, and the build of coordinator 2 understands level {LATER}");
    assert!(refused.message().starts_with(&says), "{}", refused.message());
    // One that understands both is asked for its vote, which here is none.
    let frame = RaftFrame { header: Some(header(2, 1)), body: "no vote".into(), ..RaftFrame::default() };
    let asked = client.pre_vote(frame).await;
    assert_eq!(asked.expect_err("no vote").code(), Code::InvalidArgument);
}

#[tokio::test]
async fn all_members_say_what_they_understand() {
    let mut cluster = Cluster::new(3).running().await;
    let leader = cluster.leader().await;
    let all = eventually("all say it", async || {
        let members = cluster.nodes[&leader].consensus.member_levels().await.expect("runs");
        members.iter().all(|member| member.levels == Ok(Levels::OWN)).then_some(members)
    })
    .await;
    assert_eq!(
        all.iter().map(|member| (member.id.0, member.voter)).collect::<Vec<_>>(),
        [(1, true), (2, true), (3, true)]
    );
    let away = cluster.follower().await;
    cluster.nodes[&away].consensus.shutdown().await;
    cluster.kill(away);
    let members = cluster.nodes[&cluster.leader().await].consensus.member_levels().await.expect("runs");
    let silent: Vec<u64> = members.iter().filter(|member| member.levels.is_err()).map(|member| member.id.0).collect();
    assert_eq!(silent, [away]);
}

#[tokio::test]
async fn a_level_that_is_not_understood_stops_the_node_before_it_is_applied() {
    let mut cluster = Cluster::new(1).running().await;
    cluster.register("before").await;
    let command = Command::SetFeatureLevel { level: LATER };
    let item = Item { client: ClientId::NONE, seq: Seq(0), below: Seq(0), command };
    stops_at(&mut cluster, &codec::encode(&item), &format!("the cluster runs at feature level {LATER}")).await;
}

#[tokio::test]
async fn a_command_that_is_not_known_stops_the_node_and_is_never_skipped() {
    /// As a later build would write a command that this one does not know.
    #[derive(Clone, Serialize)]
    struct Unknown {
        client: ClientId,
        seq: Seq,
        below: Seq,
        command: u32,
    }

    impl Payloads for Unknown {
        fn visit_payloads(&mut self, _visit: &mut dyn FnMut(&mut Payload)) {}
    }

    let mut cluster = Cluster::new(1).running().await;
    let LogIndex(before) = cluster.register("before").await;
    let item = Unknown { client: ClientId::NONE, seq: Seq(0), below: Seq(0), command: 200 };
    stops_at(
        &mut cluster,
        &codec::encode(&item),
        &format!("entry {} of the log was written by another build", before + 1),
    )
    .await;
}

/// It stops when it is to apply this, and every time that it is started again.
async fn stops_at(cluster: &mut Cluster, item: &bytes::Bytes, says: &str) {
    let node = &cluster.nodes[&1];
    let entry = encode_entry(&BatchHeader::default(), std::slice::from_ref(item));
    let applied = *node.consensus.applied_index().borrow();
    let proposal = node.consensus.propose(node.leadership().term, entry).await.expect("it leads");
    let Cause::Outdated(why) = cause(cluster, 1).await else { panic!("another cause") };
    assert!(why.starts_with(says), "{why}");
    assert_eq!(*node.consensus.applied_index().borrow(), applied);
    assert!(proposal.settled().await.is_err(), "it was not applied");
    assert!(node.consensus.with_state(|_| ()).await.is_err(), "nothing is read any more");
    cluster.kill(1);
    let options = cluster.options(1);
    let again = eventually("the directory is free", async || match Consensus::start(options.clone(), sink()).await {
        Err(StartError::Storage(flame_storage::Error::AlreadyOpen(_))) => None,
        started => Some(started),
    });
    let why = match again.await {
        Err(StartError::Outdated(why)) => why,
        Err(error) => panic!("another reason: {error}"),
        Ok(consensus) => {
            let raised = tokio::time::timeout(DEADLINE, consensus.fatal().raised()).await.expect("it ends");
            consensus.shutdown().await;
            raised.to_string()
        }
    };
    assert!(why.starts_with(says), "{why}");
}
