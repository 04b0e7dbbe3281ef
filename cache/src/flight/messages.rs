//! Arrow's messages: looked into as far as needed, and made.
//!
//! A message is a flatbuffer, its head, and the buffers that it describes, its body. Of an upload of opaque bytes the column
//! `data` is found in the body and cut out, without a copy. Of native Arrow nothing is looked at but what kind of message
//! it is.

use std::sync::LazyLock;

use arrow_flight::{FlightData, SchemaAsIpc};
use arrow_ipc::writer::IpcWriteOptions;
use arrow_ipc::{
    Buffer, FieldNode, KeyValue, Message, MessageBuilder, MessageHeader, MetadataVersion, RecordBatchBuilder, Type,
    root_as_message,
};
use arrow_schema::{DataType, Field, Schema};
use bytes::{BufMut, Bytes, BytesMut};
use flatbuffers::FlatBufferBuilder;

use crate::error::Refusal;
use crate::limits::CHUNK_BYTES;
use crate::model::Blob;

/// Metadata of a schema: what says that an object is native Arrow.
const FORMAT_KEY: &str = "flame.cache.format";
const FORMAT_NATIVE: &str = "arrow-table-v1";

/// Metadata of a schema: the version of the object.
const VERSION_KEY: &str = "flame.cache.version";

/// The column of an upload that is looked for.
const DATA: &str = "data";

/// How buffers and files are aligned.
const ALIGNMENT: usize = 8;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Words that a column refers to.
    Dictionary,
    /// Rows.
    Batch,
}

/// What the schema of an upload says about what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// Opaque bytes in a column.
    Opaque(Column),
    /// Native Arrow.
    Native,
}

/// Where the column `data` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Which of the buffers has its offsets; its bytes are in the next.
    offsets: usize,
    /// Bytes of an offset.
    width: usize,
}

fn parse(head: &[u8]) -> Result<Message<'_>, Refusal> {
    root_as_message(head).map_err(|error| Refusal::Wrong(format!("this is no message of Arrow: {error}")))
}

/// Reads the first message of an upload.
///
/// # Errors
/// It is no schema, or one that nobody could make an object of.
pub fn incoming(head: &[u8]) -> Result<Incoming, Refusal> {
    let message = parse(head)?;
    let Some(schema) = message.header_as_schema() else {
        return Err(Refusal::Wrong("an upload begins with a schema of Arrow".to_owned()));
    };
    let metadata = schema.custom_metadata().into_iter().flatten();
    if metadata.into_iter().any(|pair| pair.key() == Some(FORMAT_KEY) && pair.value() == Some(FORMAT_NATIVE)) {
        return Ok(Incoming::Native);
    }
    let expected = || {
        Refusal::Wrong(format!(
            "an upload has the columns version: uint64 and data: binary, or is native Arrow with the metadata \
             {FORMAT_KEY}={FORMAT_NATIVE}"
        ))
    };
    let mut buffers = 0;
    for field in schema.fields().into_iter().flatten() {
        let (count, width) = match field.type_type() {
            Type::Int => (2, None),
            Type::Binary => (3, Some(4)),
            Type::LargeBinary => (3, Some(8)),
            _ => return Err(expected()),
        };
        if let (Some(DATA), Some(width)) = (field.name(), width) {
            return Ok(Incoming::Opaque(Column { offsets: buffers + 1, width }));
        }
        buffers += count;
    }
    Err(expected())
}

/// What a message after the schema is.
///
/// # Errors
/// It is neither rows nor words.
pub fn kind(head: &[u8]) -> Result<Kind, Refusal> {
    match parse(head)?.header_type() {
        MessageHeader::DictionaryBatch => Ok(Kind::Dictionary),
        MessageHeader::RecordBatch => Ok(Kind::Batch),
        other => Err(Refusal::Wrong(format!("a message {other:?} has no place in an upload after its schema"))),
    }
}

/// The bytes of all rows of an upload's batch, one after the other.
///
/// # Errors
/// The batch is not what its schema says.
pub fn rows(head: &[u8], body: &Bytes, column: Column) -> Result<Bytes, Refusal> {
    let wrong = |why: &str| Refusal::Wrong(format!("a batch of the upload cannot be read: {why}"));
    let message = parse(head)?;
    let batch = message.header_as_record_batch().ok_or_else(|| wrong("it is a dictionary"))?;
    if batch.compression().is_some() {
        return Err(wrong("it is compressed; write it without"));
    }
    let count = usize::try_from(batch.length()).map_err(|_| wrong("it has less than no rows"))?;
    if count == 0 {
        return Ok(Bytes::new());
    }
    let buffers = batch.buffers().ok_or_else(|| wrong("it has no buffers"))?;
    if buffers.len() <= column.offsets + 1 {
        return Err(wrong("it lacks the buffers of the column data"));
    }
    let cut = |at: usize| {
        let buffer = buffers.get(at);
        let start = usize::try_from(buffer.offset()).ok()?;
        let end = start.checked_add(usize::try_from(buffer.length()).ok()?)?;
        (end <= body.len()).then(|| body.slice(start..end))
    };
    let outside = || wrong("a buffer lies outside of it");
    let offsets = cut(column.offsets).ok_or_else(outside)?;
    let values = cut(column.offsets + 1).ok_or_else(outside)?;
    let first = offset(&offsets, 0, column.width).ok_or_else(outside)?;
    let last = offset(&offsets, count, column.width).ok_or_else(outside)?;
    if first > last || last > values.len() {
        return Err(outside());
    }
    Ok(values.slice(first..last))
}

/// An offset of a column of bytes.
fn offset(offsets: &[u8], at: usize, width: usize) -> Option<usize> {
    let start = at.checked_mul(width)?;
    let bytes = offsets.get(start..start.checked_add(width)?)?;
    match width {
        4 => usize::try_from(i32::from_le_bytes(bytes.try_into().ok()?)).ok(),
        _ => usize::try_from(i64::from_le_bytes(bytes.try_into().ok()?)).ok(),
    }
}

/// The head of the schema of everything that is opaque.
pub static RESPONSE_SCHEMA: LazyLock<Bytes> = LazyLock::new(|| {
    let schema = Schema::new(vec![
        Field::new("version", DataType::UInt64, false),
        Field::new("kind", DataType::Utf8, false),
        Field::new(DATA, DataType::Binary, false),
    ]);
    FlightData::from(SchemaAsIpc::new(&schema, &IpcWriteOptions::default())).data_header
});

/// The body of a message that is being made, and where its buffers are in it.
struct Body {
    bytes: BytesMut,
    buffers: Vec<Buffer>,
}

impl Body {
    fn with_capacity(capacity: usize) -> Self {
        Self { bytes: BytesMut::with_capacity(capacity), buffers: Vec::new() }
    }

    fn buffer(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let from = self.bytes.len();
        write(&mut self.bytes);
        self.buffers.push(Buffer::new(from as i64, (self.bytes.len() - from) as i64));
        pad(&mut self.bytes);
    }
}

/// Fills up to a multiple of eight bytes.
fn pad(bytes: &mut BytesMut) {
    bytes.put_bytes(0, bytes.len().next_multiple_of(ALIGNMENT) - bytes.len());
}

/// One row of an answer, by that schema: head and body.
#[must_use]
pub fn row(version: u64, kind: &'static str, data: &Blob) -> (Bytes, Bytes) {
    let length = usize::try_from(data.len()).expect("it is in memory");
    let mut body = Body::with_capacity(length + 64);
    // The first buffer of each column would say which rows have no value: there are none.
    body.buffer(|_| {});
    body.buffer(|bytes| bytes.put_u64_le(version));
    body.buffer(|_| {});
    body.buffer(|bytes| {
        bytes.put_u32_le(0);
        bytes.put_u32_le(kind.len() as u32);
    });
    body.buffer(|bytes| bytes.put_slice(kind.as_bytes()));
    body.buffer(|_| {});
    body.buffer(|bytes| {
        bytes.put_u32_le(0);
        bytes.put_u32_le(u32::try_from(length).expect("no part is longer than PART_BYTES_MAX"));
    });
    body.buffer(|bytes| data.chunks(CHUNK_BYTES).for_each(|chunk| bytes.put_slice(&chunk)));
    let Body { bytes: body, buffers } = body;

    let mut builder = FlatBufferBuilder::new();
    let nodes = builder.create_vector(&[FieldNode::new(1, 0); 3]);
    let buffers = builder.create_vector(&buffers);
    let mut batch = RecordBatchBuilder::new(&mut builder);
    batch.add_length(1);
    batch.add_nodes(nodes);
    batch.add_buffers(buffers);
    let batch = batch.finish().as_union_value();
    let mut message = MessageBuilder::new(&mut builder);
    message.add_version(MetadataVersion::V5);
    message.add_header_type(MessageHeader::RecordBatch);
    message.add_bodyLength(body.len() as i64);
    message.add_header(batch);
    let message = message.finish();
    builder.finish(message, None);
    (Bytes::copy_from_slice(builder.finished_data()), body.freeze())
}

/// The head of a schema with another version in its metadata, where it has one there. Everything else stays as it is, the
/// numbers of its dictionaries above all: so nothing is decoded, the new text is put behind the flatbuffer, and the place
/// that led to the old one leads there.
///
/// # Errors
/// It is no schema.
pub fn with_version(head: &Bytes, version: u64) -> Result<Bytes, Refusal> {
    let message = parse(head)?;
    let schema = message.header_as_schema().ok_or_else(|| Refusal::Wrong("this is no schema".to_owned()))?;
    let mut metadata = schema.custom_metadata().into_iter().flatten();
    let Some(pair) = metadata.find(|pair| pair.key() == Some(VERSION_KEY) && pair.value().is_some()) else {
        return Ok(head.clone());
    };
    let place = pair._tab.loc() + usize::from(pair._tab.vtable().get(KeyValue::VT_VALUE));
    let text = version.to_string();
    let mut changed = BytesMut::with_capacity(head.len() + text.len() + 16);
    changed.put_slice(head);
    pad(&mut changed);
    let target = changed.len();
    changed.put_u32_le(text.len() as u32);
    changed.put_slice(text.as_bytes());
    changed.put_u8(0);
    pad(&mut changed);
    let distance = u32::try_from(target - place).map_err(|_| Refusal::Wrong("the schema is too large".to_owned()))?;
    changed[place..place + 4].copy_from_slice(&distance.to_le_bytes());
    Ok(changed.freeze())
}

/// A head in the frame that it has in files, sockets and descriptions: a mark, its length, and itself up to a multiple of
/// eight bytes.
#[must_use]
pub fn framed(head: &[u8]) -> Bytes {
    const MARK: u32 = 0xffff_ffff;
    let length = (ALIGNMENT + head.len()).next_multiple_of(ALIGNMENT) - ALIGNMENT;
    let mut framed = BytesMut::with_capacity(ALIGNMENT + length);
    framed.put_u32_le(MARK);
    framed.put_u32_le(length as u32);
    framed.put_slice(head);
    framed.put_bytes(0, length - head.len());
    framed.freeze()
}

/// What ends a stream of framed messages.
pub const END_OF_STREAM: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
