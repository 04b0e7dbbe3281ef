//! Scratch directories, entries, and how to crash a node: copy its directory while it runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use flame_storage::{DataDir, Entry, EntryData, EntryPayload, Error, Expected, LogId, LogOptions, RocksLog};
use flame_types::CoordinatorId;
use openraft::storage::{IOFlushed, RaftLogStorage, RaftLogStorageExt};
use tempfile::TempDir;

/// Longest wait for a condition that must come true.
const PATIENCE: Duration = Duration::from_secs(60);

/// Copies taken before a test gives up.
const COPIES_MAX: usize = 10_000;

pub fn expected() -> Expected {
    Expected { cluster_id: "test".into(), node: CoordinatorId(1), levels: 1..=1 }
}

pub fn scratch() -> TempDir {
    tempfile::tempdir().expect("a scratch directory")
}

pub fn open(root: &Path) -> Result<DataDir, Error> {
    DataDir::open(root, &expected())
}

pub fn fast() -> LogOptions {
    LogOptions::default().sync_for_tests_only(false)
}

/// Opens data directory and log.
pub fn open_log(root: &Path, options: LogOptions) -> Result<RocksLog, Error> {
    RocksLog::open(&open(root)?, options)
}

pub fn log_id(term: u64, index: u64) -> LogId {
    LogId::new_term_index(term, index)
}

pub fn entry(term: u64, index: u64, data: impl Into<Bytes>) -> Entry {
    Entry { log_id: log_id(term, index), payload: EntryPayload::Normal(EntryData(data.into())) }
}

/// A small entry whose bytes say which it is.
pub fn small(term: u64, index: u64) -> Entry {
    entry(term, index, format!("entry {index} of term {term}").repeat(8))
}

/// Appends a group of its own and waits until it is durable.
pub async fn append(log: &mut RocksLog, entries: Vec<Entry>) {
    log.blocking_append(entries).await.expect("a durable append");
}

/// Appends without waiting.
pub async fn append_only(log: &mut RocksLog, entries: Vec<Entry>) {
    log.append(entries, IOFlushed::noop()).await.expect("an append");
}

/// What a crash leaves: the files as they are this moment. A copy during which RocksDB changed a file in the background
/// shows no moment at all and is taken again.
pub fn crash_copy(root: &Path) -> TempDir {
    for _ in 0..COPIES_MAX {
        let copy = scratch();
        let before = sizes(root);
        if before.is_ok() && try_copy(root, copy.path()).is_ok() && sizes(root).ok() == before.ok() {
            return copy;
        }
    }
    panic!("{} never stands still", root.display());
}

pub fn copy_dir(from: &Path, to: &Path) {
    try_copy(from, to).expect("a copy");
}

fn try_copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for item in fs::read_dir(from)? {
        let item = item?;
        let target = to.join(item.file_name());
        if item.file_type()?.is_dir() {
            try_copy(&item.path(), &target)?;
        } else {
            fs::copy(item.path(), &target)?;
        }
    }
    Ok(())
}

fn sizes(dir: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for item in fs::read_dir(dir)? {
        let (path, metadata) = item.and_then(|item| Ok((item.path(), item.metadata()?)))?;
        if metadata.is_dir() {
            found.extend(sizes(&path)?);
        } else {
            found.push((path, metadata.len()));
        }
    }
    found.sort();
    Ok(found)
}

/// Files in a directory whose names end so, in order.
pub fn files_ending(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir)
        .expect("a listing")
        .map(|item| item.expect("an item").path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    found.sort();
    found
}

pub fn flip(path: &Path, at: usize, bit: u8) {
    let mut bytes = fs::read(path).expect("a file");
    bytes[at] ^= 1 << bit;
    fs::write(path, bytes).expect("a write");
}

/// Waits until a condition holds.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "waited in vain for {what}");
}
