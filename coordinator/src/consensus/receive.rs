//! Receiving a snapshot: files into a directory of their own, all checked against the manifest before Raft hears of
//! it. The directory goes away if anything is amiss. (Making the files durable is part of the installation.)

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use flame_proto::ha::SnapshotFrame;
use flame_proto::ha::snapshot_frame::Frame;
use flame_storage::snapshot::{FILES_MAX, MANIFEST, ROWS, file_path};
use flame_storage::{SnapshotFile, SnapshotHandle, SnapshotManifest, SnapshotMeta, TypeConfig, Vote, codec};
use flame_types::CoordinatorId;
use openraft::alias::SnapshotOf;
use openraft::storage::Snapshot;
use tonic::{Status, Streaming};

use super::gate::Gate;
use super::network::CHUNK_BYTES_MAX;
use super::snapshot_body::{SnapshotBody, SnapshotDirs};

/// A sender that is silent for this long is given up.
const FRAME_MAX: Duration = Duration::from_secs(10);

type Received = (CoordinatorId, Vote, SnapshotOf<TypeConfig, SnapshotBody>);

/// Receives one snapshot completely.
pub(super) async fn snapshot(
    gate: &Gate,
    dirs: &SnapshotDirs,
    frames: &mut Streaming<SnapshotFrame>,
) -> Result<Received, Status> {
    let Some(Frame::Manifest(first)) = next(frames).await? else {
        return Err(Status::invalid_argument("a snapshot begins with its manifest"));
    };
    let from = gate.admit(first.header.as_ref())?;
    let level = first.header.as_ref().map_or(0, |header| header.cluster_level);
    let unreadable = |error: codec::CodecError| Status::invalid_argument(error.to_string());
    let vote: Vote = codec::decode_plain(&first.vote).map_err(unreadable)?;
    let meta: SnapshotMeta = codec::decode_plain(&first.meta).map_err(unreadable)?;
    if first.files.len() > FILES_MAX {
        return Err(Status::invalid_argument(format!("more than {FILES_MAX} files")));
    }
    let files = first.files.into_iter();
    let manifest = SnapshotManifest {
        applied: meta.last_log_id,
        membership: meta.last_membership.clone(),
        files: files.map(|file| SnapshotFile { name: file.name, bytes: file.size, crc32c: file.crc32c }).collect(),
    };
    tracing::info!(from = from.0, bytes = manifest.bytes(), last = ?meta.last_log_id, "receiving a snapshot");

    let dir = dirs.next();
    let mut writer = Writer::begin(dir.clone(), manifest).map_err(disk)?;
    while let Some(frame) = next(frames).await? {
        let Frame::Chunk(chunk) = frame else {
            return Err(Status::invalid_argument("a snapshot has one manifest"));
        };
        let write = move || writer.write(chunk.file, chunk.offset, &chunk.data).map(|()| writer);
        writer = blocking(write).await?;
    }
    blocking(move || writer.finish()).await?;
    Ok((from, vote, Snapshot { meta, snapshot: SnapshotBody::Files(dir, level) }))
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

/// Writes the files one after the other.
struct Writer {
    dir: SnapshotHandle,
    manifest: SnapshotManifest,
    /// Files begun so far; the last of them is open.
    begun: usize,
    file: Option<File>,
    /// Bytes of it.
    written: u64,
}

impl Writer {
    fn begin(dir: SnapshotHandle, manifest: SnapshotManifest) -> std::io::Result<Self> {
        std::fs::create_dir_all(dir.dir().join(ROWS))?;
        Ok(Self { dir, manifest, begun: 0, file: None, written: 0 })
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
        if !in_order || self.written + data.len() as u64 > announced.bytes {
            return Err(Status::data_loss(format!("{}: chunks are out of order or too many", announced.name)));
        }
        let file = self.file.as_mut().ok_or_else(|| Status::internal("no file is open"))?;
        file.write_all(data).map_err(disk)?;
        self.written += data.len() as u64;
        Ok(())
    }

    fn begin_file(&mut self) -> Result<(), Status> {
        let announced = &self.manifest.files[self.begun];
        let path =
            file_path(self.dir.dir(), &announced.name).map_err(|error| Status::invalid_argument(error.to_string()))?;
        self.file = Some(File::create_new(path).map_err(disk)?);
        self.begun += 1;
        self.written = 0;
        Ok(())
    }

    /// Makes the remaining files (empty ones have no chunks) and the manifest, and checks everything.
    fn finish(mut self) -> Result<(), Status> {
        while self.begun < self.manifest.files.len() {
            self.begin_file()?;
        }
        write_manifest(self.dir.dir(), &self.manifest).map_err(disk)?;
        self.manifest.verify(self.dir.dir()).map_err(|error| Status::data_loss(error.to_string()))
    }
}

fn write_manifest(dir: &Path, manifest: &SnapshotManifest) -> std::io::Result<()> {
    let mut file = File::create_new(dir.join(MANIFEST))?;
    file.write_all(&manifest.encode())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
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
            for (chunk, offset) in content.chunks(1000).zip((0..).step_by(1000)) {
                writer.write(number, offset, &Bytes::copy_from_slice(chunk))?;
            }
        }
        Ok(())
    }

    fn receive(root: &Path, manifest: &SnapshotManifest, contents: &[Bytes]) -> Result<(), Status> {
        let mut writer =
            Writer::begin(SnapshotHandle::temporary(root.join("received")), manifest.clone()).expect("begins");
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
    fn chunks_out_of_order_are_refused() {
        let root = tempfile::tempdir().expect("a folder");
        let (manifest, contents) = sent(root.path());
        let mut writer =
            Writer::begin(SnapshotHandle::temporary(root.path().join("received")), manifest).expect("begins");
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
