//! Receiving a snapshot: files into a directory of their own, all checked against the manifest before Raft hears of
//! it. What has arrived stays when the sender goes away, and is not sent again ([`arrivals`](super::arrivals)). (Making the
//! files durable is part of the installation.)
//!
//! **Invariant:** nothing is installed that is not exactly what its manifest says.
//! **Invariant:** a snapshot that stands for nothing new is answered before a byte of it travels.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flame_proto::ha::snapshot_frame::Frame;
use flame_proto::ha::snapshot_reply::Reply;
use flame_proto::ha::{PeerHeader, RaftFrame, SnapshotArrived, SnapshotChunk, SnapshotFrame, SnapshotReply};
use flame_storage::snapshot::{FILES_MAX, MANIFEST, file_path};
use flame_storage::{SnapshotFile, SnapshotHandle, SnapshotManifest, SnapshotMeta, Vote, codec};
use flame_types::{CoordinatorId, LogIndex};
use openraft::storage::Snapshot;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::RaftHandle;
use super::arrivals::{Arrival, Arrivals};
use super::gate::Gate;
use super::network::CHUNK_BYTES_MAX;
use super::snapshot_body::SnapshotBody;

/// A sender that is silent for this long is given up.
const FRAME_MAX: Duration = Duration::from_secs(10);

/// Replies that wait for the connection: there are no more of one transfer.
const REPLIES_MAX: usize = 2;

/// Takes snapshots from other coordinators.
#[derive(Clone)]
pub(super) struct Receiver {
    pub(super) raft: RaftHandle,
    pub(super) gate: Arc<Gate>,
    pub(super) arrivals: Arrivals,
    /// What this node has applied.
    pub(super) applied: watch::Receiver<LogIndex>,
}

/// What the sender has announced, and who it is.
struct Announced {
    from: CoordinatorId,
    store: Uuid,
    /// The feature level of the sender's cluster.
    level: u32,
    vote: Vote,
    meta: SnapshotMeta,
    manifest: SnapshotManifest,
}

type Replies = mpsc::Sender<Result<SnapshotReply, Status>>;

/// Why a transfer ends whose sender has begun another one.
pub(super) fn superseded() -> Status {
    Status::aborted("a newer snapshot is on its way")
}

impl Receiver {
    /// Checks who sends; the rest goes on by itself, and is answered on the stream.
    pub(super) async fn begin(
        self,
        mut frames: Streaming<SnapshotFrame>,
    ) -> Result<ReceiverStream<Result<SnapshotReply, Status>>, Status> {
        let announced = self.announced(&mut frames).await?;
        let (replies, outgoing) = mpsc::channel(REPLIES_MAX);
        // Not ended with the connection: what is being written then is written to its end.
        tokio::spawn(async move {
            if let Err(status) = self.receive(announced, frames, &replies).await {
                tracing::info!(%status, "a snapshot was not received");
                // A sender that went away needs no answer.
                let _ = replies.send(Err(status)).await;
            }
        });
        Ok(ReceiverStream::new(outgoing))
    }

    async fn announced(&self, frames: &mut Streaming<SnapshotFrame>) -> Result<Announced, Status> {
        let Some(Frame::Manifest(first)) = next(frames).await? else {
            return Err(Status::invalid_argument("a snapshot begins with its manifest"));
        };
        let from = self.gate.admit(first.header.as_ref())?;
        let level = first.header.as_ref().map_or(0, |header| header.cluster_level);
        let unreadable = |error: codec::CodecError| Status::invalid_argument(error.to_string());
        let vote: Vote = codec::decode_plain(&first.vote).map_err(unreadable)?;
        let meta: SnapshotMeta = codec::decode_plain(&first.meta).map_err(unreadable)?;
        if first.files.len() > FILES_MAX {
            return Err(Status::invalid_argument(format!("more than {FILES_MAX} files")));
        }
        for file in &first.files {
            file_path(Path::new(""), &file.name).map_err(|error| Status::invalid_argument(error.to_string()))?;
        }
        let files = first.files.into_iter();
        let manifest = SnapshotManifest {
            applied: meta.last_log_id,
            membership: meta.last_membership.clone(),
            files: files.map(|file| SnapshotFile { name: file.name, bytes: file.size, crc32c: file.crc32c }).collect(),
        };
        let store = first.header.as_ref().map(store_of).transpose()?.unwrap_or_default();
        Ok(Announced { from, store, level, vote, meta, manifest })
    }

    async fn receive(
        self,
        announced: Announced,
        mut frames: Streaming<SnapshotFrame>,
        replies: &Replies,
    ) -> Result<(), Status> {
        let Announced { from, store, level, vote, meta, manifest } = announced;
        let turn = self.arrivals.take_turn().await?;
        let index = meta.last_log_id.map_or(0, |log_id| log_id.index);
        if index <= self.applied.borrow().0 {
            tracing::info!(from = from.0, index, "a snapshot is not needed: what it stands for is applied");
            say(replies, Reply::Arrived(self.arrived(from, &[], true))).await;
            // The library takes note of it and looks at nothing else.
            return self.install(from, vote, meta, SnapshotBody::Live, replies).await;
        }
        let arrival = turn.begin(store, &manifest).await?;
        let kept = arrival.whole.iter().filter(|is_whole| **is_whole).count();
        tracing::info!(from = from.0, bytes = manifest.bytes(), index, kept, "receiving a snapshot");
        say(replies, Reply::Arrived(self.arrived(from, &arrival.whole, false))).await;
        let files = take_files(&arrival, manifest, &mut frames).await?;
        self.install(from, vote, meta, SnapshotBody::Files(files, level), replies).await
    }

    fn arrived(&self, to: CoordinatorId, whole: &[bool], needless: bool) -> SnapshotArrived {
        let files = (0..).zip(whole).filter(|(_, is_whole)| **is_whole).map(|(number, _)| number).collect();
        SnapshotArrived { header: Some(self.gate.header_to(to.0)), files, needless }
    }

    async fn install(
        &self,
        from: CoordinatorId,
        vote: Vote,
        meta: SnapshotMeta,
        snapshot: SnapshotBody,
        replies: &Replies,
    ) -> Result<(), Status> {
        let answer = self.raft.install_full_snapshot(vote, Snapshot { meta, snapshot }).await;
        let answer = answer.map_err(|fatal| Status::unavailable(format!("this coordinator has stopped: {fatal}")))?;
        let header = Some(self.gate.header_to(from.0));
        say(
            replies,
            Reply::Installed(RaftFrame { header, body: codec::encode_plain(&answer), ..RaftFrame::default() }),
        )
        .await;
        Ok(())
    }
}

fn store_of(header: &PeerHeader) -> Result<Uuid, Status> {
    Uuid::parse_str(&header.store_id).map_err(|error| Status::invalid_argument(error.to_string()))
}

async fn say(replies: &Replies, reply: Reply) {
    // A sender that went away needs no answer.
    let _ = replies.send(Ok(SnapshotReply { reply: Some(reply) })).await;
}

/// Takes all files that are not there yet, and checks all. Gives way to a newer transfer, but never in the middle of a step
/// that writes.
async fn take_files(
    arrival: &Arrival,
    manifest: SnapshotManifest,
    frames: &mut Streaming<SnapshotFrame>,
) -> Result<SnapshotHandle, Status> {
    let mut writer = Writer::new(arrival.dir.clone(), manifest, arrival.whole.clone());
    loop {
        let frame = tokio::select! {
            frame = next(frames) => frame?,
            () = arrival.superseded.cancelled() => return Err(superseded()),
        };
        let Some(frame) = frame else { break };
        let Frame::Chunk(SnapshotChunk { file, offset, data }) = frame else {
            return Err(Status::invalid_argument("a snapshot has one manifest"));
        };
        let bytes = data.len() as u64;
        let write = move || writer.write(file, offset, &data).map(|()| writer);
        writer = blocking(write).await?;
        arrival.grew(bytes);
    }
    blocking(move || writer.finish()).await?;
    arrival.complete().map_err(disk)
}

async fn next(frames: &mut Streaming<SnapshotFrame>) -> Result<Option<Frame>, Status> {
    let received = tokio::time::timeout(FRAME_MAX, frames.message())
        .await
        .map_err(|_elapsed| Status::deadline_exceeded("the sender of the snapshot is silent"))??;
    match received {
        None => Ok(None),
        Some(SnapshotFrame { frame: Some(frame) }) => Ok(Some(frame)),
        Some(SnapshotFrame { frame: None }) => Err(Status::invalid_argument("an empty frame")),
    }
}

async fn blocking<T: Send + 'static>(step: impl FnOnce() -> Result<T, Status> + Send + 'static) -> Result<T, Status> {
    tokio::task::spawn_blocking(step).await.map_err(|error| Status::internal(error.to_string()))?
}

#[allow(clippy::needless_pass_by_value, reason = "used as a function for map_err")]
fn disk(error: std::io::Error) -> Status {
    Status::internal(format!("the snapshot cannot be stored: {error}"))
}

/// Writes the files that are not there yet, one after the other.
struct Writer {
    dir: PathBuf,
    manifest: SnapshotManifest,
    /// These are there.
    whole: Vec<bool>,
    /// Files begun or left out so far; the last of them is open if it was begun.
    begun: usize,
    file: Option<File>,
    /// Bytes of it.
    written: u64,
}

impl Writer {
    fn new(dir: PathBuf, manifest: SnapshotManifest, whole: Vec<bool>) -> Self {
        Self { dir, manifest, whole, begun: 0, file: None, written: 0 }
    }

    fn write(&mut self, number: u32, offset: u64, data: &Bytes) -> Result<(), Status> {
        let number = number as usize;
        if data.len() > CHUNK_BYTES_MAX {
            return Err(Status::invalid_argument("a chunk is too long"));
        }
        if number >= self.manifest.files.len() {
            return Err(Status::invalid_argument("a chunk of a file that was not announced"));
        }
        while self.begun <= number {
            self.begin_file()?;
        }
        let announced = &self.manifest.files[number];
        let in_order = self.begun == number + 1 && offset == self.written;
        let (Some(file), true) = (self.file.as_mut(), in_order && self.written + data.len() as u64 <= announced.bytes)
        else {
            return Err(Status::data_loss(format!("{}: chunks are out of order or too many", announced.name)));
        };
        file.write_all(data).map_err(disk)?;
        self.written += data.len() as u64;
        Ok(())
    }

    /// Goes on to the next file, and makes it unless it is there.
    fn begin_file(&mut self) -> Result<(), Status> {
        let (announced, is_whole) = (&self.manifest.files[self.begun], self.whole[self.begun]);
        let path =
            file_path(&self.dir, &announced.name).map_err(|error| Status::invalid_argument(error.to_string()))?;
        self.file = if is_whole { None } else { Some(File::create_new(path).map_err(disk)?) };
        self.begun += 1;
        self.written = 0;
        Ok(())
    }

    /// Makes the remaining files (empty ones have no chunks) and the manifest, and checks everything.
    fn finish(mut self) -> Result<(), Status> {
        while self.begun < self.manifest.files.len() {
            self.begin_file()?;
        }
        write_manifest(&self.dir, &self.manifest).map_err(disk)?;
        self.manifest.verify(&self.dir).map_err(|error| Status::data_loss(error.to_string()))
    }
}

fn write_manifest(dir: &Path, manifest: &SnapshotManifest) -> std::io::Result<()> {
    // One of an earlier transfer may be there.
    let mut file = File::create(dir.join(MANIFEST))?;
    file.write_all(&manifest.encode())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use flame_storage::snapshot::ROWS;
    use flame_storage::{StateOptions, StateStore};

    use super::*;

    /// A real snapshot, and its files.
    fn sent(root: &Path) -> (SnapshotManifest, Vec<Bytes>) {
        let store = StateStore::open(root.join("store"), StateOptions::default()).expect("opens");
        let manifest = store.checkpoint(&root.join("sent")).expect("a checkpoint");
        let read =
            |file: &SnapshotFile| Bytes::from(std::fs::read(root.join("sent").join(&file.name)).expect("is there"));
        let contents = manifest.files.iter().map(read).collect();
        (manifest, contents)
    }

    fn send(writer: &mut Writer, contents: &[Bytes]) -> Result<(), Status> {
        for (number, content) in (0..).zip(contents) {
            if writer.whole[number as usize] {
                continue;
            }
            for (chunk, offset) in content.chunks(1000).zip((0..).step_by(1000)) {
                writer.write(number, offset, &Bytes::copy_from_slice(chunk))?;
            }
        }
        Ok(())
    }

    fn writer(root: &Path, manifest: &SnapshotManifest) -> Writer {
        let dir = root.join("received");
        std::fs::create_dir_all(dir.join(ROWS)).expect("a folder");
        let whole = manifest.keep_what_is_whole(&dir).expect("looks");
        Writer::new(dir, manifest.clone(), whole)
    }

    fn receive(root: &Path, manifest: &SnapshotManifest, contents: &[Bytes]) -> Result<(), Status> {
        let mut writer = writer(root, manifest);
        send(&mut writer, contents)?;
        writer.finish()
    }

    #[test]
    fn a_snapshot_arrives_as_it_was_sent() {
        let root = tempfile::tempdir().expect("a folder");
        let (manifest, contents) = sent(root.path());
        receive(root.path(), &manifest, &contents).expect("complete");
    }

    #[test]
    fn what_is_damaged_or_missing_is_refused() {
        let root = tempfile::tempdir().expect("a folder");
        let (manifest, contents) = sent(root.path());
        let mut damaged = contents.clone();
        let largest = (0..damaged.len()).max_by_key(|file| damaged[*file].len()).expect("there are files");
        let mut bytes = damaged[largest].to_vec();
        bytes[0] ^= 1;
        damaged[largest] = Bytes::from(bytes);
        let refused = receive(root.path(), &manifest, &damaged).expect_err("damaged");
        assert_eq!(refused.code(), tonic::Code::DataLoss);

        let mut short = contents.clone();
        short[largest] = short[largest].slice(1..);
        assert_eq!(receive(root.path(), &manifest, &short).expect_err("short").code(), tonic::Code::DataLoss);
        assert_eq!(receive(root.path(), &manifest, &[]).expect_err("nothing").code(), tonic::Code::DataLoss);
    }

    #[test]
    fn what_has_arrived_is_not_wanted_again_and_what_is_wrong_of_it_is() {
        let root = tempfile::tempdir().expect("a folder");
        let (manifest, contents) = sent(root.path());
        let [wrong, cut] = {
            let mut by_size: Vec<usize> = (0..contents.len()).collect();
            by_size.sort_by_key(|number| contents[*number].len());
            [by_size[by_size.len() - 1], by_size[by_size.len() - 2]]
        };
        let mut damaged = contents.clone();
        let mut bytes = damaged[wrong].to_vec();
        bytes[0] ^= 1;
        damaged[wrong] = Bytes::from(bytes);
        damaged[cut] = damaged[cut].slice(1..);
        assert!(receive(root.path(), &manifest, &damaged).is_err());

        let mut second = writer(root.path(), &manifest);
        let missing: Vec<usize> = (0..contents.len()).filter(|number| !second.whole[*number]).collect();
        let mut expected = [wrong, cut];
        expected.sort_unstable();
        assert_eq!(missing, expected);
        let whole = (0..contents.len()).find(|number| second.whole[*number]).expect("some are");
        let again = second.write(u32::try_from(whole).expect("few"), 0, &contents[whole]).expect_err("it is there");
        assert_eq!(again.code(), tonic::Code::DataLoss);
        receive(root.path(), &manifest, &contents).expect("the rest is enough");
    }

    #[test]
    fn chunks_out_of_order_are_refused() {
        let root = tempfile::tempdir().expect("a folder");
        let (manifest, contents) = sent(root.path());
        let mut writer = writer(root.path(), &manifest);
        let refused = writer.write(0, 1, &contents[0]).expect_err("a gap");
        assert_eq!(refused.code(), tonic::Code::DataLoss);
        assert!(writer.write(u32::MAX, 0, &contents[0]).is_err());
    }

    #[test]
    fn files_stay_inside_the_directory() {
        let root = tempfile::tempdir().expect("a folder");
        let (mut manifest, contents) = sent(root.path());
        manifest.files[0].name = "rows/../../escaped".to_owned();
        assert!(receive(root.path(), &manifest, &contents).is_err());
        assert!(!root.path().join("escaped").exists());
    }
}
