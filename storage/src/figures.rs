//! What the two databases say of themselves, for those who watch them.
//!
//! RocksDB answers from counters of its own, under its lock: cheap, but not for every entry.

use rocksdb::properties::{
    ACTUAL_DELAYED_WRITE_RATE, ESTIMATE_PENDING_COMPACTION_BYTES, ESTIMATE_TABLE_READERS_MEM, IS_WRITE_STOPPED,
    LIVE_SST_FILES_SIZE, NUM_RUNNING_COMPACTIONS, NUM_RUNNING_FLUSHES, PropName, SIZE_ALL_MEM_TABLES,
    num_files_at_level,
};
use rocksdb::{ColumnFamily, DB};

/// Levels of files that a database has.
pub const LEVELS: usize = 7;

/// The figures of one database, all its families together. What RocksDB does not say is NaN.
#[derive(Clone, Debug, PartialEq)]
pub struct DatabaseFigures {
    /// Memtables, those that are being flushed or still read included.
    pub memtable_bytes: f64,
    /// Memory of open files beside the block cache.
    pub table_reader_bytes: f64,
    /// Sorted files in use.
    pub file_bytes: f64,
    /// Their number, by level.
    pub files_at_level: [f64; LEVELS],
    /// What compaction has yet to rewrite.
    pub compaction_pending_bytes: f64,
    /// Flushes that run.
    pub flushes_running: f64,
    /// Compactions that run.
    pub compactions_running: f64,
    /// 1 while writes wait.
    pub writes_stopped: f64,
    /// The bytes per second to which writes are slowed down; 0 while they are not.
    pub writes_delayed: f64,
}

/// The figures of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogFigures {
    /// Bytes of the entries that are not purged, about.
    pub bytes: u64,
    /// Bytes of the entries in memory.
    pub tail_bytes: usize,
    /// Bytes of the entries that wait for the writer.
    pub queue_bytes: usize,
    /// Its database.
    pub database: DatabaseFigures,
}

impl DatabaseFigures {
    /// Asks the database.
    pub(crate) fn read(db: &DB, families: &[&ColumnFamily]) -> Self {
        let of_family = |family: &ColumnFamily, name: &PropName| number(db.property_int_value_cf(family, name));
        let sum = |name: &PropName| families.iter().map(|family| of_family(family, name)).sum();
        let files = |level: usize| {
            let name = num_files_at_level(level);
            families.iter().map(|family| of_family(family, &name)).sum()
        };
        Self {
            memtable_bytes: sum(SIZE_ALL_MEM_TABLES),
            table_reader_bytes: sum(ESTIMATE_TABLE_READERS_MEM),
            file_bytes: sum(LIVE_SST_FILES_SIZE),
            files_at_level: std::array::from_fn(files),
            compaction_pending_bytes: sum(ESTIMATE_PENDING_COMPACTION_BYTES),
            // These are of the database as a whole.
            flushes_running: number(db.property_int_value(NUM_RUNNING_FLUSHES)),
            compactions_running: number(db.property_int_value(NUM_RUNNING_COMPACTIONS)),
            writes_stopped: number(db.property_int_value(IS_WRITE_STOPPED)),
            writes_delayed: number(db.property_int_value(ACTUAL_DELAYED_WRITE_RATE)),
        }
    }
}

fn number(answer: Result<Option<u64>, rocksdb::Error>) -> f64 {
    answer.ok().flatten().map_or(f64::NAN, |number| number as f64)
}
