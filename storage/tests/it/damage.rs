//! Damaged, cut and missing files: a log opens with all it acknowledged, or not at all.

use std::fs;
use std::path::Path;

use flame_storage::{Cause, Entry, Error, Fatal, Vote};
use openraft::storage::{RaftLogReader, RaftLogStorage};
use tempfile::TempDir;

use crate::directory::{
    append, crash_copy, entry, eventually, fast, files_ending, flip, log_id, open_log, scratch, small,
};

const ENTRIES: u64 = 24;

fn history() -> Vec<Entry> {
    let large = |index| if index == 9 { entry(1, index, vec![0xAB; 100_000]) } else { small(1, index) };
    (0..ENTRIES).map(large).collect()
}

/// A log of groups of one entry each, as a crash leaves it; and its identity as it was before the last group.
async fn crashed() -> (TempDir, Vec<u8>) {
    let root = scratch();
    let mut log = open_log(root.path(), fast()).unwrap();
    log.save_vote(&Vote::new_committed(1, 1)).await.unwrap();
    let mut identity_before = Vec::new();
    for entry in history() {
        identity_before = fs::read(root.path().join("identity")).unwrap();
        append(&mut log, vec![entry]).await;
    }
    (crash_copy(root.path()), identity_before)
}

fn wal(root: &Path) -> std::path::PathBuf {
    let files = files_ending(&root.join("log"), ".log");
    files.into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap()
}

async fn all_there(root: &Path) {
    let log = open_log(root, fast()).unwrap();
    assert_eq!(log.reader().try_get_log_entries(..).await.unwrap(), history());
    assert_eq!(log.vote(), Some(Vote::new_committed(1, 1)));
}

fn refused(root: &Path, what: &str) {
    match open_log(root, fast()) {
        Err(Error::DamagedLog { .. } | Error::Quarantine(_)) => {}
        Err(other) => panic!("{what}: {other}"),
        Ok(log) => panic!("{what}: opened with {:?}", log.last_log_id()),
    }
}

#[tokio::test]
async fn a_crash_loses_nothing_acknowledged() {
    let (root, _) = crashed().await;
    all_there(root.path()).await;
    all_there(root.path()).await;
}

/// After a sync that failed, what is read at the next start may be in the page cache and nowhere else.
#[tokio::test]
async fn a_start_writes_what_it_has_recovered_again() {
    let (root, _) = crashed().await;
    let old = wal(root.path());
    let log_dir = root.path().join("log");
    assert!(files_ending(&log_dir, ".sst").is_empty(), "nothing but a write-ahead log");
    let log = open_log(root.path(), fast()).unwrap();
    assert!(!files_ending(&log_dir, ".sst").is_empty(), "tables are written");
    let copy = crash_copy(root.path());
    drop(log);
    // So the old file is not needed any more.
    let old = copy.path().join("log").join(old.file_name().unwrap());
    if old.exists() {
        fs::remove_file(old).unwrap();
    }
    all_there(copy.path()).await;
}

#[tokio::test]
async fn any_flipped_bit_in_the_write_ahead_log_is_refused() {
    let (root, _) = crashed().await;
    let length = wal(root.path()).metadata().unwrap().len() as usize;
    let positions = (0..64).chain((64..length).step_by(509)).chain(length - 32..length);
    for (count, at) in positions.enumerate() {
        let copy = crash_copy(root.path());
        let bit = (count % 8) as u8;
        flip(&wal(copy.path()), at, bit);
        refused(copy.path(), &format!("byte {at}, bit {bit} of {length}"));
    }
}

#[tokio::test]
async fn every_bit_of_two_record_headers_is_refused() {
    let (root, _) = crashed().await;
    let bytes = fs::read(wal(root.path())).unwrap();
    // The first record, and one that is somewhere in the middle of the first block.
    let second = 7 + usize::from(u16::from_le_bytes([bytes[4], bytes[5]]));
    for at in (0..7).chain(second..second + 7) {
        for bit in 0..8 {
            let copy = crash_copy(root.path());
            flip(&wal(copy.path()), at, bit);
            refused(copy.path(), &format!("byte {at}, bit {bit}"));
        }
    }
}

#[tokio::test]
async fn damage_in_the_middle_is_named_as_such() {
    let (root, identity_before) = crashed().await;
    fs::write(root.path().join("identity"), identity_before).unwrap();
    flip(&wal(root.path()), 1000, 3);
    let error = open_log(root.path(), fast()).unwrap_err();
    assert!(matches!(&error, Error::DamagedLog { why, .. } if why.contains("another record starts")), "{error}");
}

#[tokio::test]
async fn a_torn_last_write_is_cut_when_nobody_heard_of_it() {
    let (root, identity_before) = crashed().await;
    let length = wal(root.path()).metadata().unwrap().len();
    for cut in [1, 20, 100] {
        for garbage in [false, true] {
            let copy = crash_copy(root.path());
            fs::write(copy.path().join("identity"), &identity_before).unwrap();
            let path = wal(copy.path());
            if garbage {
                flip(&path, (length - cut) as usize, 2);
            } else {
                fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length - cut).unwrap();
            }
            let log = open_log(copy.path(), fast()).unwrap();
            assert_eq!(log.last_log_id(), Some(log_id(1, ENTRIES - 2)), "cut {cut}, garbage {garbage}");
            drop(log);
            // And the log goes on from there.
            let mut log = open_log(copy.path(), fast()).unwrap();
            append(&mut log, vec![small(2, ENTRIES - 1)]).await;
            drop(log);
            let log = open_log(copy.path(), fast()).unwrap();
            assert_eq!(log.last_log_id(), Some(log_id(2, ENTRIES - 1)));
        }
    }
}

#[tokio::test]
async fn a_cut_that_takes_something_acknowledged_is_refused() {
    let (root, identity_before) = crashed().await;
    let length = wal(root.path()).metadata().unwrap().len();
    for keep in (0..length).step_by(4001) {
        let copy = crash_copy(root.path());
        fs::OpenOptions::new().write(true).open(wal(copy.path())).unwrap().set_len(keep).unwrap();
        refused(copy.path(), &format!("cut to {keep}"));
    }
    // Even with the floor as a power cut would leave it.
    fs::write(root.path().join("identity"), identity_before).unwrap();
    fs::OpenOptions::new().write(true).open(wal(root.path())).unwrap().set_len(length - 600).unwrap();
    refused(root.path(), "two records gone");
}

#[tokio::test]
async fn missing_files_are_refused() {
    let (root, _) = crashed().await;
    let copy = crash_copy(root.path());
    fs::remove_file(wal(copy.path())).unwrap();
    refused(copy.path(), "no write-ahead log");
    for name in ["CURRENT", "MANIFEST"] {
        let copy = crash_copy(root.path());
        for file in fs::read_dir(copy.path().join("log")).unwrap() {
            let path = file.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().starts_with(name) {
                fs::remove_file(path).unwrap();
            }
        }
        refused(copy.path(), &format!("no {name}"));
    }
}

/// Flips sampled bits of every file with this ending; the log must be refused, or be whole.
async fn refused_or_whole(root: &Path, ending: &str, samples: usize) {
    let directory = root.join("log");
    let names: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|item| item.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(ending))
        .collect();
    assert!(!names.is_empty(), "no file with {ending}");
    let mut refusals = 0;
    for name in &names {
        let length = directory.join(name).metadata().unwrap().len() as usize;
        for (count, at) in (0..length).step_by((length / samples).max(1)).enumerate() {
            let copy = crash_copy(root);
            flip(&copy.path().join("log").join(name), at, (count % 8) as u8);
            match open_log(copy.path(), fast()) {
                Ok(log) => {
                    let found = log.reader().try_get_log_entries(..).await.unwrap();
                    assert_eq!(found, history(), "{name}, byte {at}");
                }
                Err(Error::DamagedLog { .. } | Error::Quarantine(_)) => refusals += 1,
                Err(other) => panic!("{name}, byte {at}: {other}"),
            }
        }
    }
    assert!(refusals > 0, "no flip in {names:?} was noticed");
}

#[tokio::test]
async fn a_flipped_bit_in_the_manifest_is_refused_or_harmless() {
    let (root, _) = crashed().await;
    drop(open_log(root.path(), fast()).unwrap());
    refused_or_whole(root.path(), "MANIFEST", 150).await;
}

#[tokio::test]
async fn a_flipped_bit_in_a_sorted_file_is_refused_or_harmless() {
    let root = scratch();
    let mut options = fast();
    options.memtable_bytes = 256 << 10;
    let mut log = open_log(root.path(), options.clone()).unwrap();
    log.save_vote(&Vote::new_committed(1, 1)).await.unwrap();
    for entry in history() {
        append(&mut log, vec![entry]).await;
    }
    let directory = root.path().join("log");
    eventually("a flushed file", || !files_ending(&directory, ".sst").is_empty()).await;
    drop(log);
    // Reopening flushes what is left in the write-ahead log.
    drop(open_log(root.path(), options).unwrap());
    refused_or_whole(root.path(), ".sst", 40).await;
}

#[tokio::test]
async fn a_read_that_finds_damage_stops_the_process() {
    let root = scratch();
    let fatal = Fatal::new();
    let mut options = fast().with_fatal(fatal.clone());
    options.tail_bytes = 0;
    let mut log = open_log(root.path(), options.clone()).unwrap();
    for entry in history() {
        append(&mut log, vec![entry]).await;
    }
    drop(log);
    // Opening moves what is in the write-ahead log into files.
    let mut log = open_log(root.path(), options).unwrap();
    for path in files_ending(&root.path().join("log"), ".sst") {
        flip(&path, 20, 4);
    }
    assert_eq!(fatal.cause(), None, "nothing was read yet");
    let error = log.reader().try_get_log_entries(..).await.unwrap_err();
    let Some(Cause::DamagedLog(why)) = fatal.cause() else { panic!("{:?} after {error}", fatal.cause()) };
    assert!(why.contains("the Raft log in ") && why.contains("is damaged"), "{why}");
    assert!(log.append([small(1, ENTRIES)], openraft::storage::IOFlushed::noop()).await.is_err(), "it has ended");
}
