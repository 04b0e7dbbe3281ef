//! The row store: atomic with its log id, durable at a flush, replaced as a whole.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use flame_storage::{
    Buffers, Cause, Error, Fatal, LogId, MemberNode, Membership, SnapshotHandle, SnapshotManifest, Space, StateOptions,
    StateStore, StoredMembership, Write,
};

type Damage = Box<dyn Fn(&std::path::Path)>;

use crate::directory::{copy_dir, crash_copy, files_ending, flip, log_id, scratch};

fn small() -> StateOptions {
    StateOptions { memtable_bytes: 2 << 20, buffers: Buffers::new(4 << 20, 1 << 20), ..StateOptions::default() }
}

fn open(dir: &std::path::Path) -> StateStore {
    StateStore::open(dir, small()).unwrap()
}

fn put(space: Space, key: &str, value: impl Into<Bytes>) -> Write {
    Write::Put { space, key: Bytes::copy_from_slice(key.as_bytes()), value: value.into() }
}

fn membership(at: LogId) -> StoredMembership {
    let nodes = [(1, MemberNode::default()), (2, MemberNode::default())];
    let membership = Membership::new(vec![[1, 2].into()], std::collections::BTreeMap::from(nodes)).unwrap();
    StoredMembership::new(Some(at), membership)
}

/// Writes entry `index`: a row in each space that says so.
fn write(store: &StateStore, index: u64) {
    let value = Bytes::from(index.to_string());
    let changes = vec![
        put(Space::Live, &format!("live/{index:04}"), value.clone()),
        put(Space::Bulk, &format!("bulk/{index:04}"), value.clone()),
        put(Space::Live, "latest", value),
    ];
    store.write(&changes, log_id(1, index), None).unwrap();
}

fn live(store: &StateStore) -> Vec<(Bytes, Bytes)> {
    store.scan_live().map(Result::unwrap).collect()
}

/// The rows are exactly those of the entries up to the applied one.
fn check_consistent(store: &StateStore) -> u64 {
    let applied = store.applied().0.map_or(0, |applied| applied.index);
    let bulk = store.reader().scan(Space::Bulk, b"", b"", usize::MAX).unwrap();
    assert_eq!(bulk.len() as u64, applied, "bulk rows");
    let live = live(store);
    assert_eq!(live.len() as u64, if applied == 0 { 0 } else { applied + 1 }, "live rows");
    if applied > 0 {
        assert_eq!(store.reader().get(Space::Live, b"latest").unwrap().unwrap(), applied.to_string());
    }
    applied
}

#[test]
fn a_crash_takes_rows_and_log_id_back_together() {
    let root = scratch();
    let store = open(root.path());
    for index in 1..=10 {
        write(&store, index);
    }
    assert_eq!(store.flushed_applied().unwrap(), None);
    assert_eq!(check_consistent(&open(crash_copy(root.path()).path())), 0, "nothing was flushed");
    assert_eq!(store.flush().unwrap(), Some(log_id(1, 10)));
    for index in 11..=20 {
        write(&store, index);
    }
    assert_eq!(store.flushed_applied().unwrap(), Some(log_id(1, 10)), "memtables do not count");
    assert_eq!(check_consistent(&store), 20);
    let copy = crash_copy(root.path());
    let again = open(copy.path());
    assert_eq!(check_consistent(&again), 10);
    assert_eq!(again.flushed_applied().unwrap(), Some(log_id(1, 10)));
}

#[test]
fn background_flushes_are_atomic_and_counted() {
    let root = scratch();
    let store = open(root.path());
    let filler = Bytes::from(vec![7; 20_000]);
    let mut copies = Vec::new();
    for index in 1..=600 {
        let value = Bytes::from(index.to_string());
        let changes = vec![
            put(Space::Live, &format!("live/{index:04}"), value.clone()),
            put(Space::Bulk, &format!("bulk/{index:04}"), filler.clone()),
            put(Space::Live, "latest", value),
        ];
        store.write(&changes, log_id(1, index), None).unwrap();
        if index % 200 == 0 {
            copies.push(crash_copy(root.path()));
        }
    }
    drop(store);
    let mut furthest = 0;
    for copy in copies {
        let store = open(copy.path());
        let applied = check_consistent(&store);
        assert_eq!(store.flushed_applied().unwrap().map_or(0, |flushed| flushed.index), applied);
        furthest = applied.max(furthest);
    }
    assert!(furthest > 0, "nothing was flushed in the background");
}

#[test]
fn after_a_failed_flush_nothing_is_written() {
    let root = scratch();
    let options = small();
    let fatal = options.fatal.clone();
    let store = StateStore::open(root.path(), options).unwrap();
    write(&store, 1);
    let (away, back) = (root.path().join("away"), root.path().join("state-1"));
    fs::rename(&back, &away).unwrap();
    assert!(matches!(store.flush(), Err(Error::Stopped(_))));
    assert!(fatal.cause().unwrap().to_string().contains("flush"));
    // The disk is back; the rows must not believe it.
    fs::rename(&away, &back).unwrap();
    assert!(matches!(store.write(&[], log_id(1, 2), None), Err(Error::Stopped(_))));
    assert!(matches!(store.flush(), Err(Error::Stopped(_))));
    assert!(matches!(store.install(root.path()), Err(Error::Stopped(_))));
    assert_eq!(store.applied().0, Some(log_id(1, 1)));
}

#[test]
fn rows_never_go_back() {
    let root = scratch();
    let store = open(root.path());
    write(&store, 5);
    for older in [log_id(1, 5), log_id(1, 4)] {
        assert!(matches!(store.write(&[put(Space::Live, "x", "y")], older, None), Err(Error::Refused(_))));
    }
    assert_eq!(store.reader().get(Space::Live, b"x").unwrap(), None);
}

#[test]
fn reads_of_every_kind() {
    let root = scratch();
    let store = open(root.path());
    let keys = ["a/1", "a/3", "a/5", "b/1"];
    let changes: Vec<_> = keys.iter().map(|key| put(Space::Bulk, key, format!("row {key}"))).collect();
    store.write(&changes, log_id(1, 1), None).unwrap();
    let reader = store.reader();
    let text = |row: Option<(Bytes, Bytes)>| row.map(|(key, _)| String::from_utf8(key.to_vec()).unwrap());
    let last = |key: &str, prefix| text(reader.last_at_or_before(Space::Bulk, key.as_bytes(), prefix).unwrap());

    assert_eq!(reader.get(Space::Bulk, b"a/3").unwrap().unwrap(), "row a/3");
    assert_eq!(reader.get(Space::Live, b"a/3").unwrap(), None, "spaces are apart");
    let many = reader.multi_get(Space::Bulk, &["b/1", "nothing", "a/1"]).unwrap();
    assert_eq!(many, [Some("row b/1".into()), None, Some("row a/1".into())]);
    assert_eq!(last("a/3", 2).as_deref(), Some("a/3"));
    assert_eq!(last("a/4", 2).as_deref(), Some("a/3"));
    assert_eq!(last("a/9", 2).as_deref(), Some("a/5"));
    assert_eq!(last("a/0", 2), None);
    assert_eq!(last("b/0", 2), None, "the row before has another prefix");
    assert_eq!(last("b/0", 0).as_deref(), Some("a/5"));
    let scan = |from: &[u8], to: &[u8], limit| reader.scan(Space::Bulk, from, to, limit).unwrap().len();
    assert_eq!(scan(b"a/", b"b/", 99), 3);
    assert_eq!(scan(b"a/2", b"", 99), 3);
    assert_eq!(scan(b"a/", b"", 2), 2);

    let changes = vec![
        Write::Delete { space: Space::Bulk, key: Bytes::from_static(b"a/3") },
        Write::DeleteRange { space: Space::Bulk, from: Bytes::from_static(b"a/5"), to: Bytes::from_static(b"b/2") },
    ];
    store.write(&changes, log_id(1, 2), None).unwrap();
    assert_eq!(scan(b"", b"", 99), 1);
}

#[test]
fn live_rows_are_scanned_across_pages() {
    let root = scratch();
    let store = open(root.path());
    let changes: Vec<_> = (0..2500).map(|n| put(Space::Live, &format!("{n:05}"), n.to_string())).collect();
    store.write(&changes, log_id(1, 1), None).unwrap();
    let rows = live(&store);
    assert_eq!(rows.len(), 2500);
    assert!(rows.windows(2).all(|pair| pair[0].0 < pair[1].0));
}

#[test]
fn a_snapshot_carries_rows_log_id_and_membership() {
    let root = scratch();
    let source = open(&root.path().join("source"));
    for index in 1..=7 {
        write(&source, index);
    }
    source.write(&[], log_id(2, 8), Some(&membership(log_id(2, 8)))).unwrap();
    let dir = root.path().join("snapshot");
    let manifest = source.checkpoint(&dir).unwrap();
    assert_eq!(manifest.applied, Some(log_id(2, 8)));
    assert_eq!(manifest.membership, membership(log_id(2, 8)));
    assert_eq!(SnapshotManifest::read(&dir).unwrap(), manifest);
    manifest.verify(&dir).unwrap();
    write_after(&source, 9);

    let target_dir = root.path().join("target");
    let target = open(&target_dir);
    write(&target, 1);
    let reader = target.reader();
    assert_eq!(target.install(&dir).unwrap(), manifest);
    assert_eq!(target.applied(), (Some(log_id(2, 8)), membership(log_id(2, 8))));
    assert_eq!(live(&target).len(), 8);
    assert_eq!(reader.get(Space::Live, b"latest").unwrap().unwrap(), "7", "an old reader sees the new rows");
    assert_eq!(target.flushed_applied().unwrap(), Some(log_id(2, 8)), "an installed snapshot is durable");

    // It survives, and goes on.
    let copy = crash_copy(&target_dir);
    assert_eq!(open(copy.path()).applied().0, Some(log_id(2, 8)));
    write_after(&target, 9);
    drop((target, reader));
    let names = files_ending(&target_dir, "");
    assert_eq!(names.len(), 2, "only CURRENT and the new rows are left: {names:?}");
    assert_eq!(open(&target_dir).applied().0, Some(log_id(2, 9)));
}

fn write_after(store: &StateStore, index: u64) {
    store.write(&[put(Space::Live, "after", index.to_string())], log_id(2, index), None).unwrap();
}

#[test]
fn a_read_that_has_begun_ends_on_the_old_rows() {
    let root = scratch();
    let source = open(&root.path().join("source"));
    write(&source, 1);
    write(&source, 2);
    source.checkpoint(&root.path().join("snapshot")).unwrap();
    let target = open(&root.path().join("target"));
    let changes: Vec<_> = (0..3000).map(|n| put(Space::Live, &format!("{n:05}"), "old")).collect();
    target.write(&changes, log_id(1, 1), None).unwrap();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (reader, stop) = (target.reader(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut rounds = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) || rounds == 0 {
                    let rows = reader.scan(Space::Live, b"", b"", usize::MAX).unwrap();
                    assert!(rows.len() == 3000 || rows.len() == 3, "one database or the other, not {}", rows.len());
                    rounds += 1;
                }
            })
        })
        .collect();
    target.install(&root.path().join("snapshot")).unwrap();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for reader in readers {
        reader.join().unwrap();
    }
    assert_eq!(live(&target).len(), 3);
}

#[test]
fn a_bad_snapshot_changes_nothing() {
    let root = scratch();
    let source = open(&root.path().join("source"));
    for index in 1..=5 {
        write(&source, index);
    }
    let whole = root.path().join("whole");
    source.checkpoint(&whole).unwrap();
    let target_dir = root.path().join("target");
    let target = open(&target_dir);
    write(&target, 1);
    let mut damages: Vec<(String, Damage)> = vec![
        ("no manifest".into(), Box::new(|dir| fs::remove_file(dir.join("manifest")).unwrap())),
        ("damaged manifest".into(), Box::new(|dir| flip(&dir.join("manifest"), 30, 1))),
        ("an extra file".into(), Box::new(|dir| fs::write(dir.join("rows/000999.sst"), b"x").unwrap())),
    ];
    for path in files_ending(&whole.join("rows"), "") {
        let name = path.file_name().unwrap().to_owned();
        let (gone, changed) = (name.clone(), name.clone());
        let empty = path.metadata().unwrap().len() == 0;
        damages.push((
            format!("{name:?} gone"),
            Box::new(move |dir| fs::remove_file(dir.join("rows").join(&gone)).unwrap()),
        ));
        damages.push((
            format!("{name:?} changed"),
            Box::new(move |dir| {
                let path = dir.join("rows").join(&changed);
                if empty { fs::write(path, b"x").unwrap() } else { flip(&path, 5, 1) }
            }),
        ));
    }
    for (what, damage) in damages {
        let dir = scratch();
        copy_dir(&whole, dir.path());
        damage(dir.path());
        assert!(matches!(target.install(dir.path()), Err(Error::BadSnapshot(_))), "{what}");
        assert_eq!(check_consistent(&target), 1, "{what}");
    }
    target.install(&whole).unwrap();
    assert_eq!(check_consistent(&target), 5);
}

#[test]
fn what_is_whole_of_a_snapshot_is_kept_and_nothing_else() {
    let root = scratch();
    let source = open(&root.path().join("source"));
    for index in 1..=5 {
        write(&source, index);
        source.flush().unwrap();
    }
    let whole = root.path().join("whole");
    let manifest = source.checkpoint(&whole).unwrap();
    let tables: Vec<usize> =
        (0..manifest.files.len()).filter(|number| manifest.files[*number].name.ends_with(".sst")).collect();
    let [changed, cut, gone] = tables[..3] else { panic!("{} tables", tables.len()) };
    let dir = scratch();
    copy_dir(&whole, dir.path());
    let at = |number: usize| dir.path().join(&manifest.files[number].name);
    flip(&at(changed), 5, 1);
    fs::write(at(cut), &fs::read(at(cut)).unwrap()[1..]).unwrap();
    fs::remove_file(at(gone)).unwrap();
    fs::write(dir.path().join("rows/000999.sst"), b"of another snapshot").unwrap();

    let kept = manifest.keep_what_is_whole(dir.path()).unwrap();
    let lost: Vec<usize> = (0..kept.len()).filter(|number| !kept[*number]).collect();
    assert_eq!(lost, [changed, cut, gone]);
    let left = files_ending(&dir.path().join("rows"), "").len();
    assert_eq!(left, manifest.files.len() - 3, "what is not whole is removed");
    // What is missing comes again, and all is there.
    for number in lost {
        fs::copy(whole.join(&manifest.files[number].name), at(number)).unwrap();
    }
    manifest.verify(dir.path()).unwrap();
    assert!(manifest.keep_what_is_whole(dir.path()).unwrap().into_iter().all(|is_whole| is_whole));
}

/// Apply writes rows all the time: it must not stand still while a snapshot is made of them.
#[test]
fn rows_are_written_while_a_snapshot_is_made() {
    const SNAPSHOTS: u64 = 20;
    let root = scratch();
    let store = Arc::new(open(&root.path().join("state")));
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        move || {
            let mut index = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                index += 1;
                let row = put(Space::Bulk, &format!("{index:08}"), vec![7; 500]);
                store.write(&[row], log_id(1, index), None).unwrap();
            }
        }
    });
    let applied = || store.applied().0.map_or(0, |applied| applied.index);
    let mut written = 0;
    for number in 0..SNAPSHOTS {
        let before = applied();
        let manifest = store.checkpoint(&root.path().join(format!("snapshot-{number}"))).unwrap();
        let after = applied();
        let stands_for = manifest.applied.map_or(0, |applied| applied.index);
        assert!((before..=after).contains(&stands_for), "{before} <= {stands_for} <= {after}");
        written += after - before;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
    assert!(written > 10 * SNAPSHOTS, "writes stood still: {written} while {SNAPSHOTS} snapshots were made");
}

#[test]
fn an_older_snapshot_is_refused() {
    let root = scratch();
    let source = open(&root.path().join("source"));
    write(&source, 1);
    source.checkpoint(&root.path().join("snapshot")).unwrap();
    write(&source, 2);
    assert!(matches!(source.install(&root.path().join("snapshot")), Err(Error::BadSnapshot(_))));
    assert_eq!(check_consistent(&source), 2);
}

#[test]
fn what_a_crashed_installation_leaves_is_removed() {
    let root = scratch();
    let store = open(root.path());
    write(&store, 1);
    store.flush().unwrap();
    drop(store);
    // Moved into place, pointer not yet switched.
    copy_dir(&root.path().join("state-1"), &root.path().join("state-2"));
    fs::write(root.path().join("CURRENT.tmp"), b"state-2").unwrap();
    assert_eq!(check_consistent(&open(root.path())), 1);
    assert!(!root.path().join("state-2").exists());
    // Switched, old rows not yet removed.
    copy_dir(&root.path().join("state-1"), &root.path().join("state-2"));
    fs::write(root.path().join("CURRENT"), b"state-2\n").unwrap();
    assert_eq!(check_consistent(&open(root.path())), 1);
    assert!(!root.path().join("state-1").exists());
}

#[test]
fn a_lost_or_damaged_pointer_is_refused() {
    let root = scratch();
    drop(open(root.path()));
    fs::write(root.path().join("CURRENT"), b"elsewhere").unwrap();
    assert!(matches!(StateStore::open(root.path(), small()), Err(Error::DamagedState { .. })));
    fs::remove_file(root.path().join("CURRENT")).unwrap();
    assert!(matches!(StateStore::open(root.path(), small()), Err(Error::DamagedState { .. })));
}

#[test]
fn a_flipped_bit_in_a_row_is_an_error_not_a_wrong_row() {
    let root = scratch();
    let store = open(root.path());
    for index in 1..=50 {
        write(&store, index);
    }
    store.flush().unwrap();
    drop(store);
    let directory = root.path().join("state-1");
    let mut errors = 0;
    for path in files_ending(&directory, ".sst") {
        let length = path.metadata().unwrap().len() as usize;
        for at in (0..length).step_by((length / 12).max(1)) {
            let copy = crash_copy(root.path());
            flip(&copy.path().join("state-1").join(path.file_name().unwrap()), at, 4);
            let Ok(store) = StateStore::open(copy.path(), small()) else {
                errors += 1;
                continue;
            };
            let rows: Result<Vec<_>, _> = store.scan_live().collect();
            let bulk = store.reader().scan(Space::Bulk, b"", b"", usize::MAX);
            match (rows, bulk) {
                (Ok(rows), Ok(bulk)) => assert_eq!((rows.len(), bulk.len()), (51, 50), "{}, byte {at}", path.display()),
                _ => errors += 1,
            }
        }
    }
    assert!(errors > 0, "no flip was noticed");
}

/// Rows in files of which every first block is damaged, and the flag of their store.
fn damaged_while_open(root: &std::path::Path) -> (StateStore, Fatal) {
    let fatal = Fatal::new();
    let store = StateStore::open(root, StateOptions { fatal: fatal.clone(), ..small() }).unwrap();
    for index in 1..=50 {
        write(&store, index);
    }
    store.flush().unwrap();
    for path in files_ending(&root.join("state-1"), ".sst") {
        flip(&path, 20, 4);
    }
    (store, fatal)
}

#[test]
fn a_read_that_finds_damage_stops_the_process() {
    type Read = fn(&StateStore) -> Result<(), Error>;
    let reads: [(&str, Read); 5] = [
        ("get", |store| store.reader().get(Space::Bulk, b"bulk/0007").map(drop)),
        ("multi_get", |store| store.reader().multi_get(Space::Bulk, &["bulk/0007"]).map(drop)),
        ("last", |store| store.reader().last_at_or_before(Space::Bulk, b"bulk/0007", 5).map(drop)),
        ("scan", |store| store.reader().scan(Space::Live, b"", b"", 1).map(drop)),
        ("live", |store| store.scan_live().collect::<Result<Vec<_>, _>>().map(drop)),
    ];
    for (name, read) in reads {
        let root = scratch();
        let (store, fatal) = damaged_while_open(root.path());
        assert_eq!(fatal.cause(), None, "{name}: nothing was read yet");
        let error = read(&store).unwrap_err();
        assert!(matches!(&error, Error::DamagedState { .. }), "{name}: {error}");
        assert_eq!(fatal.cause(), Some(Cause::DamagedRows(error.to_string())), "{name}");
    }
}

#[test]
fn damaged_rows_are_not_made_a_snapshot() {
    let root = scratch();
    let (store, fatal) = damaged_while_open(&root.path().join("state"));
    let error = store.checkpoint(&root.path().join("snapshot")).unwrap_err();
    assert!(matches!(&error, Error::DamagedState { .. }), "{error}");
    let Some(Cause::DamagedRows(why)) = fatal.cause() else { panic!("{:?}", fatal.cause()) };
    let own = root.path().join("state/state-1");
    assert!(why.contains(&format!("the state rows in {} are damaged", own.display())), "{why}");
    assert!(SnapshotManifest::read(&root.path().join("snapshot")).is_err());
}

#[test]
fn a_handle_gives_its_manifest_while_the_directory_is_there() {
    let root = scratch();
    let store = open(&root.path().join("state"));
    write(&store, 3);
    let dir = root.path().join("snapshot");
    let manifest = store.checkpoint(&dir).unwrap();
    let handle = SnapshotHandle::temporary(dir.clone());
    assert_eq!(handle.manifest().unwrap(), manifest);
    assert_eq!(manifest.meta().last_log_id, Some(log_id(1, 3)));
    assert!(manifest.bytes() > 0);
    drop(handle);
    assert!(SnapshotManifest::read(&dir).is_err());
}

/// The log id is written with every batch; it must not fill a memtable long before the rows do.
#[test]
fn many_small_batches_do_not_flush() {
    let dir = tempfile::tempdir().unwrap();
    let store = StateStore::open(dir.path(), StateOptions::default()).unwrap();
    for index in 1..=20_000 {
        store.write(&[put(Space::Live, "row", "value")], log_id(1, index), None).unwrap();
    }
    assert_eq!(store.flushed_applied().unwrap(), None, "nothing called for a flush");
}

#[test]
fn a_write_that_must_not_wait_is_written_when_nothing_holds_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert!(store.write_at_once(&[put(Space::Live, "row", "value")], log_id(1, 1), None).unwrap());
    assert_eq!(store.applied().0, Some(log_id(1, 1)));
    let again = store.write_at_once(&[put(Space::Live, "row", "value")], log_id(1, 1), None);
    assert!(matches!(again, Err(Error::Refused(_))), "{again:?}");
}

#[test]
fn the_highest_member_stays_though_it_has_left() {
    let members = |at: u64, ids: &[u64]| {
        let nodes = ids.iter().map(|id| (*id, MemberNode::default())).collect::<std::collections::BTreeMap<_, _>>();
        let membership = Membership::new(vec![ids.iter().copied().collect()], nodes).unwrap();
        StoredMembership::new(Some(log_id(1, at)), membership)
    };
    let (root, sent) = (scratch(), scratch());
    let store = open(root.path());
    assert_eq!(store.highest_member(), 0);
    for (at, ids) in [(1, &[1, 2][..]), (2, &[1, 2, 5]), (3, &[1, 2])] {
        store.write(&[], log_id(1, at), Some(&members(at, ids))).unwrap();
    }
    assert_eq!(store.highest_member(), 5);
    store.checkpoint(&sent.path().join("snapshot")).unwrap();
    drop(store);
    assert_eq!(open(root.path()).highest_member(), 5);
    let elsewhere = scratch();
    let other = open(elsewhere.path());
    other.install(&sent.path().join("snapshot")).unwrap();
    assert_eq!(other.highest_member(), 5, "a snapshot brings it along");
}
