//! Reads the log-structured files of RocksDB (write-ahead logs, manifests) before RocksDB does.
//!
//! RocksDB cannot be asked "is anything missing?". Even in its strictest recovery mode a single flipped bit can make it
//! take the rest of a file for leftovers of a recycled one and open with less (type 1 becomes 5 in the first record), or
//! for a torn tail (a length that points behind the end), or read the same record for ever (type 1 becomes 5 later on).
//! So we look first: every fragment of such a file carries its own checksum.
//!
//! Our writers sync every record before they write the next one. Therefore only the *last* record can be torn, and
//! damage that is followed by the start of another record is no torn tail.
//!
//! ```text
//! block of 32 KiB: fragment*, padding below 7 bytes
//! fragment: masked crc32c (4) | length (2) | type (1) | payload     types: full 1, first 2, middle 3, last 4
//! ```
//!
//! **Invariant:** this module only reads.

use std::fs;
use std::path::Path;

const BLOCK_BYTES: usize = 32 * 1024;
const HEADER_BYTES: usize = 7;
const CHECKSUM_MASK_DELTA: u32 = 0xa282_ead8;

const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;
const RECYCLED: std::ops::RangeInclusive<u8> = 5..=8;

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a whole record.
    Whole,
    /// With a record that is not whole, from this offset on.
    Torn {
        /// Offset of the first byte that cannot be used.
        at: usize,
    },
}

/// A file that lost something it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unreadable at byte {at}, yet another record starts at byte {next}")]
pub(crate) struct Damage {
    at: usize,
    next: usize,
}

/// Looks through the manifest that RocksDB is about to read in `dir`. None at all is fine: the database is new.
pub(crate) fn check_manifest(dir: &Path) -> Result<(), String> {
    let Ok(current) = fs::read_to_string(dir.join("CURRENT")) else { return Ok(()) };
    let name = current.trim_end();
    if !name.starts_with("MANIFEST-") || name.contains('/') {
        return Err(format!("CURRENT names {name:?}"));
    }
    let bytes = fs::read(dir.join(name)).map_err(|error| format!("{name}: {error}"))?;
    scan(&bytes, |_| {}).map_err(|damage| format!("{name}: {damage}"))?;
    Ok(())
}

struct Fragment<'a> {
    kind: u8,
    payload: &'a [u8],
    bytes: usize,
}

/// Walks through a file; calls `on_record` with the front of each whole record (its first fragment).
pub(crate) fn scan<'a>(file: &'a [u8], mut on_record: impl FnMut(&'a [u8])) -> Result<End, Damage> {
    let mut at = 0;
    let mut open: Option<(usize, &[u8])> = None;
    while at < file.len() {
        let left_in_block = BLOCK_BYTES - at % BLOCK_BYTES;
        if left_in_block < HEADER_BYTES {
            at += left_in_block.min(file.len() - at);
            continue;
        }
        let Some(fragment) = fragment_at(file, at) else { return torn(file, open, at) };
        match (fragment.kind, open) {
            (FULL, None) => on_record(fragment.payload),
            (FIRST, None) => open = Some((at, fragment.payload)),
            (MIDDLE, Some(_)) => {}
            (LAST, Some((_, front))) => {
                on_record(front);
                open = None;
            }
            (FULL | FIRST, Some((start, _))) => return Err(Damage { at: start, next: at }),
            (MIDDLE | LAST, None) => return torn(file, None, at),
            // What RocksDB notes about the file itself.
            _ => {}
        }
        at += fragment.bytes;
    }
    match open {
        Some((start, _)) => Ok(End::Torn { at: start }),
        None => Ok(End::Whole),
    }
}

/// Decides what an unreadable place is: the torn last record, or damage in the middle.
fn torn(file: &[u8], open: Option<(usize, &[u8])>, at: usize) -> Result<End, Damage> {
    let start = open.map_or(at, |(start, _)| start);
    match next_record_start(file, at + 1) {
        Some(next) => Err(Damage { at, next }),
        None => Ok(End::Torn { at: start }),
    }
}

/// Looks for the start of a record at *every* byte: a damaged length says nothing about where the next one is.
fn next_record_start(file: &[u8], from: usize) -> Option<usize> {
    (from..file.len()).find(|at| {
        let kind = file.get(at + 6).copied();
        matches!(kind, Some(FULL | FIRST))
            && fragment_at(file, *at).is_some_and(|fragment| !fragment.payload.is_empty())
    })
}

/// The fragment at an offset, if its length fits into its block and its checksum is right.
fn fragment_at(file: &[u8], at: usize) -> Option<Fragment<'_>> {
    let block_end = file.len().min((at / BLOCK_BYTES + 1) * BLOCK_BYTES);
    let bytes = &file[at..block_end];
    if bytes.len() < HEADER_BYTES {
        return None;
    }
    let stored = u32::from_le_bytes(bytes[0..4].try_into().expect("four bytes"));
    let length = usize::from(u16::from_le_bytes([bytes[4], bytes[5]]));
    let kind = bytes[6];
    let end = HEADER_BYTES + length;
    // We never recycle files, so a recycled type is a flipped bit.
    if kind == 0 || RECYCLED.contains(&kind) || end > bytes.len() {
        return None;
    }
    let checksum = crc32c::crc32c(&bytes[6..end]);
    let masked = checksum.rotate_right(15).wrapping_add(CHECKSUM_MASK_DELTA);
    (masked == stored).then(|| Fragment { kind, payload: &bytes[HEADER_BYTES..end], bytes: end })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn push_fragment(file: &mut Vec<u8>, kind: u8, payload: &[u8]) {
        let mut checked = vec![kind];
        checked.extend_from_slice(payload);
        let masked = crc32c::crc32c(&checked).rotate_right(15).wrapping_add(CHECKSUM_MASK_DELTA);
        file.extend_from_slice(&masked.to_le_bytes());
        file.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_le_bytes());
        file.extend_from_slice(&checked);
    }

    /// Writes records the way RocksDB does.
    pub(crate) fn file_of(records: &[Vec<u8>]) -> Vec<u8> {
        let mut file = Vec::new();
        for record in records {
            let mut rest = &record[..];
            let mut first = true;
            loop {
                let left = BLOCK_BYTES - file.len() % BLOCK_BYTES;
                if left < HEADER_BYTES {
                    file.resize(file.len() + left, 0);
                    continue;
                }
                let take = rest.len().min(left - HEADER_BYTES);
                let last = take == rest.len();
                let kind = match (first, last) {
                    (true, true) => FULL,
                    (true, false) => FIRST,
                    (false, false) => MIDDLE,
                    (false, true) => LAST,
                };
                push_fragment(&mut file, kind, &rest[..take]);
                (rest, first) = (&rest[take..], false);
                if last {
                    break;
                }
            }
        }
        file
    }

    fn fronts(file: &[u8]) -> (Vec<u8>, Result<End, Damage>) {
        let mut seen = Vec::new();
        let end = scan(file, |front| seen.push(front[0]));
        (seen, end)
    }

    fn sample() -> Vec<Vec<u8>> {
        [(100, 0x41), (100_000, 0x42), (20, 0x43), (40_000, 0x44), (300, 0x45)]
            .map(|(bytes, byte)| vec![byte; bytes])
            .into()
    }

    #[test]
    fn whole_records_are_seen_in_order() {
        let (seen, end) = fronts(&file_of(&sample()));
        assert_eq!(seen, *b"ABCDE");
        assert_eq!(end, Ok(End::Whole));
        assert_eq!(fronts(&[]), (vec![], Ok(End::Whole)));
    }

    #[test]
    fn a_cut_anywhere_is_a_torn_tail() {
        let file = file_of(&sample());
        for cut in (0..file.len()).step_by(97).chain(file.len() - 310..file.len()) {
            let (seen, end) = fronts(&file[..cut]);
            assert!(b"ABCDE".starts_with(&seen), "a prefix, at {cut}");
            assert!(end.is_ok(), "cut at {cut}: {end:?}");
        }
    }

    #[test]
    fn a_flipped_bit_before_the_last_record_is_damage() {
        let file = file_of(&sample());
        let last = file.len() - 307;
        let harmless = |at: usize| BLOCK_BYTES - at % BLOCK_BYTES < HEADER_BYTES;
        for at in (0..last).step_by(211).chain(0..16).filter(|at| !harmless(*at)) {
            for bit in 0..8 {
                let mut damaged = file.clone();
                damaged[at] ^= 1 << bit;
                assert!(fronts(&damaged).1.is_err(), "byte {at}, bit {bit}");
            }
        }
        for at in last..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert_eq!(fronts(&damaged), (b"ABCD".to_vec(), Ok(End::Torn { at: last })), "byte {at}");
        }
    }

    #[test]
    fn zeros_behind_the_last_record_are_a_torn_tail() {
        let mut file = file_of(&sample());
        let end = file.len();
        file.resize(end + 100_000, 0);
        assert_eq!(fronts(&file).1, Ok(End::Torn { at: end }));
    }
}
