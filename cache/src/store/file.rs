//! The file of one object.
//!
//! ```text
//!  0      8        10      12         24         28         …
//! | magic | format | zeros | recorded | head_len | head … | crc32c |   what it is, as a protobuf message
//! | record | record | …                                         its parts, or messages, in order
//! ```
//!
//! A record is `kind, version, head_len, body_len, crc32c of both, crc32c of these numbers`, then head and body. Numbers
//! are little-endian. `recorded` is a generation and a version; it may be changed later and is in no checksum.
//!
//! The first records come with the file, which appears whole or not at all ([`super::disk`]). Patches are written behind
//! them later, so the last record may be one that was never finished: it was not acknowledged, and is cut off.
//!
//! **Invariant:** reading looks at every checksum; a start only at those of numbers and heads.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use flame_types::ObjectKey;
use flame_types::limits::OBJECT_KEY_BYTES_MAX;
use prost::Message;

use crate::limits::{DATA_TYPE_BYTES_MAX, MESSAGES_MAX, PATCHES_MAX};
use crate::model::{ArrowMessage, Blob, Content, Info, Object, Part};

const MAGIC: [u8; 8] = *b"FLMOBJ\r\n";

/// The layout that is written, and the only one that there has been.
const FORMAT: u16 = 1;

/// Where it says which version of the object the directory has heard of: the generation of the cluster, counted from 1 (0:
/// of none), then the version.
const RECORDED_AT: usize = 12;
const RECORDED_BYTES: usize = 12;

/// Where the length of the head is, and the head itself.
const HEAD_LEN_AT: usize = RECORDED_AT + RECORDED_BYTES;
const FIXED_BYTES: usize = HEAD_LEN_AT + 4;

/// Most bytes of a head: a key, a type and some numbers.
const HEAD_BYTES_MAX: usize = OBJECT_KEY_BYTES_MAX + DATA_TYPE_BYTES_MAX + 128;

/// The numbers of a record.
const RECORD_BYTES: usize = 36;

/// A part of an opaque object.
const PART: u32 = 0x5452_4150;

/// A message of native Arrow.
const MESSAGE: u32 = 0x4753_454d;

#[derive(Clone, PartialEq, Message)]
struct Head {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    data_type: String,
    #[prost(int64, tag = "3")]
    created_ms: i64,
    #[prost(uint64, tag = "4")]
    base_version: u64,
    #[prost(bool, tag = "5")]
    is_native: bool,
}

/// Why a file is not that of an object.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The system says so.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not what was written.
    #[error("{0}")]
    Content(String),
}

fn damaged<T>(why: impl Into<String>) -> Result<T, Damage> {
    Err(Damage::Content(why.into()))
}

/// What a file says about its object.
#[derive(Debug)]
pub struct Scanned {
    /// The object.
    pub info: Info,
    /// In which generation of the cluster the directory has heard of it, if it has.
    pub recorded: Option<u32>,
    /// Bytes up to the end of the last whole record.
    pub bytes: u64,
    /// Whether something lies behind it that was never finished.
    pub is_torn: bool,
}

/// The numbers of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    kind: u32,
    version: u64,
    head_len: u64,
    body_len: u64,
    checksum: u32,
}

impl Record {
    fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..4].copy_from_slice(&self.kind.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.head_len.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.body_len.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.checksum.to_le_bytes());
        let own = crc32c::crc32c(&bytes[..32]);
        bytes[32..].copy_from_slice(&own.to_le_bytes());
        bytes
    }

    /// `None` when the numbers are not what was written.
    fn decode(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let record = Self {
            kind: u32::from_le_bytes(array(bytes, 0)),
            version: u64::from_le_bytes(array(bytes, 4)),
            head_len: u64::from_le_bytes(array(bytes, 12)),
            body_len: u64::from_le_bytes(array(bytes, 20)),
            checksum: u32::from_le_bytes(array(bytes, 28)),
        };
        (crc32c::crc32c(&bytes[..32]) == u32::from_le_bytes(array(bytes, 32))).then_some(record)
    }

    /// Bytes of the record with its numbers; `None` when no file could be so long.
    fn bytes(&self) -> Option<u64> {
        (RECORD_BYTES as u64).checked_add(self.head_len)?.checked_add(self.body_len)
    }
}

/// So many bytes from there, of a slice that has them.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice has this length")
}

/// Writes a whole object, and gives the bytes that the file has then.
pub fn write(file: &mut File, object: &Object) -> io::Result<u64> {
    let head = Head {
        key: object.key.to_string(),
        data_type: object.data_type.to_string(),
        created_ms: object.created_ms,
        base_version: object.base_version,
        is_native: matches!(object.content, Content::Native(_)),
    }
    .encode_to_vec();
    let mut start = Vec::with_capacity(FIXED_BYTES + head.len() + 4);
    start.extend_from_slice(&MAGIC);
    start.extend_from_slice(&FORMAT.to_le_bytes());
    start.extend_from_slice(&[0; 2 + RECORDED_BYTES]);
    start.extend_from_slice(&(head.len() as u32).to_le_bytes());
    start.extend_from_slice(&head);
    let checksum = crc32c::crc32c(&start);
    start.extend_from_slice(&checksum.to_le_bytes());
    file.write_all(&start)?;
    let mut bytes = start.len() as u64;
    match &object.content {
        Content::Opaque(parts) => {
            for part in parts {
                bytes += write_part(&mut *file, part)?;
            }
        }
        Content::Native(messages) => {
            for ArrowMessage { head, body } in messages.iter() {
                let record = Record {
                    kind: MESSAGE,
                    version: object.base_version,
                    head_len: head.len() as u64,
                    body_len: body.len() as u64,
                    checksum: crc32c::crc32c_append(crc32c::crc32c(head), body),
                };
                file.write_all(&record.encode())?;
                file.write_all(head)?;
                file.write_all(body)?;
                bytes += (RECORD_BYTES + head.len() + body.len()) as u64;
            }
        }
    }
    Ok(bytes)
}

fn write_part(mut to: impl Write, part: &Part) -> io::Result<u64> {
    // What is in the arena is copied first: the checksum must be that of what is written, whatever clients do.
    let pieces = part.data.pieces();
    let checksum = pieces.iter().fold(0, |sum, piece| crc32c::crc32c_append(sum, piece));
    let record = Record { kind: PART, version: part.version, head_len: 0, body_len: part.data.len(), checksum };
    to.write_all(&record.encode())?;
    for piece in pieces {
        to.write_all(&piece)?;
    }
    Ok(RECORD_BYTES as u64 + part.data.len())
}

/// Writes parts behind the first `bytes` of a file, over whatever lies there, and gives the bytes that count then.
pub fn append(file: &File, mut bytes: u64, parts: &[Arc<Part>]) -> io::Result<u64> {
    for part in parts {
        bytes += write_part(At { file, offset: bytes }, part)?;
    }
    file.set_len(bytes)?;
    Ok(bytes)
}

/// Writes from a place on.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Write for At<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write_at(bytes, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says that the directory has heard of this version of the object. Whether this outlives a power cut does not matter: one
/// that is recorded again is what it was.
pub fn mark_recorded(file: &File, generation: u32, version: u64) -> io::Result<()> {
    let mut mark = [0; RECORDED_BYTES];
    mark[..4].copy_from_slice(&generation.saturating_add(1).to_le_bytes());
    mark[4..].copy_from_slice(&version.to_le_bytes());
    file.write_all_at(&mark, RECORDED_AT as u64)
}

/// Reads the head, and the numbers of every record.
///
/// # Errors
/// It is not the file of an object, or not whole where it was acknowledged.
pub fn scan(file: &File) -> Result<Scanned, Damage> {
    let length = file.metadata()?.len();
    let (head, recorded, mut at) = read_head(file, length)?;
    let key = ObjectKey::parse(&head.key).or_else(|why| damaged(why.to_string()))?;
    let mut info = Info {
        key,
        data_type: Arc::from(head.data_type.as_str()),
        created_ms: head.created_ms,
        base_version: head.base_version,
        version: head.base_version,
        size: 0,
        parts: 0,
        is_native: head.is_native,
    };
    let mut records = 0;
    let mut is_torn = false;
    while at < length {
        let Some(record) = next_record(file, at, length)? else {
            is_torn = true;
            break;
        };
        check_order(&head, &info, records, &record)?;
        // A patch that was never finished may have its length and not its bytes.
        let is_last = at + record.bytes().unwrap_or(u64::MAX) == length;
        if is_last && records > 0 && record.kind == PART && read_data(file, at, &record).is_err() {
            is_torn = true;
            break;
        }
        info.version = record.version;
        info.size += record.head_len + record.body_len;
        info.parts = if head.is_native { 1 } else { info.parts + 1 };
        records += 1;
        at += record.bytes().unwrap_or_default();
    }
    if records == 0 {
        return damaged("it ends before the object begins");
    }
    let recorded = recorded.filter(|(_, version)| *version == info.version).map(|(generation, _)| generation);
    Ok(Scanned { info, recorded, bytes: at, is_torn })
}

/// Reads an object of which the first `bytes` of the file count.
///
/// # Errors
/// It is not what was written.
pub fn read(file: &File, bytes: u64) -> Result<Object, Damage> {
    let (head, _, mut at) = read_head(file, bytes)?;
    let key = ObjectKey::parse(&head.key).or_else(|why| damaged(why.to_string()))?;
    let mut parts = Vec::new();
    let mut messages = Vec::new();
    while at < bytes {
        let Some(record) = next_record(file, at, bytes)? else { return damaged("a record in it is not whole") };
        let data = read_data(file, at, &record)?;
        match record.kind {
            PART => parts.push(Arc::new(Part { version: record.version, data: Blob::from(data) })),
            _ => {
                // Both lie next to each other and are kept alive together.
                let head = data.slice(..record.head_len as usize);
                messages.push(ArrowMessage { head, body: data.slice(record.head_len as usize..) });
            }
        }
        at += record.bytes().unwrap_or_default();
    }
    let content = match (parts.is_empty(), messages.is_empty()) {
        (false, true) => Content::Opaque(parts),
        (true, false) => Content::Native(Arc::new(messages)),
        _ => return damaged("it has both parts and messages, or neither"),
    };
    Ok(Object {
        key,
        data_type: Arc::from(head.data_type.as_str()),
        created_ms: head.created_ms,
        base_version: head.base_version,
        content,
    })
}

/// Generation and version of which the directory has heard.
type Recorded = (u32, u64);

/// What the file says of itself, what the directory has heard of, and where the first record begins.
fn read_head(file: &File, length: u64) -> Result<(Head, Option<Recorded>, u64), Damage> {
    let mut fixed = [0; FIXED_BYTES];
    if length < FIXED_BYTES as u64 {
        return damaged("it is too short to be the file of an object");
    }
    file.read_exact_at(&mut fixed, 0)?;
    if fixed[..8] != MAGIC {
        return damaged("it is not the file of an object");
    }
    let format = u16::from_le_bytes(array(&fixed, 8));
    if format != FORMAT {
        return damaged(format!("it has format {format}, and this cache reads format {FORMAT} only"));
    }
    let generation = u32::from_le_bytes(array(&fixed, RECORDED_AT)).checked_sub(1);
    let version = u64::from_le_bytes(array(&fixed, RECORDED_AT + 4));
    let recorded = generation.map(|generation| (generation, version));
    let head_len = u32::from_le_bytes(array(&fixed, HEAD_LEN_AT)) as usize;
    if head_len > HEAD_BYTES_MAX || ((FIXED_BYTES + head_len + 4) as u64) > length {
        return damaged("its head is not whole");
    }
    let mut start = vec![0; FIXED_BYTES + head_len + 4];
    file.read_exact_at(&mut start, 0)?;
    start[RECORDED_AT..HEAD_LEN_AT].fill(0);
    let (covered, checksum) = start.split_at(FIXED_BYTES + head_len);
    if crc32c::crc32c(covered) != u32::from_le_bytes(array(checksum, 0)) {
        return damaged("its head is not what was written (checksum)");
    }
    let head = Head::decode(&covered[FIXED_BYTES..]).or_else(|error| damaged(error.to_string()))?;
    Ok((head, recorded, start.len() as u64))
}

/// The numbers of the record that begins there; `None` when it was never finished.
fn next_record(file: &File, at: u64, length: u64) -> Result<Option<Record>, Damage> {
    if length - at < RECORD_BYTES as u64 {
        return Ok(None);
    }
    let mut bytes = [0; RECORD_BYTES];
    file.read_exact_at(&mut bytes, at)?;
    let Some(record) = Record::decode(&bytes) else {
        // A power cut leaves zeros where bytes were never synced, up to the end of the file.
        if bytes[RECORD_BYTES - 1] == 0 && is_zero(file, at + RECORD_BYTES as u64, length)? {
            return Ok(None);
        }
        return damaged(format!("a record at byte {at} is not what was written (checksum)"));
    };
    let end = record.bytes().and_then(|bytes| at.checked_add(bytes));
    Ok(end.is_some_and(|end| end <= length).then_some(record))
}

/// Whether nothing but zeros lies there.
fn is_zero(file: &File, mut at: u64, end: u64) -> io::Result<bool> {
    let mut bytes = [0; 4096];
    while at < end {
        let count = bytes.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        file.read_exact_at(&mut bytes[..count], at)?;
        if bytes[..count].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += count as u64;
    }
    Ok(true)
}

fn check_order(head: &Head, before: &Info, records: usize, record: &Record) -> Result<(), Damage> {
    let fits = if head.is_native {
        record.kind == MESSAGE && record.version == head.base_version && records < MESSAGES_MAX
    } else if records == 0 {
        record.kind == PART && record.version == head.base_version
    } else {
        record.kind == PART && record.version > before.version && records <= PATCHES_MAX
    };
    if fits { Ok(()) } else { damaged("its records do not belong together") }
}

/// Head and body of a record, checked.
fn read_data(file: &File, at: u64, record: &Record) -> Result<Bytes, Damage> {
    let length = usize::try_from(record.head_len + record.body_len).or_else(|_| damaged("a record is too long"))?;
    let mut data = vec![0; length];
    file.read_exact_at(&mut data, at + RECORD_BYTES as u64)?;
    if crc32c::crc32c(&data) != record.checksum {
        return damaged(format!("the data at byte {at} is not what was written (checksum)"));
    }
    Ok(Bytes::from(data))
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
