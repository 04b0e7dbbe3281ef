//! Memory that the two databases of a process share: one cache of blocks, and one account of all memtables.
//!
//! Each database has memtables of its own sizes; the account is over both, and makes them flush before their sizes would:
//! so a database that cannot flush as fast as it is written to does not take more than both were given.

use std::fmt;

use rocksdb::{Cache, WriteBufferManager};

const MIB: usize = 1 << 20;

/// Handle to what is shared. Cheap to clone.
#[derive(Clone)]
pub struct Buffers {
    pub(crate) memtables: WriteBufferManager,
    pub(crate) cache: Cache,
}

impl Buffers {
    /// Room for so many bytes of memtables, and for so many of blocks.
    #[must_use]
    pub fn new(memtable_bytes: usize, block_cache_bytes: usize) -> Self {
        // A write must not be held up: whoever would wait is the log's writer, or apply.
        let memtables = WriteBufferManager::new_write_buffer_manager(memtable_bytes, false);
        Self { memtables, cache: Cache::new_lru_cache(block_cache_bytes) }
    }

    /// Bytes of memtables in use, those that are being flushed included.
    #[must_use]
    pub fn memtable_bytes(&self) -> usize {
        self.memtables.get_usage()
    }

    /// Bytes of blocks in memory.
    #[must_use]
    pub fn block_bytes(&self) -> usize {
        self.cache.get_usage()
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new(384 * MIB, 64 * MIB)
    }
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (memtables, blocks) = (self.memtable_bytes(), self.block_bytes());
        f.debug_struct("Buffers").field("memtables", &memtables).field("blocks", &blocks).finish()
    }
}
