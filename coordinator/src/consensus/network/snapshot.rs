//! Sending a snapshot: the manifest, then file after file in chunks. The files are hard links taken for this purpose,
//! so they do not change and go away with the last reference to them.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use flame_proto::ha::raft_client::RaftClient;
use flame_proto::ha::snapshot_frame::Frame;
use flame_proto::ha::{self, SnapshotChunk, SnapshotFrame};
use flame_storage::snapshot::file_path;
use flame_storage::{SnapshotHandle, SnapshotManifest, SnapshotMeta, TypeConfig, codec};
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{NetSnapshot, RPCOption};
use openraft::raft::SnapshotResponse;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Client, FRAME_BYTES_MAX};
use crate::consensus::options::SNAPSHOT_INSTALL_MAX;
use crate::consensus::snapshot_body::SnapshotBody;

/// Largest chunk of a file.
pub(in crate::consensus) const CHUNK_BYTES_MAX: usize = 1 << 20;

/// Chunks that are read ahead.
const CHUNKS_WAITING_MAX: usize = 2;

/// A peer that takes no chunk for this long is given up; the library tries again.
const CHUNK_MAX: Duration = Duration::from_secs(10);

type Failed = StreamingError<TypeConfig>;

fn failed(why: impl std::fmt::Display) -> Failed {
    StreamingError::Unreachable(Unreachable::from_string(why))
}

impl NetSnapshot<TypeConfig> for Client {
    type SnapshotData = SnapshotBody;

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, SnapshotBody>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, Failed> {
        let index = snapshot.meta.last_log_id.map_or(0, |log_id| log_id.index);
        let _held = self.network.shipments.begin(self.target, index);
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            answer = self.ship(vote, snapshot.meta) => answer,
        }
    }
}

impl Client {
    async fn ship(
        &self,
        vote: VoteOf<TypeConfig>,
        announced: SnapshotMeta,
    ) -> Result<SnapshotResponse<TypeConfig>, Failed> {
        let (files, manifest) = self.checkpoint().await?;
        if manifest.applied < announced.last_log_id {
            return Err(failed("the checkpoint holds less than was announced"));
        }
        let first = ha::SnapshotManifest {
            header: Some(self.network.gate.header_to(self.target)),
            vote: codec::encode_plain(&vote),
            meta: codec::encode_plain(&manifest.meta()),
            files: announce(&manifest),
        };
        tracing::info!(to = self.target, bytes = manifest.bytes(), last = ?manifest.applied, "sending a snapshot");
        let (frames, outgoing) = mpsc::channel(CHUNKS_WAITING_MAX);
        let channel = self.stream.clone().ok_or_else(|| failed("the address of the peer cannot be used"))?;
        let mut client = RaftClient::new(channel).max_decoding_message_size(FRAME_BYTES_MAX);
        let call = client.snapshot(ReceiverStream::new(outgoing));
        let feed = feed(frames, first, files, manifest);
        tokio::pin!(call, feed);
        // The peer may refuse before it has read everything, so its answer is looked for all the time.
        let answer = tokio::select! {
            answer = &mut call => answer,
            fed = &mut feed => match (fed, tokio::time::timeout(SNAPSHOT_INSTALL_MAX, call).await) {
                (_, Ok(answer)) => answer,
                (Ok(()), Err(_elapsed)) => return Err(failed("the peer did not install the snapshot in time")),
                (Err(error), Err(_elapsed)) => return Err(error),
            },
        };
        let answer = answer.map_err(failed)?.into_inner();
        self.network.gate.confirm(self.target, answer.header.as_ref()).map_err(failed)?;
        codec::decode_plain(&answer.body).map_err(failed)
    }

    /// Takes the files that are sent. Blocks a thread for a flush and one reading of all files.
    async fn checkpoint(&self) -> Result<(SnapshotHandle, SnapshotManifest), Failed> {
        let (store, files) = (self.network.store.clone(), self.network.dirs.next());
        let take = move || store.checkpoint(files.dir()).map(|manifest| (files, manifest));
        tokio::task::spawn_blocking(take).await.map_err(failed)?.map_err(failed)
    }
}

fn announce(manifest: &SnapshotManifest) -> Vec<ha::SnapshotFile> {
    let files = manifest.files.iter();
    files.map(|file| ha::SnapshotFile { name: file.name.clone(), size: file.bytes, crc32c: file.crc32c }).collect()
}

/// Sends manifest and chunks. Ends when all are handed over.
async fn feed(
    frames: mpsc::Sender<SnapshotFrame>,
    first: ha::SnapshotManifest,
    files: SnapshotHandle,
    manifest: SnapshotManifest,
) -> Result<(), Failed> {
    send(&frames, Frame::Manifest(first)).await?;
    for (number, file) in (0_u32..).zip(&manifest.files) {
        let path = file_path(files.dir(), &file.name).map_err(failed)?;
        let mut reader = ChunkReader::open(&path).map_err(failed)?;
        let mut offset = 0_u64;
        loop {
            let (data, rest) = tokio::task::spawn_blocking(move || reader.next().map(|data| (data, reader)))
                .await
                .map_err(failed)?
                .map_err(failed)?;
            if data.is_empty() {
                break;
            }
            reader = rest;
            let length = data.len() as u64;
            send(&frames, Frame::Chunk(SnapshotChunk { file: number, offset, data })).await?;
            offset += length;
        }
        if offset != file.bytes {
            return Err(failed(format!("{} has {offset} bytes, its manifest says {}", file.name, file.bytes)));
        }
    }
    Ok(())
}

async fn send(frames: &mpsc::Sender<SnapshotFrame>, frame: Frame) -> Result<(), Failed> {
    match tokio::time::timeout(CHUNK_MAX, frames.send(SnapshotFrame { frame: Some(frame) })).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_closed)) => Err(failed("the peer has ended the stream")),
        Err(_elapsed) => Err(failed("the peer does not take the snapshot")),
    }
}

/// Reads a file in chunks.
struct ChunkReader(File);

impl ChunkReader {
    fn open(path: &Path) -> std::io::Result<Self> {
        Ok(Self(File::open(path)?))
    }

    /// The next chunk; empty at the end.
    fn next(&mut self) -> std::io::Result<Bytes> {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES_MAX);
        self.0.by_ref().take(CHUNK_BYTES_MAX as u64).read_to_end(&mut chunk)?;
        Ok(Bytes::from(chunk))
    }
}
