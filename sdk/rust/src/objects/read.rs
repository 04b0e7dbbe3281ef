//! What a node sends of an object, put together: in memory or in a file.

use std::io::{self, SeekFrom};
use std::path::Path;

use bytes::{Bytes, BytesMut};
use flame_proto::ha;
use flame_proto::ha::object_frame::Frame;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt, BufWriter};
use tonic::{Status, Streaming};

use super::object::{ArrowMessage, Content, ObjectInfo};
use super::tries::within;
use crate::FlameError;

/// Most bytes that room is made for before they come.
const RESERVED_MAX: u64 = 64 << 20;

/// Begins each message of Arrow's streams.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// What precedes the metadata of a message in such a stream: the continuation and the length.
const PREFIX_BYTES: usize = 8;

/// Messages and their bodies begin at multiples of this.
const ALIGNMENT: usize = 8;

/// Why an object was not read.
pub(super) enum Failure {
    /// The node; another one may have more to say.
    Node(Status),
    /// This side.
    Here(FlameError),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Node(status)
    }
}

impl From<FlameError> for Failure {
    fn from(error: FlameError) -> Self {
        Self::Here(error)
    }
}

fn broken(what: &str) -> Failure {
    Failure::Here(FlameError::Internal(format!("the object cache answers what cannot be: {what}")))
}

/// What comes before the pieces.
pub(super) struct Header {
    pub(super) info: ObjectInfo,
    pub(super) extent: ha::Extent,
}

/// The first message of an answer.
pub(super) async fn header(frames: &mut Streaming<ha::ObjectFrame>) -> Result<Header, Failure> {
    let first = within(frames.message()).await?.and_then(|first| first.frame);
    let Some(Frame::Header(header)) = first else { return Err(broken("no header comes first")) };
    let extent = header.extent();
    let info = header.info.ok_or_else(|| broken("the header says nothing of the object"))?;
    Ok(Header { info: ObjectInfo::try_from(info)?, extent })
}

async fn piece(frames: &mut Streaming<ha::ObjectFrame>) -> Result<Option<ha::ObjectPiece>, Failure> {
    match within(frames.message()).await?.map(|frame| frame.frame) {
        None => Ok(None),
        Some(Some(Frame::Piece(piece))) => Ok(Some(piece)),
        Some(_) => Err(broken("something else than a piece follows the header")),
    }
}

/// One part or message, of which all pieces came.
struct Whole {
    number: u64,
    head: Bytes,
    data: Bytes,
}

/// All pieces that follow a header, put together.
pub(super) async fn content(frames: &mut Streaming<ha::ObjectFrame>, info: &ObjectInfo) -> Result<Content, Failure> {
    let mut done: Vec<Whole> = Vec::new();
    let mut open: Option<(u64, Bytes, BytesMut)> = None;
    let close = |open: (u64, Bytes, BytesMut)| Whole { number: open.0, head: open.1, data: open.2.freeze() };
    while let Some(ha::ObjectPiece { number, head, data }) = piece(frames).await? {
        match &mut open {
            Some((last, _, bytes)) if *last == number => bytes.extend_from_slice(&data),
            _ => {
                done.extend(open.take().map(close));
                let rest = usize::try_from(info.size.min(RESERVED_MAX)).unwrap_or_default();
                let mut bytes = BytesMut::with_capacity(if done.is_empty() { rest } else { data.len() });
                bytes.extend_from_slice(&data);
                open = Some((number, head, bytes));
            }
        }
    }
    done.extend(open.take().map(close));
    if !done.is_sorted_by(|one, next| one.number < next.number) {
        return Err(broken("parts come out of order"));
    }
    Ok(match info.native {
        true => Content::Native(
            done.into_iter().map(|Whole { head, data: body, .. }| ArrowMessage { head, body }).collect(),
        ),
        false => Content::Opaque(done.into_iter().map(|part| part.data).collect()),
    })
}

/// A file that an object is written into: bytes as they are, the base first and its patches after it; tables as a stream of
/// Arrow's interprocess format.
pub(super) struct Download {
    file: BufWriter<File>,
}

impl Download {
    pub(super) async fn to(path: &Path) -> Result<Self, FlameError> {
        let file = File::create(path).await.map_err(|error| cannot_write(&error))?;
        Ok(Self { file: BufWriter::new(file) })
    }

    /// Writes everything that follows a header, in place of what an attempt before has written.
    pub(super) async fn take(
        &mut self,
        frames: &mut Streaming<ha::ObjectFrame>,
        info: &ObjectInfo,
    ) -> Result<(), Failure> {
        self.begin().await.map_err(|error| cannot_write(&error))?;
        let (mut message, mut written) = (None, 0_usize);
        while let Some(ha::ObjectPiece { number, head, data }) = piece(frames).await? {
            if info.native && message != Some(number) {
                message = Some(number);
                self.align(written).await.map_err(|error| cannot_write(&error))?;
                self.head(&head).await.map_err(|error| cannot_write(&error))?;
                written = 0;
            }
            self.file.write_all(&data).await.map_err(|error| cannot_write(&error))?;
            written += data.len();
        }
        if info.native {
            self.align(written).await.map_err(|error| cannot_write(&error))?;
            self.file.write_all(&[CONTINUATION, [0; 4]].concat()).await.map_err(|error| cannot_write(&error))?;
        }
        self.file.flush().await.map_err(|error| cannot_write(&error).into())
    }

    async fn begin(&mut self) -> io::Result<()> {
        self.file.flush().await?;
        self.file.get_mut().set_len(0).await?;
        self.file.seek(SeekFrom::Start(0)).await.map(|_| ())
    }

    /// The metadata of a message: continuation, length, bytes, zeros up to the next multiple.
    async fn head(&mut self, head: &[u8]) -> io::Result<()> {
        let padded = (PREFIX_BYTES + head.len()).next_multiple_of(ALIGNMENT) - PREFIX_BYTES;
        let length = i32::try_from(padded).map_err(|_| io::Error::other("a message of Arrow is too large"))?;
        self.file.write_all(&CONTINUATION).await?;
        self.file.write_all(&length.to_le_bytes()).await?;
        self.file.write_all(head).await?;
        self.file.write_all(&[0; ALIGNMENT][..padded - head.len()]).await
    }

    /// Zeros after so many bytes of a body.
    async fn align(&mut self, written: usize) -> io::Result<()> {
        self.file.write_all(&[0; ALIGNMENT][..written.next_multiple_of(ALIGNMENT) - written]).await
    }
}

fn cannot_write(error: &io::Error) -> FlameError {
    FlameError::Internal(format!("cannot write the file: {error}"))
}
