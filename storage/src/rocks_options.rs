//! How the two databases are tuned.
//!
//! **Invariant:** files are never recycled: a check of a write-ahead log must not meet records of an earlier life.

use rocksdb::{BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, LogLevel, Options};

use crate::Buffers;
use crate::key_spaces::{BULK, LIVE, LOG, META};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// RocksDB's own diary is kept short.
const DIARY_FILES: usize = 2;
const DIARY_BYTES: usize = MIB;

/// Flushes and compactions that may run at once: the machine has other work.
const BACKGROUND_JOBS: i32 = 2;

/// Meta families hold a handful of values, but one of them is written with every batch, and a memtable keeps every version.
/// They are flushed together with all other families: a small one here would flush those every few hundred batches, into
/// files of a few kilobytes. This is so large that the families with the rows are always full first.
const META_MEMTABLE_BYTES: usize = 16 * MIB;

/// What a meta family takes of memory at a time.
const META_ARENA_BYTES: usize = 64 * KIB;

/// Size of a block of bulk rows: they are read one by one, and inputs are large.
const BULK_BLOCK_BYTES: usize = 16 * KIB;

const BLOOM_BITS_PER_KEY: f64 = 10.0;

/// Memtables per family before writes wait for a flush.
const MEMTABLES_MAX: i32 = 4;

/// Memtables merged by one flush: a task's creation and completion then meet in memory and leave one row.
const MEMTABLES_MERGED: i32 = 2;

fn database(buffers: &Buffers) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    options.set_max_background_jobs(BACKGROUND_JOBS);
    options.set_keep_log_file_num(DIARY_FILES);
    options.set_max_log_file_size(DIARY_BYTES);
    options.set_log_level(LogLevel::Warn);
    options.set_recycle_log_file_num(0);
    // Nobody reads these, and an idle process would wake up for them.
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    // One flush takes all families, so that no family is ever behind another.
    options.set_atomic_flush(true);
    options.set_write_buffer_manager(&buffers.memtables);
    options
}

/// The log database. `torn` allows RocksDB to stop at the last record of the write-ahead log; the caller has seen that
/// it is the last, and compares what was recovered. (The mode named for corrupted tails refuses a wrong checksum there,
/// which is what a torn write usually looks like.)
pub(crate) fn log_database(memtable_bytes: usize, torn: bool, buffers: &Buffers) -> Options {
    let mut options = database(buffers);
    options.set_wal_recovery_mode(if torn { DBRecoveryMode::PointInTime } else { DBRecoveryMode::AbsoluteConsistency });
    // About two memtables: what a start reads again.
    options.set_max_total_wal_size((2 * memtable_bytes / MEMTABLES_MAX as usize) as u64);
    options.set_track_and_verify_wals_in_manifest(true);
    options
}

/// Disk that the log database takes before it needs it: its write-ahead log grows in steps of this size, a memtable and a
/// tenth more.
pub(crate) fn log_ahead(memtable_bytes: usize) -> u64 {
    (memtable_bytes / MEMTABLES_MAX as usize * 11 / 10) as u64
}

/// The families of the log database.
pub(crate) fn log_families(memtable_bytes: usize, buffers: &Buffers) -> Vec<ColumnFamilyDescriptor> {
    let mut entries = Options::default();
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&buffers.cache);
    entries.set_block_based_table_factory(&blocks);
    entries.set_compression_type(DBCompressionType::None);
    entries.set_write_buffer_size(memtable_bytes / MEMTABLES_MAX as usize);
    entries.set_max_write_buffer_number(MEMTABLES_MAX);
    entries.set_target_file_size_base((memtable_bytes / MEMTABLES_MAX as usize) as u64);
    vec![
        ColumnFamilyDescriptor::new("default", meta_family()),
        ColumnFamilyDescriptor::new(LOG, entries),
        ColumnFamilyDescriptor::new(META, meta_family()),
    ]
}

/// The state database.
pub(crate) fn state_database(buffers: &Buffers) -> Options {
    database(buffers)
}

/// The families of the state database. `memtable_bytes` bounds all memtables together.
pub(crate) fn state_families(memtable_bytes: usize, cache: &Cache) -> Vec<ColumnFamilyDescriptor> {
    let per_table = memtable_bytes / MEMTABLES_MAX as usize;
    vec![
        ColumnFamilyDescriptor::new("default", meta_family()),
        ColumnFamilyDescriptor::new(LIVE, live_family(per_table / 3, cache)),
        ColumnFamilyDescriptor::new(BULK, bulk_family(2 * per_table / 3, cache)),
        ColumnFamilyDescriptor::new(META, meta_family()),
    ]
}

/// What is set on the families of rows once they are open, since the binding knows no other way. Blocks of a file that is
/// gone leave the cache with it: compaction replaces files all the time, and nobody asks for the old ones again.
pub(crate) const ONCE_OPEN: &[(&str, &str)] = &[("uncache_aggressiveness", "1000")];

fn live_family(memtable_bytes: usize, cache: &Cache) -> Options {
    let mut options = row_family(memtable_bytes);
    options.set_compression_type(DBCompressionType::None);
    options.set_block_based_table_factory(&table(cache, 4 * KIB));
    options
}

fn bulk_family(memtable_bytes: usize, cache: &Cache) -> Options {
    let mut options = row_family(memtable_bytes);
    // What is rewritten soon is not worth compressing.
    options.set_compression_per_level(&[
        DBCompressionType::None,
        DBCompressionType::None,
        DBCompressionType::Lz4,
        DBCompressionType::Lz4,
        DBCompressionType::Lz4,
        DBCompressionType::Lz4,
        DBCompressionType::Lz4,
    ]);
    options.set_block_based_table_factory(&table(cache, BULK_BLOCK_BYTES));
    options
}

fn row_family(memtable_bytes: usize) -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(memtable_bytes);
    options.set_max_write_buffer_number(MEMTABLES_MAX);
    options.set_min_write_buffer_number_to_merge(MEMTABLES_MERGED);
    options.set_memtable_whole_key_filtering(true);
    options.set_memtable_prefix_bloom_ratio(0.02);
    options
}

fn table(cache: &Cache, block_bytes: usize) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(block_bytes);
    table.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_format_version(5);
    table
}

fn meta_family() -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(META_MEMTABLE_BYTES);
    options.set_arena_block_size(META_ARENA_BYTES);
    options
}
