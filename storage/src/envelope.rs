//! The frame around every value we write: magic, format version, kind, length, checksum.
//!
//! ```text
//!  0  1   2        3     4        8        12
//! | magic | version | kind | length | crc32c | body …
//! ```
//!
//! Length and checksum are little-endian; the checksum covers the first eight bytes and the body, so that a flipped
//! bit anywhere is found.
//!
//! **Invariant:** this layout never changes. What changes is the version, and every version has a frozen fixture.

use bytes::Bytes;

use crate::codec::CodecError;

/// Bytes before the body.
pub(crate) const HEADER_BYTES: usize = 12;

/// Largest value, header included. Callers refuse larger input long before (a message has at most 64 MiB); here it
/// keeps a hostile length from reserving memory.
pub const VALUE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The format version this program writes, and the newest it reads.
pub const FORMAT_VERSION: u8 = 1;

const MAGIC: [u8; 2] = [0xF1, 0xA3];

/// How the body is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A bincode value and nothing else.
    Plain = 1,
    /// A bincode value, the lengths of its payloads, the payloads.
    WithPayloads = 2,
    /// A bincode header, the lengths of the parts, the parts.
    Parts = 3,
}

/// Starts a value: a buffer with room for the header, to which the caller appends the body.
pub(crate) fn begin(body_bytes_expected: usize) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(HEADER_BYTES + body_bytes_expected);
    begin_in(&mut buffer);
    buffer
}

/// The same in an empty buffer that is there.
pub(crate) fn begin_in(buffer: &mut Vec<u8>) {
    buffer.resize(HEADER_BYTES, 0);
}

/// Fills the header in.
pub(crate) fn finish(mut buffer: Vec<u8>, kind: Kind) -> Bytes {
    seal(&mut buffer, kind);
    Bytes::from(buffer)
}

/// Fills the header in, in place.
pub(crate) fn seal(buffer: &mut [u8], kind: Kind) {
    assert!(buffer.len() <= VALUE_BYTES_MAX, "a value of {} bytes had to be refused at admission", buffer.len());
    let body_bytes = u32::try_from(buffer.len() - HEADER_BYTES).expect("VALUE_BYTES_MAX fits into 32 bits");
    buffer[0..2].copy_from_slice(&MAGIC);
    buffer[2] = FORMAT_VERSION;
    buffer[3] = kind as u8;
    buffer[4..8].copy_from_slice(&body_bytes.to_le_bytes());
    let checksum = checksum(buffer);
    buffer[8..12].copy_from_slice(&checksum.to_le_bytes());
}

/// Checks the frame and returns the body.
pub(crate) fn open(bytes: &[u8], kind: Kind) -> Result<&[u8], CodecError> {
    if bytes.len() < HEADER_BYTES {
        return Err(CodecError::Truncated { have: bytes.len(), need: HEADER_BYTES });
    }
    if bytes[0..2] != MAGIC {
        return Err(CodecError::Magic);
    }
    if bytes[2] == 0 || bytes[2] > FORMAT_VERSION {
        return Err(CodecError::Version(bytes[2]));
    }
    let need = HEADER_BYTES + u32_at(bytes, 4) as usize;
    if need > VALUE_BYTES_MAX {
        return Err(CodecError::TooLarge { bytes: need });
    }
    if bytes.len() < need {
        return Err(CodecError::Truncated { have: bytes.len(), need });
    }
    if bytes.len() > need {
        return Err(CodecError::TrailingBytes(bytes.len() - need));
    }
    if checksum(bytes) != u32_at(bytes, 8) {
        return Err(CodecError::Checksum);
    }
    if bytes[3] != kind as u8 {
        return Err(CodecError::Kind { found: bytes[3], expected: kind as u8 });
    }
    Ok(&bytes[HEADER_BYTES..])
}

/// Size of the frame that starts at the front of `bytes`.
pub(crate) fn framed_bytes(bytes: &[u8]) -> Option<usize> {
    let whole = bytes.len() >= HEADER_BYTES && bytes[0..2] == MAGIC;
    whole.then(|| HEADER_BYTES + u32_at(bytes, 4) as usize)
}

fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[0..8]), &bytes[HEADER_BYTES..])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}
