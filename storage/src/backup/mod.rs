//! A backup: everything that a snapshot holds in one file, with what tells whether it is whole and whose it is.
//!
//! ```text
//! magic, format    12 bytes
//! header           a value: whose it is, what it stands for, and the manifest of the snapshot
//! block …          values: up to 1 MiB of a file of the snapshot, file after file as the manifest lists them
//! trailer          a value: how much came before it, and its checksum
//! ```
//!
//! The values are those of [`codec`], each with its own length and checksum. Files and manifest are those of a
//! [`snapshot`](crate::snapshot): who unpacks a backup has one.
//!
//! **Invariant:** a file without its trailer, or with anything behind it, is no backup.
//! **Invariant:** nothing of a block is written before its checksum was looked at.
//! **Invariant:** the layout never changes. What changes is the format, and every format has a frozen fixture.

mod reader;
mod source;

use bytes::Bytes;
use flame_types::{CoordinatorId, Generation, WallMs};
use serde::{Deserialize, Serialize};

pub use reader::BackupReader;
pub use source::BackupSource;

use crate::{Error, SnapshotManifest, codec};

/// The format this program writes, and the newest it reads.
pub const BACKUP_FORMAT: u32 = 1;

/// Most bytes of a file in one block.
pub const BLOCK_BYTES_MAX: usize = 1 << 20;

/// How every backup begins.
const MAGIC: [u8; 8] = *b"FLAMEBKP";

/// Magic and format.
const BEGINNING_BYTES: usize = MAGIC.len() + size_of::<u32>();

/// Whose backup it is and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupHeader {
    /// The cluster.
    pub cluster_id: String,
    /// The coordinator from whose disk it was taken.
    pub node: CoordinatorId,
    /// When, for people.
    pub taken: WallMs,
    /// The release that has taken it.
    pub version: String,
    /// The feature level at which the cluster ran.
    pub feature_level: u32,
    /// How often the state had been restored or recovered before.
    pub generation: Generation,
    /// Whether a majority has confirmed that it holds everything that was acknowledged before it was asked for.
    pub confirmed: bool,
    /// The digest of the state.
    pub digest: u128,
    /// The entry it stands for, the membership at that entry, and the files.
    pub manifest: SnapshotManifest,
}

/// Where the bytes of a block belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct BlockHeader {
    /// Number of the file in the manifest.
    file: u32,
    offset: u64,
}

/// What came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Trailer {
    blocks: u64,
    bytes: u64,
    crc32c: u32,
}

/// How many bytes have passed, and their checksum.
#[derive(Clone, Copy, Debug, Default)]
struct Passed {
    bytes: u64,
    crc32c: u32,
}

impl Passed {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
    }
}

/// Everything before the first block.
fn beginning(header: &BackupHeader) -> Bytes {
    let mut bytes = Vec::from(MAGIC);
    bytes.extend_from_slice(&BACKUP_FORMAT.to_le_bytes());
    bytes.extend_from_slice(&codec::encode_plain(header));
    Bytes::from(bytes)
}

fn bad(why: impl Into<String>) -> Error {
    Error::BadBackup(why.into())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use super::*;
    use crate::snapshot::{ROWS, SnapshotHandle};
    use crate::{LogId, MemberNode, Membership, SnapshotFile, StoredMembership};

    fn members() -> StoredMembership {
        let node = |name: &str| MemberNode { peer: format!("{name}:8082"), ..MemberNode::default() };
        let nodes = BTreeMap::from([(1, node("a")), (2, node("b"))]);
        let membership = Membership::new(vec![BTreeSet::from([1, 2])], nodes).unwrap();
        StoredMembership::new(Some(LogId::new_term_index(2, 5)), membership)
    }

    fn header(manifest: SnapshotManifest) -> BackupHeader {
        BackupHeader {
            cluster_id: "prod".into(),
            node: CoordinatorId(2),
            taken: WallMs(1_795_000_000_000),
            version: "0.1.0".into(),
            feature_level: 1,
            generation: Generation(0),
            confirmed: true,
            digest: 0x0123_4567_89ab_cdef_0011_2233_4455_6677,
            manifest,
        }
    }

    /// A snapshot directory with an empty file, a small one and one of more than a block.
    fn source(dir: &Path) -> BackupSource {
        std::fs::create_dir_all(dir.join(ROWS)).unwrap();
        for (name, bytes) in [("000001.sst", 0), ("000002.sst", 100), ("000003.sst", BLOCK_BYTES_MAX + 5)] {
            let content: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
            std::fs::write(dir.join(ROWS).join(name), content).unwrap();
        }
        let manifest = SnapshotManifest::write(dir, Some(LogId::new_term_index(3, 99)), members()).unwrap();
        BackupSource::new(header(manifest), SnapshotHandle::kept(dir.to_path_buf()))
    }

    fn whole(mut source: BackupSource) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(piece) = source.next_piece().unwrap() {
            bytes.extend_from_slice(&piece);
        }
        assert_eq!(source.passed(), (bytes.len() as u64, crc32c::crc32c(&bytes)));
        bytes
    }

    fn unpack(bytes: &[u8], to: &Path) -> Result<BackupHeader, Error> {
        BackupReader::open(bytes)?.unpack(to)
    }

    #[test]
    fn what_is_unpacked_is_the_snapshot() {
        let root = tempfile::tempdir().unwrap();
        let bytes = whole(source(&root.path().join("snapshot")));
        let to = root.path().join("unpacked");
        let header = unpack(&bytes, &to).unwrap();
        assert_eq!(header.manifest, SnapshotManifest::read(&to).unwrap());
        header.manifest.verify(&to).unwrap();
        assert_eq!(BackupReader::open(bytes.as_slice()).unwrap().check().unwrap(), header);
    }

    #[test]
    fn a_cut_anywhere_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let bytes = whole(source(&root.path().join("snapshot")));
        let lengths = [0, 7, 11, 30, 200, bytes.len() / 2, bytes.len() - 30, bytes.len() - 1];
        for length in lengths {
            let error = unpack(&bytes[..length], &root.path().join(length.to_string())).unwrap_err();
            assert!(matches!(&error, Error::BadBackup(why) if why.contains("ends")), "{length}: {error}");
        }
        let longer = [bytes.as_slice(), b"x"].concat();
        assert!(unpack(&longer, &root.path().join("longer")).is_err());
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let bytes = whole(source(&root.path().join("snapshot")));
        let step = bytes.len() / 97;
        for at in (0..bytes.len()).step_by(step).chain([bytes.len() - 1]) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            let error = unpack(&damaged, &root.path().join(format!("at-{at}"))).unwrap_err();
            assert!(matches!(error, Error::BadBackup(_)), "{at}: {error}");
        }
    }

    #[test]
    fn another_file_and_a_newer_format_are_told_apart() {
        let root = tempfile::tempdir().unwrap();
        let error = BackupReader::open(&b"metadata:\n  name: no backup\n"[..]).unwrap_err();
        assert!(error.to_string().contains("not a backup"), "{error}");
        let mut newer = whole(source(&root.path().join("snapshot")));
        newer[MAGIC.len()] = 2;
        let error = BackupReader::open(newer.as_slice()).unwrap_err();
        assert!(error.to_string().contains("format 2") && error.to_string().contains("newer release"), "{error}");
    }

    #[test]
    fn format_1_reads_and_writes_as_released() {
        let files = vec![SnapshotFile { name: "rows/000012.sst".into(), bytes: 7, crc32c: 0x1234_5678 }];
        let manifest = SnapshotManifest { applied: Some(LogId::new_term_index(3, 99)), membership: members(), files };
        let (header, block) = (header(manifest), BlockHeader { file: 1, offset: 1 << 20 });
        let trailer = Trailer { blocks: 3, bytes: 4_000, crc32c: 0x9abc_def0 };
        let data = Bytes::from_static(b"payload");
        let frozen = crate::fixture::lines(include_str!("../../testdata/backup_v1.hex"));
        assert_eq!(frozen["beginning"], beginning(&header));
        assert_eq!(frozen["block"], codec::join(&block, &[data]));
        assert_eq!(frozen["trailer"], codec::encode_plain(&trailer));
        assert_eq!(*BackupReader::open(&frozen["beginning"][..]).unwrap().header(), header);
    }
}
