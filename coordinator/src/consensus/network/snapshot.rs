//! Sending a snapshot: the manifest, then, file after file in chunks, what the peer does not have yet. The files are hard
//! links taken for this purpose, so they do not change and go away with the last reference to them.
//!
//! Each try makes new ones. Most of them are the same as before, since files of rows never change once they are written:
//! so a transfer that was cut goes on where it was.
//!
//! **Invariant:** no file leaves before the peer has said who it is and what it has.
//! **Invariant:** all shipments together keep to one pace: a node that comes back does not take the network from those that
//! work.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use flame_proto::ha::raft_client::RaftClient;
use flame_proto::ha::snapshot_frame::Frame;
use flame_proto::ha::snapshot_reply::Reply;
use flame_proto::ha::{self, SnapshotArrived, SnapshotChunk, SnapshotFrame, SnapshotReply};
use flame_storage::snapshot::file_path;
use flame_storage::{SnapshotHandle, SnapshotManifest, SnapshotMeta, TypeConfig, codec};
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{NetSnapshot, RPCOption};
use openraft::raft::SnapshotResponse;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{Client, FRAME_BYTES_MAX};
use crate::consensus::options::SNAPSHOT_INSTALL_MAX;
use crate::consensus::snapshot_body::SnapshotBody;
use crate::consensus::token_bucket::Pace;

/// Largest chunk of a file.
pub(in crate::consensus) const CHUNK_BYTES_MAX: usize = 1 << 20;

/// Chunks that are read ahead.
const CHUNKS_WAITING_MAX: usize = 2;

/// How long a peer may look at what has arrived before: it reads all of that.
const SNAPSHOT_ARRIVED_MAX: Duration = SNAPSHOT_INSTALL_MAX;

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

/// How the replies of a peer come.
struct Replies(Streaming<SnapshotReply>);

impl Replies {
    async fn next(&mut self, limit: Duration, what: &str) -> Result<Reply, Failed> {
        let received = tokio::time::timeout(limit, self.0.message()).await;
        let received = received.map_err(|_elapsed| failed(format!("the peer did not {what} in time")))?;
        let reply = received.map_err(failed)?.and_then(|reply| reply.reply);
        reply.ok_or_else(|| failed("the peer has ended the stream"))
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
        let (frames, outgoing) = mpsc::channel(CHUNKS_WAITING_MAX);
        send(&frames, Frame::Manifest(first)).await?;
        let mut replies = self.begin_transfer(outgoing).await?;
        let there = match replies.next(SNAPSHOT_ARRIVED_MAX, "look at what it has").await? {
            Reply::Arrived(arrived) => self.there(&arrived, &manifest)?,
            Reply::Installed(_) => return Err(failed("the peer has installed what it was not sent")),
        };
        let bytes = manifest.files.iter().zip(&there).filter(|(_, is_there)| !**is_there).map(|(file, _)| file.bytes);
        let bytes: u64 = bytes.sum();
        tracing::info!(to = self.target, bytes, of = manifest.bytes(), last = ?manifest.applied, "sending a snapshot");
        let answer = {
            let feed = feed(frames, files, manifest, there, &self.network.pace);
            tokio::pin!(feed);
            // The peer may give up before it has read everything, so its answer is looked for all the time.
            tokio::select! {
                biased;
                fed = &mut feed => {
                    // What the peer says tells more than that it has ended the stream.
                    match (fed, replies.next(SNAPSHOT_INSTALL_MAX, "install the snapshot").await) {
                        (Err(error), Err(_)) => return Err(error),
                        (_, answer) => answer?,
                    }
                }
                early = replies.next(Duration::MAX, "") => early?,
            }
        };
        let Reply::Installed(answer) = answer else { return Err(failed("the peer repeats itself")) };
        self.network.gate.confirm(self.target, answer.header.as_ref()).map_err(failed)?;
        codec::decode_plain(&answer.body).map_err(failed)
    }

    async fn begin_transfer(&self, outgoing: mpsc::Receiver<SnapshotFrame>) -> Result<Replies, Failed> {
        let channel = self.stream.clone().ok_or_else(|| failed("the address of the peer cannot be used"))?;
        let mut client = RaftClient::new(channel).max_decoding_message_size(FRAME_BYTES_MAX);
        let opened = tokio::time::timeout(CHUNK_MAX, client.snapshot(ReceiverStream::new(outgoing))).await;
        let opened = opened.map_err(|_elapsed| failed("the peer does not take the snapshot"))?;
        let replies = opened.map_err(|status| {
            self.network.gate.refused_by(self.target, &status);
            failed(status)
        })?;
        Ok(Replies(replies.into_inner()))
    }

    /// Which files the peer has; all when it needs none.
    fn there(&self, arrived: &SnapshotArrived, manifest: &SnapshotManifest) -> Result<Vec<bool>, Failed> {
        self.network.gate.confirm(self.target, arrived.header.as_ref()).map_err(failed)?;
        let mut there = vec![arrived.needless; manifest.files.len()];
        for number in &arrived.files {
            let number = usize::try_from(*number).ok().filter(|number| *number < there.len());
            there[number.ok_or_else(|| failed("the peer has a file that was not announced"))?] = true;
        }
        Ok(there)
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

/// Sends the files that are not there yet. Ends when all are handed over.
async fn feed(
    frames: mpsc::Sender<SnapshotFrame>,
    files: SnapshotHandle,
    manifest: SnapshotManifest,
    there: Vec<bool>,
    pace: &Pace,
) -> Result<(), Failed> {
    for ((number, file), is_there) in (0_u32..).zip(&manifest.files).zip(there) {
        if is_there {
            continue;
        }
        let path = file_path(files.dir(), &file.name).map_err(failed)?;
        let mut reader = ChunkReader::open(&path, pace.chunk_bytes()).map_err(failed)?;
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
            pace.wait_for(length).await;
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

/// Reads a file in chunks of at most so many bytes.
struct ChunkReader(File, usize);

impl ChunkReader {
    fn open(path: &Path, chunk_bytes: usize) -> std::io::Result<Self> {
        Ok(Self(File::open(path)?, chunk_bytes))
    }

    /// The next chunk; empty at the end.
    fn next(&mut self) -> std::io::Result<Bytes> {
        let mut chunk = Vec::with_capacity(self.1);
        self.0.by_ref().take(self.1 as u64).read_to_end(&mut chunk)?;
        Ok(Bytes::from(chunk))
    }
}
