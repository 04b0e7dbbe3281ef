//! How many bytes lie behind which index, so that the log can be purged by bytes.
//!
//! Entries are batches: a count of them says nothing about their size. A mark about every [`MARK_BYTES`] is enough.

use std::collections::VecDeque;
use std::sync::Arc;

use flame_types::LogIndex;
use tokio::sync::Semaphore;

use super::shared::Shared;
use crate::figures::{DatabaseFigures, LogFigures};

/// Distance of two marks.
const MARK_BYTES: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    /// The last entry before the mark.
    index: u64,
    /// Bytes ever appended up to and with it.
    total: u64,
}

/// The marks. All sizes are those of encoded entries.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    marks: VecDeque<Mark>,
    /// Bytes ever appended.
    total: u64,
    /// Bytes ever purged, as exact as the marks are.
    purged: u64,
}

impl Marks {
    pub(crate) fn append(&mut self, index: u64, bytes: usize) {
        self.total += bytes as u64;
        let before = self.marks.back().map_or(self.purged, |mark| mark.total);
        if self.total - before >= MARK_BYTES {
            self.marks.push_back(Mark { index, total: self.total });
        }
    }

    /// Entries between the last mark that stays and `keep` are counted as gone too: less than a mark's distance.
    pub(crate) fn truncate(&mut self, keep: Option<u64>) {
        let before = self.marks.len();
        while self.marks.back().is_some_and(|mark| Some(mark.index) > keep) {
            self.marks.pop_back();
        }
        if self.marks.len() < before || keep.is_none() {
            self.total = self.marks.back().map_or(self.purged, |mark| mark.total);
        }
    }

    pub(crate) fn purge(&mut self, upto: u64, empty: bool) {
        while let Some(mark) = self.marks.front().filter(|mark| mark.index <= upto) {
            self.purged = mark.total;
            self.marks.pop_front();
        }
        if empty {
            self.purged = self.total;
            self.marks.clear();
        }
    }

    fn bytes(&self) -> u64 {
        self.total - self.purged
    }

    fn index_leaving(&self, bytes: u64) -> Option<u64> {
        self.marks.iter().rev().find(|mark| self.total - mark.total >= bytes).map(|mark| mark.index)
    }
}

/// Reads the marks while the log itself belongs to Raft.
#[derive(Clone, Debug)]
pub struct LogMeter {
    pub(crate) shared: Arc<Shared>,
    pub(crate) room: Arc<Semaphore>,
    pub(crate) room_bytes: u32,
}

impl LogMeter {
    /// Bytes of the entries that are not purged, about.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.tail().marks.bytes()
    }

    /// The highest index up to which the log can be purged so that at least `bytes` bytes of it stay.
    #[must_use]
    pub fn index_leaving(&self, bytes: u64) -> Option<LogIndex> {
        self.shared.tail().marks.index_leaving(bytes).map(LogIndex)
    }

    /// What the log takes of memory and disk. Asks RocksDB: not for a thread that must not wait.
    #[must_use]
    pub fn figures(&self) -> LogFigures {
        let database = DatabaseFigures::read(&self.shared.db, &[self.shared.entries(), self.shared.meta()]);
        let tail = self.shared.tail();
        let queue_bytes = (self.room_bytes as usize).saturating_sub(self.room.available_permits());
        LogFigures { bytes: tail.marks.bytes(), tail_bytes: tail.bytes(), queue_bytes, database }
    }

    /// The last entry that was purged.
    #[must_use]
    pub fn purged(&self) -> Option<LogIndex> {
        self.shared.tail().purged.map(|purged| LogIndex(purged.index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn ten_mib() -> Marks {
        let mut marks = Marks::default();
        for index in 0..40 {
            marks.append(index, MIB / 4);
        }
        marks
    }

    #[test]
    fn the_index_leaves_at_least_the_bytes_asked_for() {
        let marks = ten_mib();
        assert_eq!(marks.bytes(), 10 << 20);
        assert_eq!(marks.index_leaving(0), Some(39));
        assert_eq!(marks.index_leaving(1), Some(35));
        assert_eq!(marks.index_leaving(9 << 20), Some(3));
        assert_eq!(marks.index_leaving(10 << 20), None);
    }

    #[test]
    fn purge_and_truncate_keep_the_count() {
        let mut marks = ten_mib();
        marks.purge(20, false);
        assert_eq!(marks.bytes(), 5 << 20, "up to the mark at 19");
        marks.truncate(Some(27));
        assert_eq!(marks.bytes(), 2 << 20);
        marks.truncate(None);
        assert_eq!(marks.bytes(), 0);
        marks.append(20, MIB);
        assert_eq!(marks.index_leaving(0), Some(20));
        marks.purge(100, true);
        assert_eq!(marks.bytes(), 0);
    }
}
