//! Opening the log: all it ever acknowledged, or an error.
//!
//! 1. Look through write-ahead logs and manifest ourselves: damage that is not a torn last record ends here.
//! 2. Open RocksDB, which may stop before a torn last record only if there is one.
//! 3. Compare: RocksDB must have recovered every whole record.
//! 4. Read every entry: no hole, no wrong checksum, terms never falling.
//! 5. Compare with the floors of the identity.

use std::path::Path;

use rocksdb::{DB, IteratorMode, ReadOptions, WriteOptions};
use serde::de::DeserializeOwned;

use super::options::LogOptions;
use super::tail::{Tail, after};
use super::{record, wal_check};
use crate::key_spaces::{COMMITTED, FORMAT, LOG, META, PURGED, VOTE, entry_index};
use crate::on_disk_version::OnDiskVersion;
use crate::{DataDir, Error, LogId, codec, files, rocks_options};

/// Opens the database and reads what is in it.
pub(crate) fn open(data: &DataDir, options: &LogOptions) -> Result<(DB, Tail), Error> {
    let dir = data.log_dir();
    files::create_dir(&dir)?;
    let content = wal_check::check(&dir)?;
    let db = open_database(&dir, options, content.torn)?;
    // RocksDB's own numbering starts at 1; `next_sequence` is 0 when there was no record.
    if db.latest_sequence_number() + 1 < content.next_sequence {
        let (have, need) = (db.latest_sequence_number(), content.next_sequence - 1);
        return Err(damaged(&dir, format!("RocksDB recovered up to write {have}, the files hold {need}")));
    }
    check_format(&db, &dir)?;
    let tail = Reading { db: &db, dir: &dir }.read(options.tail_bytes)?;
    data.identity().check_floors(tail.vote.as_ref(), tail.last.as_ref())?;
    tracing::info!(dir = %dir.display(), purged = ?tail.purged, last = ?tail.last, vote = ?tail.vote, "Raft log opened");
    Ok((db, tail))
}

fn open_database(dir: &Path, options: &LogOptions, torn: bool) -> Result<DB, Error> {
    let database = rocks_options::log_database(options.memtable_bytes, torn, &options.buffers);
    let families = rocks_options::log_families(options.memtable_bytes, &options.buffers);
    DB::open_cf_descriptors(&database, dir, families).map_err(|error| damaged(dir, error.to_string()))
}

fn check_format(db: &DB, dir: &Path) -> Result<(), Error> {
    let meta = db.cf_handle(META).expect("opened with this column family");
    let stored = db.get_cf(meta, FORMAT).map_err(|error| damaged(dir, error.to_string()))?;
    OnDiskVersion::check(stored.as_deref(), "the Raft log", |why| damaged(dir, why))?;
    if stored.is_none() {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        db.put_cf_opt(meta, FORMAT, codec::encode_plain(&OnDiskVersion::CURRENT), &options)
            .map_err(|error| damaged(dir, error.to_string()))?;
    }
    Ok(())
}

struct Reading<'a> {
    db: &'a DB,
    dir: &'a Path,
}

impl Reading<'_> {
    fn read(&self, tail_bytes: usize) -> Result<Tail, Error> {
        let purged: Option<LogId> = self.meta(PURGED)?;
        let mut tail = Tail::new(tail_bytes);
        tail.vote = self.meta(VOTE)?;
        let last = self.entries(purged, &mut tail)?;
        tail.recover(purged, last);
        // Written with a later group than the entries it speaks of, it can still be ahead of a log that was cut.
        tail.committed = self.meta::<LogId>(COMMITTED)?.map(|committed| match tail.last {
            Some(last) if last < committed => last,
            _ => committed,
        });
        Ok(tail)
    }

    fn meta<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, Error> {
        let family = self.db.cf_handle(META).expect("opened with this column family");
        let name = String::from_utf8_lossy(key);
        let value = self.db.get_cf(family, key).map_err(|error| damaged(self.dir, format!("{name}: {error}")))?;
        value
            .map(|bytes| codec::decode_plain(&bytes).map_err(|error| damaged(self.dir, format!("{name}: {error}"))))
            .transpose()
    }

    /// Reads every entry once. Returns the last log id.
    fn entries(&self, purged: Option<LogId>, tail: &mut Tail) -> Result<Option<LogId>, Error> {
        let family = self.db.cf_handle(LOG).expect("opened with this column family");
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        let mut previous = purged;
        for item in self.db.iterator_cf_opt(family, options, IteratorMode::Start) {
            let (key, value) = item.map_err(|error| damaged(self.dir, error.to_string()))?;
            let expected = after(previous);
            let index = entry_index(&key).ok_or_else(|| damaged(self.dir, format!("key {key:?} is no index")))?;
            if index != expected {
                return Err(damaged(self.dir, format!("entry {index} where {expected} is next")));
            }
            let bytes = value.len();
            let entry = record::decode(index, value.into())
                .map_err(|error| damaged(self.dir, format!("entry {index}: {error}")))?;
            if previous.is_some_and(|previous| previous.committed_leader_id() > entry.log_id.committed_leader_id()) {
                return Err(damaged(self.dir, format!("the term falls at entry {index}")));
            }
            tail.marks.append(index, bytes);
            previous = Some(entry.log_id);
        }
        Ok(previous)
    }
}

fn damaged(dir: &Path, why: String) -> Error {
    Error::DamagedLog { dir: dir.to_path_buf(), why }
}
