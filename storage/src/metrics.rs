//! The metrics of storage, and the handles made from them.
//!
//! The writer of the log records as it goes, a few times per group. Everything else is read from the two databases when
//! somebody looks: [`StorageMetrics::show`].

use flame_metrics::{Counter, Family, Gauge, Histogram, LabelSet, Metric, Registrar, Scale, Unit};

use crate::figures::{DatabaseFigures, LEVELS, LogFigures};

flame_metrics::labels! {
    /// One of the two databases.
    pub enum Database: "database" {
        /// The Raft log.
        Log = "log",
        /// The rows.
        State = "state",
    }

    /// A level of files in RocksDB.
    pub enum Level: "level" {
        /// Files as they were flushed.
        Zero = "0",
        /// The first compaction's.
        One = "1",
        /// And on.
        Two = "2",
        /// And on.
        Three = "3",
        /// And on.
        Four = "4",
        /// And on.
        Five = "5",
        /// The last.
        Six = "6",
    }
}

/// All levels, in order.
const ALL_LEVELS: [Level; LEVELS] =
    [Level::Zero, Level::One, Level::Two, Level::Three, Level::Four, Level::Five, Level::Six];

/// Time of a sync.
pub static SYNC: Metric =
    Metric::histogram("flame_log_sync_seconds", Scale::Latency, "Time to write one group of the log and to fsync it.");

/// Size of a group.
pub static GROUP: Metric =
    Metric::histogram("flame_log_group_entries", Scale::Things, "Log entries that one fsync made durable together.");

/// Bytes of entries.
pub static APPENDED: Metric =
    Metric::counter("flame_log_appended_bytes_total", Unit::Bytes, "Bytes of log entries that were made durable.");

/// Length of the log.
pub static LOG_BYTES: Metric =
    Metric::gauge("flame_log_bytes", Unit::Bytes, "Bytes of the log entries that are not cut yet, about.");

/// Entries in memory.
pub static TAIL: Metric =
    Metric::gauge("flame_log_tail_bytes", Unit::Bytes, "Bytes of the newest log entries, which are kept in memory.");

/// Entries on their way to the disk.
pub static QUEUE: Metric =
    Metric::gauge("flame_log_queue_bytes", Unit::Bytes, "Bytes of log entries that wait for the writer of the log.");

/// Memtables.
pub static MEMTABLES: Metric = Metric::gauge(
    "flame_rocksdb_memtable_bytes",
    Unit::Bytes,
    "Memtables, those that are being flushed or still read included.",
)
.by(Database::LABELS);

/// Indexes of files in memory, outside the cache.
pub static READERS: Metric = Metric::gauge(
    "flame_rocksdb_table_reader_bytes",
    Unit::Bytes,
    "Memory of open files beside the block cache, as RocksDB estimates it.",
)
.by(Database::LABELS);

/// Files in use.
pub static FILES_BYTES: Metric =
    Metric::gauge("flame_rocksdb_file_bytes", Unit::Bytes, "Sorted files in use, on disk.").by(Database::LABELS);

/// Files by level.
pub static FILES: Metric =
    Metric::gauge("flame_rocksdb_files", Unit::Count, "Sorted files, by level.").by(<(Database, Level)>::LABELS);

/// What compaction owes.
pub static DEBT: Metric = Metric::gauge(
    "flame_rocksdb_compaction_pending_bytes",
    Unit::Bytes,
    "Bytes that compaction has yet to rewrite, as RocksDB estimates it.",
)
.by(Database::LABELS);

/// Flushes that run.
pub static FLUSHES: Metric =
    Metric::gauge("flame_rocksdb_flushes_running", Unit::Count, "Flushes of memtables that run now.")
        .by(Database::LABELS);

/// Compactions that run.
pub static COMPACTIONS: Metric =
    Metric::gauge("flame_rocksdb_compactions_running", Unit::Count, "Compactions that run now.").by(Database::LABELS);

/// Writes that must wait.
pub static STOPPED: Metric = Metric::gauge(
    "flame_rocksdb_writes_stopped",
    Unit::Count,
    "1 while writes wait for flushes or compactions, else 0.",
)
.by(Database::LABELS);

/// Writes that are slowed down.
pub static DELAYED: Metric = Metric::gauge(
    "flame_rocksdb_writes_delayed",
    Unit::Count,
    "The bytes per second to which writes are slowed down; 0 while they are not.",
)
.by(Database::LABELS);

/// Every metric of this crate, in the order of the reference.
pub static METRICS: &[&Metric] = &[
    &SYNC,
    &GROUP,
    &APPENDED,
    &LOG_BYTES,
    &TAIL,
    &QUEUE,
    &MEMTABLES,
    &READERS,
    &FILES_BYTES,
    &FILES,
    &DEBT,
    &FLUSHES,
    &COMPACTIONS,
    &STOPPED,
    &DELAYED,
];

/// What the writer of the log records.
#[derive(Clone, Debug)]
pub struct LogMetrics {
    pub(crate) sync: Histogram,
    pub(crate) group: Histogram,
    pub(crate) appended: Counter,
}

impl LogMetrics {
    /// Makes the handles.
    #[must_use]
    pub fn register(registrar: &Registrar<'_>) -> Self {
        Self {
            sync: registrar.histogram(&SYNC),
            group: registrar.histogram(&GROUP),
            appended: registrar.counter(&APPENDED),
        }
    }
}

impl Default for LogMetrics {
    /// Records nothing.
    fn default() -> Self {
        Self::register(&Registrar::off())
    }
}

/// What is shown of the two databases when somebody looks.
#[derive(Clone, Debug)]
pub struct StorageGauges {
    log_bytes: Gauge,
    tail: Gauge,
    queue: Gauge,
    memtables: Family<Database, Gauge>,
    readers: Family<Database, Gauge>,
    files_bytes: Family<Database, Gauge>,
    files: Family<(Database, Level), Gauge>,
    debt: Family<Database, Gauge>,
    flushes: Family<Database, Gauge>,
    compactions: Family<Database, Gauge>,
    stopped: Family<Database, Gauge>,
    delayed: Family<Database, Gauge>,
}

impl StorageGauges {
    /// Makes the handles.
    #[must_use]
    pub fn register(registrar: &Registrar<'_>) -> Self {
        Self {
            log_bytes: registrar.gauge(&LOG_BYTES),
            tail: registrar.gauge(&TAIL),
            queue: registrar.gauge(&QUEUE),
            memtables: registrar.gauges(&MEMTABLES),
            readers: registrar.gauges(&READERS),
            files_bytes: registrar.gauges(&FILES_BYTES),
            files: registrar.gauges(&FILES),
            debt: registrar.gauges(&DEBT),
            flushes: registrar.gauges(&FLUSHES),
            compactions: registrar.gauges(&COMPACTIONS),
            stopped: registrar.gauges(&STOPPED),
            delayed: registrar.gauges(&DELAYED),
        }
    }

    /// Shows what was read.
    pub fn show(&self, log: &LogFigures, state: &DatabaseFigures) {
        self.log_bytes.set(log.bytes as f64);
        self.tail.set(log.tail_bytes as f64);
        self.queue.set(log.queue_bytes as f64);
        self.show_database(Database::Log, &log.database);
        self.show_database(Database::State, state);
    }

    fn show_database(&self, database: Database, figures: &DatabaseFigures) {
        self.memtables.of(database).set(figures.memtable_bytes);
        self.readers.of(database).set(figures.table_reader_bytes);
        self.files_bytes.of(database).set(figures.file_bytes);
        for (level, files) in ALL_LEVELS.into_iter().zip(figures.files_at_level) {
            self.files.of((database, level)).set(files);
        }
        self.debt.of(database).set(figures.compaction_pending_bytes);
        self.flushes.of(database).set(figures.flushes_running);
        self.compactions.of(database).set(figures.compactions_running);
        self.stopped.of(database).set(figures.writes_stopped);
        self.delayed.of(database).set(figures.writes_delayed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_handles_agree() {
        let faults = flame_metrics::roll::faults(&[METRICS], |registrar| {
            drop((LogMetrics::register(registrar), StorageGauges::register(registrar)));
        });
        assert_eq!(faults, Vec::<String>::new());
    }
}
