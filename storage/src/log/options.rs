//! Sizes of the log, and where tests reach in.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::metrics::LogMetrics;
use crate::{Buffers, Fatal};

const MIB: usize = 1 << 20;

/// Called on the writer thread around each group: tests use it to hold the writer or to make the disk fail.
pub trait Hook: Send + Sync + 'static {
    /// Before a group is written. An error stands for a failed write.
    ///
    /// # Errors
    /// Whatever the test wants the disk to say.
    fn before_write(&self) -> io::Result<()> {
        Ok(())
    }

    /// After a group was synced, before anybody hears of it. An error stands for a sync that failed although the data
    /// arrived: an unknown outcome.
    ///
    /// # Errors
    /// Whatever the test wants the disk to say.
    fn after_sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// How the log uses memory and disk.
#[derive(Clone)]
pub struct LogOptions {
    /// All memtables together, of which the last is being filled while the others wait to be flushed; the write-ahead
    /// logs hold about half as much.
    pub memtable_bytes: usize,
    /// Entries kept in memory for readers.
    pub tail_bytes: usize,
    /// Entries that wait for the writer; beyond it `append` waits for room, so that a vote is never far behind.
    pub queue_bytes: usize,
    /// What it shares with the other database of the process.
    pub buffers: Buffers,
    /// What the writer records.
    pub metrics: LogMetrics,
    /// Raised when a write fails.
    pub fatal: Fatal,
    pub(crate) sync: bool,
    pub(crate) hook: Option<Arc<dyn Hook>>,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            memtable_bytes: 256 * MIB,
            tail_bytes: 64 * MIB,
            queue_bytes: 32 * MIB,
            buffers: Buffers::default(),
            metrics: LogMetrics::default(),
            fatal: Fatal::new(),
            sync: true,
            hook: None,
        }
    }
}

impl LogOptions {
    /// The flag to raise when a write fails.
    #[must_use]
    pub fn with_fatal(self, fatal: Fatal) -> Self {
        Self { fatal, ..self }
    }

    /// The handles of the writer.
    #[must_use]
    pub fn with_metrics(self, metrics: LogMetrics) -> Self {
        Self { metrics, ..self }
    }

    /// `false` leaves the sync out: fast, and worthless after a power cut.
    #[must_use]
    pub fn sync_for_tests_only(self, sync: bool) -> Self {
        Self { sync, ..self }
    }

    /// Lets a test see and break each group.
    #[must_use]
    pub fn hook_for_tests_only(self, hook: Arc<dyn Hook>) -> Self {
        Self { hook: Some(hook), ..self }
    }
}

impl fmt::Debug for LogOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogOptions")
            .field("memtable_bytes", &self.memtable_bytes)
            .field("tail_bytes", &self.tail_bytes)
            .field("queue_bytes", &self.queue_bytes)
            .field("sync", &self.sync)
            .finish_non_exhaustive()
    }
}
