//! Directories that are made or changed while no node runs, and rows that change hands.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use flame_storage::{
    BackupHeader, BackupReader, BackupSource, DataDir, Error, Expected, MemberNode, Membership, SnapshotHandle, Space,
    StateOptions, StateStore, StoredMembership, Write,
};
use flame_types::{CoordinatorId, Generation, LogIndex, WallMs};

use crate::directory::{expected, log_id, open, open_log, scratch};

const LEVELS: std::ops::RangeInclusive<u32> = 1..=1;

fn other_cluster() -> Expected {
    Expected { cluster_id: "other".into(), node: CoordinatorId(7), levels: LEVELS }
}

fn alone(id: u64, at: u64) -> StoredMembership {
    let membership = Membership::new(vec![BTreeSet::from([id])], BTreeMap::from([(id, MemberNode::default())]));
    StoredMembership::new(Some(log_id(1, at)), membership.unwrap())
}

fn row(key: &'static str) -> Write {
    Write::Put { space: Space::Live, key: Bytes::from(key), value: Bytes::from_static(b"value") }
}

#[test]
fn a_restore_begins_with_nothing_and_can_be_given_again() {
    let root = scratch();
    let data = DataDir::begin_restore(root.path(), &expected()).unwrap();
    std::fs::write(data.root().join("half"), "done").unwrap();
    drop(data);
    let unfinished = open(root.path()).unwrap_err();
    assert!(matches!(&unfinished, Error::Unfinished { what, .. } if what == "restore"), "{unfinished}");
    assert!(matches!(DataDir::open_as_found(root.path(), &LEVELS), Err(Error::Unfinished { .. })));

    let again = DataDir::begin_restore(root.path(), &other_cluster()).unwrap();
    assert!(!again.root().join("half").exists());
    drop(open_log_in(&again));
    again.finish().unwrap();
    drop(again);
    assert!(matches!(DataDir::begin_restore(root.path(), &other_cluster()), Err(Error::HoldsData(_))));
    let data = DataDir::open(root.path(), &other_cluster()).unwrap();
    assert_eq!(data.identity().cluster_id(), "other");
}

fn open_log_in(data: &DataDir) -> flame_storage::RocksLog {
    flame_storage::RocksLog::open(data, crate::directory::fast()).unwrap()
}

#[test]
fn a_directory_with_anything_in_it_is_not_restored_into() {
    let root = scratch();
    std::fs::write(root.path().join("notes.txt"), "mine").unwrap();
    assert!(matches!(DataDir::begin_restore(root.path(), &expected()), Err(Error::HoldsData(_))));
    assert!(root.path().join("notes.txt").exists());
    let mounted = scratch();
    std::fs::create_dir(mounted.path().join("lost+found")).unwrap();
    drop(DataDir::begin_restore(mounted.path(), &expected()).unwrap());
}

#[test]
fn a_directory_is_opened_as_it_is_found_unless_it_is_none_or_in_use() {
    let root = scratch();
    assert!(matches!(DataDir::open_as_found(root.path(), &LEVELS), Err(Error::NoData(_))));
    let missing = root.path().join("missing");
    assert!(matches!(DataDir::open_as_found(&missing, &LEVELS), Err(Error::NoData(_))));
    assert!(!missing.exists(), "to look makes nothing");

    let log = open_log(root.path(), crate::directory::fast()).unwrap();
    assert!(matches!(DataDir::open_as_found(root.path(), &LEVELS), Err(Error::AlreadyOpen(_))));
    drop(log);
    let found = DataDir::open_as_found(root.path(), &LEVELS).unwrap();
    assert_eq!((found.identity().cluster_id(), found.identity().node()), ("test".to_owned(), CoordinatorId(1)));
    found.begin_recovery().unwrap();
    found.identity().set_members_from(LogIndex(4)).unwrap();
    drop(found);
    assert!(matches!(open(root.path()), Err(Error::Unfinished { .. })));
    let found = DataDir::open_as_found(root.path(), &LEVELS).unwrap();
    assert_eq!(found.identity().members_from(), Some(LogIndex(4)));
    found.finish().unwrap();
    drop(found);
    assert_eq!(open(root.path()).unwrap().identity().members_from(), Some(LogIndex(4)));
}

#[test]
fn rows_that_are_adopted_know_their_new_members_only() {
    let root = scratch();
    let store = StateStore::open(root.path().join("state"), StateOptions::default()).unwrap();
    assert!(matches!(store.adopt(&alone(2, 1)), Err(Error::Refused(_))), "there is nothing yet");
    store.write(&[row("a")], log_id(1, 1), Some(&alone(9, 1))).unwrap();
    assert_eq!(store.highest_member(), 9);
    store.adopt(&alone(2, 1)).unwrap();
    assert_eq!((store.highest_member(), store.applied()), (2, (Some(log_id(1, 1)), alone(2, 1))));
    drop(store);
    let again = StateStore::open(root.path().join("state"), StateOptions::default()).unwrap();
    assert_eq!((again.highest_member(), again.applied()), (2, (Some(log_id(1, 1)), alone(2, 1))), "it was flushed");
}

#[test]
fn a_backup_of_rows_that_are_written_on_holds_one_moment() {
    let root = scratch();
    let store = StateStore::open(root.path().join("state"), StateOptions::default()).unwrap();
    store.write(&[row("a"), row("b")], log_id(1, 1), Some(&alone(1, 1))).unwrap();
    let (dir, mut seen) = (root.path().join("checkpoint"), Vec::new());
    let manifest = store.checkpoint_visiting(&dir, &mut |key, _| seen.push(key.to_vec())).unwrap();
    store.write(&[row("c")], log_id(1, 2), None).unwrap();
    assert_eq!(seen, [b"a".to_vec(), b"b".to_vec()]);

    let header = BackupHeader {
        cluster_id: "test".into(),
        node: CoordinatorId(1),
        taken: WallMs(0),
        version: "0".into(),
        feature_level: 1,
        generation: Generation(0),
        confirmed: true,
        digest: 0,
        manifest,
    };
    let mut source = BackupSource::new(header, SnapshotHandle::temporary(dir.clone()));
    let mut bytes = Vec::new();
    while let Some(piece) = source.next_piece().unwrap() {
        bytes.extend_from_slice(&piece);
    }
    drop(source);
    assert!(!dir.exists(), "its files go with it");
    let unpacked = root.path().join("unpacked");
    BackupReader::open(bytes.as_slice()).unwrap().unpack(&unpacked).unwrap();
    let restored = StateStore::open(root.path().join("restored"), StateOptions::default()).unwrap();
    restored.install(&unpacked).unwrap();
    assert_eq!(restored.applied().0, Some(log_id(1, 1)));
    let keys: Vec<_> = restored.scan_live().map(|row| row.unwrap().0).collect();
    assert_eq!(keys, [&b"a"[..], b"b"]);
}
