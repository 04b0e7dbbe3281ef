//! What is sent of an object: from memory or from a file, in pieces.

use std::io;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use flame_proto::ha;
use flame_proto::ha::put_object_frame::Frame;
use futures::{Stream, StreamExt, stream};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;

use crate::FlameError;

/// Bytes in one message.
const CHUNK_BYTES: usize = 1 << 20;

/// What becomes of an object that is there under the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfExists {
    /// It is replaced.
    Replace,
    /// It stays, and the call ends with [`FlameError::AlreadyExists`].
    Refuse,
    /// It is replaced if it has this version (0: if there is none), otherwise the call ends with
    /// [`FlameError::FailedPrecondition`].
    Expect(u64),
}

impl IfExists {
    pub(super) fn apply(self, header: ha::PutObjectHeader) -> ha::PutObjectHeader {
        let (if_exists, expected_version) = match self {
            Self::Replace => (ha::IfExists::Replace, 0),
            Self::Refuse => (ha::IfExists::Refuse, 0),
            Self::Expect(version) => (ha::IfExists::Expect, version),
        };
        ha::PutObjectHeader { if_exists: if_exists.into(), expected_version, ..header }
    }
}

fn frame(frame: Frame) -> ha::PutObjectFrame {
    ha::PutObjectFrame { frame: Some(frame) }
}

/// The header, and bytes that are there.
pub(super) fn of_bytes(header: ha::PutObjectHeader, data: Bytes) -> impl Stream<Item = ha::PutObjectFrame> + Send {
    let chunks = (0..data.len()).step_by(CHUNK_BYTES).map(move |at| data.slice(at..data.len().min(at + CHUNK_BYTES)));
    stream::iter(std::iter::once(frame(Frame::Header(header))).chain(chunks.map(|chunk| frame(Frame::Data(chunk)))))
}

/// A file on its way.
pub(super) struct Upload {
    file: File,
    pub(super) bytes: u64,
}

impl Upload {
    pub(super) async fn of(path: &Path) -> Result<Self, FlameError> {
        let cannot = |error: io::Error| FlameError::InvalidArgument(format!("cannot read {}: {error}", path.display()));
        let file = File::open(path).await.map_err(cannot)?;
        let metadata = file.metadata().await.map_err(cannot)?;
        if metadata.is_dir() {
            return Err(FlameError::InvalidArgument(format!("{} is a folder; an object is one file", path.display())));
        }
        Ok(Self { file, bytes: metadata.len() })
    }

    /// The header and the content. What cannot be read to its end does not end, so that nobody takes a piece of it for all;
    /// then whoever waits hears why.
    pub(super) fn into_frames(
        self,
        header: ha::PutObjectHeader,
    ) -> (oneshot::Receiver<io::Error>, impl Stream<Item = ha::PutObjectFrame> + Send) {
        let (fail, failed) = oneshot::channel();
        let first = frame(Frame::Header(header));
        let rest = stream::unfold(Some((self.file, fail)), |state| async move {
            let (mut file, fail) = state?;
            match read_chunk(&mut file).await {
                Ok(chunk) if chunk.is_empty() => None,
                Ok(chunk) => Some((frame(Frame::Data(chunk)), Some((file, fail)))),
                Err(error) => {
                    // Whoever waits for the answer ends the call.
                    let _ = fail.send(error);
                    std::future::pending().await
                }
            }
        });
        (failed, stream::iter([first]).chain(rest))
    }
}

async fn read_chunk(file: &mut File) -> io::Result<Bytes> {
    let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
    while chunk.len() < CHUNK_BYTES && file.read_buf(&mut chunk).await? > 0 {}
    Ok(chunk.freeze())
}
