//! Who gets to know whose disk, who stops because of it, and who does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use flame_proto::ha::bootstrap_client::BootstrapClient;
use flame_proto::ha::bootstrap_server::{Bootstrap, BootstrapServer};
use flame_proto::ha::raft_server::{Raft, RaftServer};
use flame_proto::ha::{PeerHeader, ProbeReply, ProbeRequest, RaftFrame, SnapshotFrame, SnapshotReply};
use flame_storage::Cause;
use flame_types::{LogIndex, Term};
use futures::stream::{self, BoxStream, StreamExt};
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use super::harness::{CLUSTER_ID, Cluster, eventually};

const STORE: &str = "00000000-0000-4000-8000-000000000002";
const OTHER_STORE: &str = "00000000-0000-4000-8000-000000000003";

/// Rounds of questions after which a node would have stopped long ago.
const ROUNDS: usize = 3;

fn header(from: u64, to: u64, store_id: &str) -> PeerHeader {
    let (cluster_id, store_id) = (CLUSTER_ID.to_owned(), store_id.to_owned());
    PeerHeader { cluster_id, from, to, feature_level: 1, store_id, ..PeerHeader::default() }
}

/// What a node answers to somebody who says that it is another, with a disk that nobody has met.
async fn probe(cluster: &Cluster, asked: u64, from: u64) -> ProbeReply {
    let mut client = BootstrapClient::connect(format!("http://{}", cluster.address(asked))).await.unwrap();
    let question = ProbeRequest {
        cluster_id: CLUSTER_ID.into(),
        from,
        header: Some(header(from, asked, OTHER_STORE)),
        ..ProbeRequest::default()
    };
    client.probe(question).await.expect("a member asks").into_inner()
}

/// A follower that does not begin clusters.
async fn ordinary_follower(cluster: &Cluster) -> u64 {
    let leader = cluster.leader().await;
    if leader == 3 { 2 } else { 3 }
}

#[tokio::test]
async fn a_wiped_follower_hears_it_from_the_leader_and_stops() {
    let mut cluster = Cluster::new(3).running().await;
    let wiped = ordinary_follower(&cluster).await;
    let index = cluster.register("kept").await;
    cluster.agree_at(index).await;
    cluster.nodes[&wiped].consensus.shutdown().await;
    cluster.kill(wiped);
    cluster.wipe(wiped).await;
    cluster.start(wiped).await;
    let node = &cluster.nodes[&wiped].consensus;
    let cause = tokio::time::timeout(super::harness::DEADLINE, node.fatal().raised()).await.expect("it stops");
    let Cause::Replaced(why) = &cause else { panic!("{cause:?}") };
    assert!(why.contains(&format!("knows another store under the id of coordinator {wiped}")), "{why}");
    assert!(why.ends_with("start it with the disk it had, or let it join under a new id"), "{why}");
    let status = node.status();
    assert_eq!((status.term, status.last, status.applied), (Term(0), LogIndex(0), LogIndex(0)), "it was given nothing");
    assert_eq!(node.members(), []);
    // The others go on without it.
    cluster.kill(wiped);
    let index = cluster.register("later").await;
    cluster.agree_at(index).await;
}

#[tokio::test]
async fn followers_meet_too() {
    let cluster = Cluster::new(3).running().await;
    for (asked, from) in [(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)] {
        eventually("they have met", async || {
            let known = probe(&cluster, asked, from).await.header?.known_store_id;
            assert_ne!(known, OTHER_STORE, "a disk that holds nothing is not written down");
            (!known.is_empty()).then_some(())
        })
        .await;
    }
    for node in cluster.nodes.values() {
        assert_eq!(node.consensus.fatal().cause(), None, "a node that is new is well");
    }
}

/// Says of everybody that it knows another disk of theirs.
#[derive(Clone)]
struct Accuser {
    says: ProbeReply,
    leads: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Accuser {
    /// As it would introduce itself to the node `to`.
    fn new(id: u64, to: u64, store_id: &str) -> Self {
        let header = PeerHeader { known_store_id: STORE.into(), ..header(id, to, store_id) };
        let cluster_id = CLUSTER_ID.to_owned();
        let says = ProbeReply { id, header: Some(header), cluster_id, holds_log: true, ..ProbeReply::default() };
        Self { says, leads: Arc::default(), asked: Arc::default() }
    }

    fn routes(&self) -> Routes {
        Routes::new(BootstrapServer::new(self.clone()))
    }

    async fn was_asked_often(&self) {
        let before = self.asked.load(Ordering::SeqCst);
        eventually("it is asked again", async || (self.asked.load(Ordering::SeqCst) >= before + ROUNDS).then_some(()))
            .await;
    }
}

#[tonic::async_trait]
impl Bootstrap for Accuser {
    async fn probe(&self, _request: Request<ProbeRequest>) -> Result<Response<ProbeReply>, Status> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(ProbeReply { leads: self.leads.load(Ordering::SeqCst), ..self.says.clone() }))
    }
}

#[tokio::test]
async fn an_empty_node_stops_for_the_leader_only() {
    let mut cluster = Cluster::new(2);
    let accuser = Accuser::new(1, 2, STORE);
    cluster.impostor(1, accuser.routes()).await;
    cluster.start(2).await;
    accuser.was_asked_often().await;
    let fatal = cluster.nodes[&2].consensus.fatal();
    assert_eq!(fatal.cause(), None, "it does not lead");
    accuser.leads.store(true, Ordering::SeqCst);
    eventually("it leads", async || fatal.cause()).await;
}

#[tokio::test]
async fn who_is_not_the_member_that_was_asked_cannot_stop_anybody() {
    let of_another_cluster = |mut accuser: Accuser| {
        accuser.says.header.as_mut().expect("made with one").cluster_id = "another".to_owned();
        accuser
    };
    let another_id = |mut accuser: Accuser| {
        accuser.says.header.as_mut().expect("made with one").from = 7;
        accuser
    };
    let wrong: [fn(Accuser) -> Accuser; 2] = [of_another_cluster, another_id];
    for make_wrong in wrong {
        let mut cluster = Cluster::new(2);
        let accuser = make_wrong(Accuser::new(1, 2, STORE));
        accuser.leads.store(true, Ordering::SeqCst);
        cluster.impostor(1, accuser.routes()).await;
        cluster.start(2).await;
        accuser.was_asked_often().await;
        assert_eq!(cluster.nodes[&2].consensus.fatal().cause(), None);
    }
}

#[tokio::test]
async fn a_node_that_holds_the_log_is_stopped_by_nobody() {
    let mut cluster = Cluster::new(3).running().await;
    let index = cluster.register("kept").await;
    cluster.agree_at(index).await;
    let restarted = ordinary_follower(&cluster).await;
    let replaced = (1..=3).find(|id| *id != restarted && *id != 1).unwrap_or(2);
    // The accuser has even the disk of the member it stands for.
    let store_id = probe(&cluster, replaced, restarted).await.header.expect("it introduces itself").store_id;
    cluster.nodes[&restarted].consensus.shutdown().await;
    cluster.kill(restarted);
    cluster.kill(replaced);
    let accuser = Accuser::new(replaced, restarted, &store_id);
    accuser.leads.store(true, Ordering::SeqCst);
    cluster.impostor(replaced, accuser.routes()).await;
    cluster.start(restarted).await;
    eventually("it is asked", async || (accuser.asked.load(Ordering::SeqCst) > 0).then_some(())).await;
    let index = cluster.register("with-two-of-three").await;
    cluster.agree_at(index).await;
    assert_eq!(cluster.nodes[&restarted].consensus.fatal().cause(), None);
}

/// Answers every stream of entries with a header of its own, and counts what comes after the first frame.
#[derive(Clone)]
struct Listener {
    header: PeerHeader,
    streams: Arc<AtomicUsize>,
    overheard: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl Raft for Listener {
    type AppendStream = BoxStream<'static, Result<RaftFrame, Status>>;

    async fn append(&self, request: Request<Streaming<RaftFrame>>) -> Result<Response<Self::AppendStream>, Status> {
        let mut frames = request.into_inner();
        let first = frames.message().await?.expect("a header");
        assert!(first.body.is_empty(), "the first frame is a header only");
        let header = RaftFrame { header: Some(self.header.clone()), ..RaftFrame::default() };
        let listener = self.clone();
        tokio::spawn(async move {
            while let Ok(Some(_)) = frames.message().await {
                listener.overheard.fetch_add(1, Ordering::SeqCst);
            }
            listener.streams.fetch_add(1, Ordering::SeqCst);
        });
        Ok(Response::new(stream::iter([Ok(header)]).chain(stream::pending()).boxed()))
    }

    async fn vote(&self, _request: Request<RaftFrame>) -> Result<Response<RaftFrame>, Status> {
        Err(Status::unimplemented("not asked"))
    }

    async fn pre_vote(&self, _request: Request<RaftFrame>) -> Result<Response<RaftFrame>, Status> {
        Err(Status::unimplemented("not asked"))
    }

    async fn transfer_leader(&self, _request: Request<RaftFrame>) -> Result<Response<RaftFrame>, Status> {
        Err(Status::unimplemented("not asked"))
    }

    type SnapshotStream = BoxStream<'static, Result<SnapshotReply, Status>>;

    async fn snapshot(
        &self,
        _request: Request<Streaming<SnapshotFrame>>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        Err(Status::unimplemented("not asked"))
    }
}

#[tokio::test]
async fn no_entry_and_no_heartbeat_leaves_before_the_peer_is_known() {
    let mut cluster = Cluster::new(3).running().await;
    let index = cluster.register("before").await;
    cluster.agree_at(index).await;
    let away = cluster.follower().await;
    let leader = cluster.leader().await;
    cluster.kill(away);
    let header = header(away, leader, OTHER_STORE);
    let listener = Listener { header, streams: Arc::default(), overheard: Arc::default() };
    cluster.impostor(away, Routes::new(RaftServer::new(listener.clone()))).await;
    cluster.register("meanwhile").await;
    eventually("several streams have ended", async || {
        (listener.streams.load(Ordering::SeqCst) >= ROUNDS).then_some(())
    })
    .await;
    assert_eq!(listener.overheard.load(Ordering::SeqCst), 0);
}
