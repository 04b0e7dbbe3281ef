//! What the write-ahead logs of the log database physically hold.
//!
//! Read before RocksDB reads them, and compared with what it recovered: see [`crate::rocks_files`] for why.

use std::fs;
use std::path::Path;

use crate::rocks_files::{self, End};
use crate::{Error, files};

/// Sequence number and count at the front of every record of a write-ahead log.
const BATCH_HEADER_BYTES: usize = 12;

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WalContent {
    /// Whether the last record is torn and may be cut.
    pub(crate) torn: bool,
    /// The sequence number behind the last whole record; 0 when there is none.
    pub(crate) next_sequence: u64,
}

/// Looks through all write-ahead logs and the manifest in `dir`. An absent directory is an empty one.
pub(crate) fn check(dir: &Path) -> Result<WalContent, Error> {
    let mut content = WalContent::default();
    if !dir.exists() {
        return Ok(content);
    }
    let names = files::names(dir)?;
    rocks_files::check_manifest(dir).map_err(|why| damaged(dir, why))?;
    for name in names.iter().filter(|name| is_wal(name)) {
        check_wal(dir, name, &mut content)?;
    }
    Ok(content)
}

fn check_wal(dir: &Path, name: &str, content: &mut WalContent) -> Result<(), Error> {
    let bytes = read(dir, name)?;
    // A record in a file behind a torn one means that the torn one was recovered before. Then numbering goes on where
    // the whole records ended, unless the torn record once counted.
    let mut behind_torn = content.torn.then_some(content.next_sequence);
    let mut gap = None;
    let end = rocks_files::scan(&bytes, |front| {
        let Some((sequence, count)) = batch_header(front) else { return };
        if let Some(expected) = behind_torn.take() {
            content.torn = false;
            gap = (expected != 0 && sequence != expected).then_some((expected, sequence));
        }
        content.next_sequence = content.next_sequence.max(sequence + count);
    })
    .map_err(|damage| damaged(dir, format!("{name}: {damage}")))?;
    if let Some((expected, found)) = gap {
        return Err(damaged(
            dir,
            format!("{name} starts with write {found}, write {expected} before it is unreadable"),
        ));
    }
    if let End::Torn { at } = end {
        tracing::warn!(file = name, at, "the last write of the log is torn");
        content.torn = true;
    }
    Ok(())
}

fn batch_header(front: &[u8]) -> Option<(u64, u64)> {
    let header = front.get(..BATCH_HEADER_BYTES)?;
    let sequence = u64::from_le_bytes(header[0..8].try_into().expect("eight bytes"));
    let count = u32::from_le_bytes(header[8..12].try_into().expect("four bytes"));
    Some((sequence, u64::from(count)))
}

fn is_wal(name: &str) -> bool {
    name.strip_suffix(".log").is_some_and(|number| !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit()))
}

/// A write-ahead log is bounded by the size of the memtables, so it is read as a whole.
fn read(dir: &Path, name: &str) -> Result<Vec<u8>, Error> {
    fs::read(dir.join(name)).map_err(|error| damaged(dir, format!("{name}: {error}")))
}

fn damaged(dir: &Path, why: String) -> Error {
    Error::DamagedLog { dir: dir.to_path_buf(), why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rocks_files::tests::file_of;

    /// Records of two writes each, numbered from `sequence`.
    fn records(sequence: u64, count: u64) -> Vec<Vec<u8>> {
        (0..count)
            .map(|n| [&(sequence + 2 * n).to_le_bytes()[..], &2_u32.to_le_bytes()[..], &[0xAA; 50][..]].concat())
            .collect()
    }

    fn check_files(files: &[(&str, &[u8])]) -> Result<WalContent, Error> {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        check(dir.path())
    }

    #[test]
    fn the_last_sequence_number_is_found_across_files() {
        let (first, second) = (file_of(&records(1, 3)), file_of(&records(7, 2)));
        let content = check_files(&[("000004.log", &first), ("000008.log", &second), ("LOG", b"diary")]).unwrap();
        assert_eq!(content, WalContent { torn: false, next_sequence: 11 });
        assert_eq!(check_files(&[]).unwrap(), WalContent::default());
    }

    #[test]
    fn a_torn_file_was_recovered_before_if_the_next_goes_on_where_it_ended() {
        let first = file_of(&records(1, 3));
        let torn = &first[..first.len() - 10];
        let alone = check_files(&[("000004.log", torn)]).unwrap();
        assert_eq!(alone, WalContent { torn: true, next_sequence: 5 });
        let empty_behind = check_files(&[("000004.log", torn), ("000008.log", b"")]).unwrap();
        assert_eq!(empty_behind, alone);
        let continued = check_files(&[("000004.log", torn), ("000008.log", &file_of(&records(5, 1)))]).unwrap();
        assert_eq!(continued, WalContent { torn: false, next_sequence: 7 });
        let gap = check_files(&[("000004.log", torn), ("000008.log", &file_of(&records(7, 1)))]);
        assert!(matches!(gap, Err(Error::DamagedLog { .. })), "{gap:?}");
    }
}
