//! Snapshots from whoever says that he leads: what is damaged, cut, foreign or old is not installed.

use bytes::Bytes;
use flame_proto::ha::raft_client::RaftClient;
use flame_proto::ha::snapshot_frame::Frame;
use flame_proto::ha::snapshot_reply::Reply;
use flame_proto::ha::{self, PeerHeader, SnapshotArrived, SnapshotChunk, SnapshotFrame, SnapshotReply};
use flame_storage::{LogId, SnapshotManifest, Space, StateOptions, StateStore, Vote, Write, codec};
use flame_types::CoordinatorId;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::harness::{Cluster, DEADLINE};

/// Far beyond what any of these clusters has.
const FAR: u64 = 1_000_000;

/// A snapshot that no node of the cluster has made.
struct Made {
    _dir: TempDir,
    manifest: SnapshotManifest,
    contents: Vec<Bytes>,
}

impl Made {
    /// It stands for this entry.
    fn of(index: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = StateStore::open(dir.path().join("state"), StateOptions::default()).unwrap();
        let row = Write::Put { space: Space::Bulk, key: "key".into(), value: vec![7; 10_000].into() };
        store.write(&[row], LogId::new_term_index(1, index), None).unwrap();
        let manifest = store.checkpoint(&dir.path().join("made")).unwrap();
        let read = |name: &str| Bytes::from(std::fs::read(dir.path().join("made").join(name)).unwrap());
        let contents = manifest.files.iter().map(|file| read(&file.name)).collect();
        Self { _dir: dir, manifest, contents }
    }

    fn largest(&self) -> usize {
        (0..self.contents.len()).max_by_key(|number| self.contents[*number].len()).unwrap()
    }
}

/// A cluster, and who speaks to whom.
struct Scene {
    cluster: Cluster,
    from: u64,
    to: u64,
    digest: u128,
}

impl Scene {
    async fn start() -> Self {
        let cluster = Cluster::new(3).running().await;
        let index = cluster.register("first").await;
        let digest = cluster.agree_at(index).await;
        let (from, to) = (cluster.leader().await, cluster.follower().await);
        Self { cluster, from, to, digest }
    }

    fn header(&self) -> PeerHeader {
        self.cluster.nodes[&self.from].consensus.header_to(CoordinatorId(self.to))
    }

    async fn open(&self, made: &Made, header: PeerHeader) -> Result<Transfer, Status> {
        let term = self.cluster.nodes[&self.from].leadership().term.0;
        let files = made.manifest.files.iter();
        let first = ha::SnapshotManifest {
            header: Some(header),
            vote: codec::encode_plain(&Vote::new_committed(term, self.from)),
            meta: codec::encode_plain(&made.manifest.meta()),
            files: files
                .map(|file| ha::SnapshotFile { name: file.name.clone(), size: file.bytes, crc32c: file.crc32c })
                .collect(),
        };
        let (frames, outgoing) = mpsc::channel(1024);
        frames.send(SnapshotFrame { frame: Some(Frame::Manifest(first)) }).await.unwrap();
        let address = format!("http://{}", self.cluster.address(self.to));
        let mut client = RaftClient::connect(address).await.unwrap();
        let replies = client.snapshot(ReceiverStream::new(outgoing)).await?.into_inner();
        Ok(Transfer { frames, replies })
    }

    /// Opens a transfer as the leader would, and hears what is there.
    async fn begin(&self, made: &Made) -> (Transfer, SnapshotArrived) {
        let mut transfer = self.open(made, self.header()).await.unwrap();
        let Reply::Arrived(arrived) = transfer.next().await.unwrap() else { panic!("that was not sent") };
        (transfer, arrived)
    }

    /// Nothing has come of it, and the cluster works.
    async fn stays_unharmed(self) {
        let node = &self.cluster.nodes[&self.to];
        assert_eq!(node.digest().await, self.digest);
        assert!(node.seen.lock().unwrap().installed.is_empty());
        assert!(node.consensus.fatal().cause().is_none());
        let index = self.cluster.register("later").await;
        self.cluster.agree_at(index).await;
    }
}

struct Transfer {
    frames: mpsc::Sender<SnapshotFrame>,
    replies: Streaming<SnapshotReply>,
}

impl Transfer {
    async fn next(&mut self) -> Result<Reply, Status> {
        let reply = tokio::time::timeout(DEADLINE, self.replies.message()).await.expect("it answers")?;
        Ok(reply.and_then(|reply| reply.reply).expect("it does not end without a word"))
    }

    async fn send(&self, number: usize, content: &Bytes) {
        for (chunk, offset) in content.chunks(4_000).zip((0..).step_by(4_000)) {
            let chunk = SnapshotChunk { file: number as u32, offset, data: Bytes::copy_from_slice(chunk) };
            self.frames.send(SnapshotFrame { frame: Some(Frame::Chunk(chunk)) }).await.unwrap();
        }
    }

    /// Says that this was all.
    async fn end(self) -> Result<Reply, Status> {
        let Self { frames, mut replies } = self;
        drop(frames);
        let reply = tokio::time::timeout(DEADLINE, replies.message()).await.expect("it answers")?;
        Ok(reply.and_then(|reply| reply.reply).expect("it does not end without a word"))
    }
}

#[tokio::test]
async fn a_damaged_and_a_cut_snapshot_are_refused_and_only_what_is_wrong_is_wanted_again() {
    let scene = Scene::start().await;
    let made = Made::of(FAR);
    let (transfer, arrived) = scene.begin(&made).await;
    assert_eq!((arrived.files.as_slice(), arrived.needless), (&[][..], false));
    let victim = made.largest();
    for (number, content) in made.contents.iter().enumerate() {
        let mut bytes = content.to_vec();
        if number == victim {
            bytes[content.len() / 2] ^= 1;
        }
        transfer.send(number, &bytes.into()).await;
    }
    assert_eq!(transfer.end().await.expect_err("a byte is another").code(), Code::DataLoss);

    let (transfer, arrived) = scene.begin(&made).await;
    let others: Vec<u32> = (0..made.contents.len() as u32).filter(|number| *number != victim as u32).collect();
    assert_eq!(arrived.files, others);
    transfer.send(victim, &made.contents[victim].slice(1..)).await;
    assert_eq!(transfer.end().await.expect_err("a byte is missing").code(), Code::DataLoss);

    // The sender goes away in the middle of a file.
    let (transfer, _) = scene.begin(&made).await;
    transfer.send(victim, &made.contents[victim].slice(..4_000)).await;
    drop(transfer);
    let (transfer, arrived) = scene.begin(&made).await;
    assert_eq!(arrived.files, others);
    drop(transfer);
    scene.stays_unharmed().await;
}

#[tokio::test]
async fn a_newer_transfer_ends_the_one_that_is_under_way() {
    let scene = Scene::start().await;
    let made = Made::of(FAR);
    let (mut first, _) = scene.begin(&made).await;
    let (second, _) = scene.begin(&made).await;
    assert_eq!(first.next().await.expect_err("it is not the newest").code(), Code::Aborted);
    assert!(scene.cluster.nodes[&scene.to].consensus.receiving().is_some());
    drop(second);
    super::harness::eventually("nothing is on its way", async || {
        scene.cluster.nodes[&scene.to].consensus.receiving().is_none().then_some(())
    })
    .await;
    scene.stays_unharmed().await;
}

#[tokio::test]
async fn strangers_send_no_snapshots() {
    let scene = Scene::start().await;
    let made = Made::of(FAR);
    let own = scene.header();
    let foreign = PeerHeader { cluster_id: "another".to_owned(), ..own.clone() };
    // One that named this node's store might be a member of which this node has not heard yet.
    let stranger = PeerHeader { from: 99, known_store_id: String::new(), ..own.clone() };
    let other_disk = PeerHeader { store_id: uuid::Uuid::new_v4().to_string(), ..own.clone() };
    let other_receiver = PeerHeader { known_store_id: uuid::Uuid::new_v4().to_string(), ..own };
    for header in [foreign, stranger, other_disk, other_receiver] {
        let refused = scene.open(&made, header.clone()).await.err();
        let refused = refused.unwrap_or_else(|| panic!("{header:?} is let in"));
        assert_eq!(refused.code(), Code::FailedPrecondition, "{header:?}: {refused}");
    }
    assert!(scene.cluster.nodes[&scene.to].consensus.receiving().is_none());
    scene.stays_unharmed().await;
}

#[tokio::test]
async fn a_snapshot_of_what_is_applied_is_answered_before_it_travels() {
    let scene = Scene::start().await;
    let made = Made::of(1);
    let (transfer, arrived) = scene.begin(&made).await;
    assert!(arrived.needless && arrived.files.is_empty(), "{arrived:?}");
    assert!(matches!(transfer.end().await, Ok(Reply::Installed(_))));
    scene.stays_unharmed().await;
}
