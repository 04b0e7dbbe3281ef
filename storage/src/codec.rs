//! Values to bytes and back: bincode behind an envelope, payload bytes beside the header.
//!
//! A value with payloads is written as `bincode(value without payloads, lengths) ++ payloads`. Decoding slices the
//! payloads out of the buffer they came in, so they are never copied on the way from log to state row.
//! [`join`] makes the same shape of parts that are already encoded, and [`split`] takes it apart again.
//!
//! **Invariant:** bytes that were not produced by this module are an error, never a panic and never a wrong value.
//! **Invariant:** encoding cannot fail: headers are plain data, and admission bounds their size.

use bytes::{Bytes, BytesMut};
use flame_types::{Payload, Payloads};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::envelope::{self, Kind};

pub use crate::envelope::{FORMAT_VERSION, VALUE_BYTES_MAX};

type Config = bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<VALUE_BYTES_MAX>,
>;

const CONFIG: Config = bincode::config::standard().with_limit::<VALUE_BYTES_MAX>();

/// Expected size of a header: what a small command needs without growing the buffer.
const HEADER_BYTES_EXPECTED: usize = 128;

/// Why bytes were not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Too few bytes.
    #[error("{have} bytes where {need} are needed")]
    Truncated {
        /// Bytes present.
        have: usize,
        /// Bytes needed.
        need: usize,
    },
    /// Not one of our values.
    #[error("wrong magic")]
    Magic,
    /// Written by a newer program.
    #[error("format version {0} is unknown")]
    Version(u8),
    /// Another kind of value than asked for.
    #[error("kind {found} where {expected} is expected")]
    Kind {
        /// The kind found.
        found: u8,
        /// The kind asked for.
        expected: u8,
    },
    /// A length beyond [`VALUE_BYTES_MAX`].
    #[error("{bytes} bytes are more than any value has")]
    TooLarge {
        /// The length claimed.
        bytes: usize,
    },
    /// Bytes behind the end.
    #[error("{0} bytes too many")]
    TrailingBytes(usize),
    /// A bit has changed since the value was written.
    #[error("checksum mismatch")]
    Checksum,
    /// The lengths of payloads or parts do not add up.
    #[error("payload lengths do not add up")]
    Lengths,
    /// The header is not one of the type asked for.
    #[error("undecodable header: {0}")]
    Header(String),
}

/// Encodes a value, its payloads beside the header.
pub fn encode<T: Serialize + Payloads + Clone>(value: &T) -> Bytes {
    let payloads = payloads_of(&mut value.clone());
    // A payload serialises as nothing, so it does not matter that they are still in there.
    assemble(value, &payloads, Kind::WithPayloads)
}

fn payloads_of<T: Payloads>(value: &mut T) -> Vec<Bytes> {
    let mut payloads = Vec::new();
    value.visit_payloads(&mut |payload: &mut Payload| payloads.push(std::mem::take(&mut payload.0)));
    payloads
}

/// Memory is taken in pieces of this size.
const PIECE_BYTES: usize = 64 << 10;

/// Encodes many small values that go together: they share memory, which is free when the last of them is gone.
#[derive(Debug, Default)]
pub struct Encoder {
    /// The value that is being put together.
    value: Vec<u8>,
    piece: BytesMut,
}

impl Encoder {
    /// The same bytes as [`encode`].
    pub fn encode<T: Serialize + Payloads>(&mut self, mut value: T) -> Bytes {
        let payloads = payloads_of(&mut value);
        self.value.clear();
        envelope::begin_in(&mut self.value);
        assemble_in(&value, &payloads, &mut self.value);
        envelope::seal(&mut self.value, Kind::WithPayloads);
        if self.value.len() > PIECE_BYTES {
            return Bytes::from(std::mem::take(&mut self.value));
        }
        let value = std::mem::take(&mut self.value);
        let bytes = self.copy(&value);
        self.value = value;
        bytes
    }

    /// Bytes as they are, in the same memory.
    pub fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if self.piece.capacity() < bytes.len() {
            self.piece = BytesMut::with_capacity(PIECE_BYTES.max(bytes.len()));
        }
        self.piece.extend_from_slice(bytes);
        self.piece.split().freeze()
    }
}

/// Decodes what [`encode`] made. Payloads are slices of `bytes`.
///
/// # Errors
/// Anything that [`encode`] did not make for this type.
pub fn decode<T: DeserializeOwned + Payloads>(bytes: Bytes) -> Result<T, CodecError> {
    let (mut value, payloads): (T, _) = disassemble(&bytes, Kind::WithPayloads)?;
    let mut payloads = payloads.into_iter();
    let mut missing = false;
    value.visit_payloads(&mut |payload: &mut Payload| match payloads.next() {
        Some(bytes) => payload.0 = bytes,
        None => missing = true,
    });
    if missing || payloads.next().is_some() {
        return Err(CodecError::Lengths);
    }
    Ok(value)
}

/// Encodes a value that holds no payloads.
pub fn encode_plain<T: Serialize + ?Sized>(value: &T) -> Bytes {
    let mut buffer = envelope::begin(HEADER_BYTES_EXPECTED);
    append(value, &mut buffer);
    envelope::finish(buffer, Kind::Plain)
}

/// Decodes what [`encode_plain`] made.
///
/// # Errors
/// Anything that [`encode_plain`] did not make for this type.
pub fn decode_plain<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let body = envelope::open(bytes, Kind::Plain)?;
    let (value, used) = read(body)?;
    if used != body.len() {
        return Err(CodecError::TrailingBytes(body.len() - used));
    }
    Ok(value)
}

/// Size of the value that starts at the front of `bytes`, which may go on behind it. `None` when there is none.
pub(crate) fn framed_bytes(bytes: &[u8]) -> Option<usize> {
    envelope::framed_bytes(bytes)
}

/// Puts encoded parts behind a header without looking into them.
pub fn join<H: Serialize + ?Sized>(header: &H, parts: &[Bytes]) -> Bytes {
    assemble(header, parts, Kind::Parts)
}

/// Takes apart what [`join`] made. The parts are slices of `bytes`.
///
/// # Errors
/// Anything that [`join`] did not make with this type of header.
pub fn split<H: DeserializeOwned>(bytes: Bytes) -> Result<(H, Vec<Bytes>), CodecError> {
    disassemble(&bytes, Kind::Parts)
}

fn assemble<H: Serialize + ?Sized>(header: &H, parts: &[Bytes], kind: Kind) -> Bytes {
    let part_bytes: usize = parts.iter().map(Bytes::len).sum();
    let mut buffer = envelope::begin(HEADER_BYTES_EXPECTED + 5 * parts.len() + part_bytes);
    assemble_in(header, parts, &mut buffer);
    envelope::finish(buffer, kind)
}

fn assemble_in<H: Serialize + ?Sized>(header: &H, parts: &[Bytes], buffer: &mut Vec<u8>) {
    append(header, buffer);
    let lengths: Vec<u64> = parts.iter().map(|part| part.len() as u64).collect();
    append(&lengths, buffer);
    for part in parts {
        buffer.extend_from_slice(part);
    }
}

fn disassemble<H: DeserializeOwned>(bytes: &Bytes, kind: Kind) -> Result<(H, Vec<Bytes>), CodecError> {
    let body = envelope::open(bytes, kind)?;
    let (header, header_bytes) = read::<H>(body)?;
    let (lengths, length_bytes) = read::<Vec<u64>>(&body[header_bytes..])?;
    let mut at = envelope::HEADER_BYTES + header_bytes + length_bytes;
    let mut parts = Vec::with_capacity(lengths.len());
    for length in lengths {
        let end = usize::try_from(length).ok().and_then(|length| at.checked_add(length));
        let end = end.filter(|end| *end <= bytes.len()).ok_or(CodecError::Lengths)?;
        parts.push(bytes.slice(at..end));
        at = end;
    }
    if at != bytes.len() {
        return Err(CodecError::Lengths);
    }
    Ok((header, parts))
}

fn append<T: Serialize + ?Sized>(value: &T, buffer: &mut Vec<u8>) {
    bincode::serde::encode_into_std_write(value, buffer, CONFIG)
        .expect("plain data into memory: no type of ours refuses to be written, and memory does not run full");
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), CodecError> {
    bincode::serde::decode_from_slice(bytes, CONFIG).map_err(|error| CodecError::Header(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        name: String,
        first: Option<Payload>,
        number: u64,
        rest: Vec<Payload>,
    }

    impl Payloads for Sample {
        fn visit_payloads(&mut self, visit: &mut dyn FnMut(&mut Payload)) {
            self.first.visit_payloads(visit);
            self.rest.visit_payloads(visit);
        }
    }

    fn sample() -> Sample {
        Sample {
            name: "n".into(),
            first: Some(Payload::from("hello")),
            number: 300,
            rest: vec![Payload::default(), Payload::from(vec![7; 70_000])],
        }
    }

    /// Format 1 as it was released. Never edited: a change of format gets a version and a file of its own.
    #[test]
    fn format_1_reads_and_writes_as_released() {
        let frozen = crate::fixture::lines(include_str!("../testdata/envelope_v1.hex"));
        let value = Sample { rest: vec![Payload::from("abc")], ..sample() };
        assert_eq!(frozen["payloads"], encode(&value));
        assert_eq!(decode::<Sample>(frozen["payloads"].clone()).unwrap(), value);
        assert_eq!(frozen["plain"], encode_plain(&(1_u8, 70_000_u64, "text")));
        assert_eq!(decode_plain::<(u8, u64, String)>(&frozen["plain"]).unwrap(), (1, 70_000, "text".into()));
        let parts = vec![Bytes::from_static(b"one"), Bytes::new()];
        assert_eq!(frozen["parts"], join(&(5_u64, 6_u32), &parts));
        assert_eq!(split::<(u64, u32)>(frozen["parts"].clone()).unwrap(), ((5, 6), parts));
    }

    #[test]
    fn values_that_share_memory_are_the_same_bytes() {
        let mut encoder = Encoder::default();
        let small = Sample { rest: vec![Payload::from("abc")], ..sample() };
        let (mut encoded, mut copied) = (Vec::new(), Vec::new());
        for _ in 0..2 * PIECE_BYTES / 64 {
            encoded.push(encoder.encode(small.clone()));
            copied.push(encoder.copy(b"key"));
        }
        assert!(encoded.iter().all(|bytes| *bytes == encode(&small)));
        assert!(copied.iter().all(|bytes| *bytes == b"key"[..]));
        assert_eq!(encoder.encode(sample()), encode(&sample()), "larger than a piece");
        let large = vec![1; 2 * PIECE_BYTES];
        assert_eq!(encoder.copy(&large), large);
    }

    #[test]
    fn payloads_come_back_without_being_copied() {
        let bytes = encode(&sample());
        let back: Sample = decode(bytes.clone()).unwrap();
        assert_eq!(back, sample());
        let inside = bytes.as_ptr_range();
        assert!(inside.contains(&back.rest[1].0.as_ptr()), "the payload is a slice of the buffer");
    }

    #[test]
    fn an_absent_payload_is_not_an_empty_one() {
        let absent = Sample { first: None, ..sample() };
        let empty = Sample { first: Some(Payload::default()), ..sample() };
        assert_eq!(decode::<Sample>(encode(&absent)).unwrap(), absent);
        assert_eq!(decode::<Sample>(encode(&empty)).unwrap(), empty);
    }

    #[test]
    fn join_and_split_are_inverse_and_share_the_bytes() {
        let parts = vec![encode(&sample()), Bytes::new(), Bytes::from_static(b"x")];
        let joined = join(&(1_u64, 2_u32), &parts);
        let (header, back) = split::<(u64, u32)>(joined.clone()).unwrap();
        assert_eq!(header, (1, 2));
        assert_eq!(back, parts);
        assert!(joined.as_ptr_range().contains(&back[0].as_ptr()));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let bytes = encode(&Sample { rest: vec![Payload::from("abc")], ..sample() });
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<Sample>(damaged.into()).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(decode::<Sample>(bytes.slice(..cut)).is_err(), "cut at {cut}");
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert_eq!(decode::<Sample>(longer.into()), Err(CodecError::TrailingBytes(1)));
    }

    #[test]
    fn a_value_of_another_kind_or_version_is_refused() {
        assert!(matches!(decode_plain::<u64>(&join(&1_u64, &[])), Err(CodecError::Kind { .. })));
        let mut newer = encode_plain(&1_u64).to_vec();
        newer[2] = FORMAT_VERSION + 1;
        assert_eq!(decode_plain::<u64>(&newer), Err(CodecError::Version(FORMAT_VERSION + 1)));
        newer[0] ^= 1;
        assert_eq!(decode_plain::<u64>(&newer), Err(CodecError::Magic));
    }

    #[test]
    fn a_header_of_another_type_is_refused() {
        assert!(matches!(decode_plain::<String>(&encode_plain(&300_u64)), Err(CodecError::Header(_))));
        assert_eq!(decode_plain::<u8>(&encode_plain(&(1_u8, 2_u8))), Err(CodecError::TrailingBytes(1)));
        assert_eq!(
            decode::<Sample>(assemble(
                &Sample { first: None, rest: vec![], ..sample() },
                &[Bytes::from_static(b"x")],
                Kind::WithPayloads
            )),
            Err(CodecError::Lengths),
        );
    }

    #[test]
    fn lengths_that_do_not_add_up_are_refused() {
        for lengths in [vec![4_u64], vec![2], vec![u64::MAX], vec![u64::MAX, 4]] {
            let mut buffer = envelope::begin(0);
            append(&7_u64, &mut buffer);
            append(&lengths, &mut buffer);
            buffer.extend_from_slice(b"abc");
            assert_eq!(split::<u64>(envelope::finish(buffer, Kind::Parts)), Err(CodecError::Lengths), "{lengths:?}");
        }
    }
}
