//! What of the log is in memory: its bounds, the vote, and the newest entries.
//!
//! **Invariant:** the entries here are contiguous and end with the last one of the log.
//! **Invariant:** an entry leaves memory only after it was written, so every entry is here or in the database.

use std::collections::VecDeque;

use super::meter::Marks;
use super::record;
use crate::{Entry, Error, LogId, Vote};

#[derive(Debug)]
struct Held {
    entry: Entry,
    bytes: usize,
}

/// The state of the log, behind one short lock.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) purged: Option<LogId>,
    pub(crate) last: Option<LogId>,
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) marks: Marks,
    /// Index of the first entry, or where it would be.
    first: u64,
    entries: VecDeque<Held>,
    bytes: usize,
    bytes_max: usize,
    /// Everything below this index is in the database as it is here.
    unwritten_from: u64,
    /// Counts truncations: a report about entries written before one says nothing about those written after it.
    generation: u64,
}

impl Tail {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            purged: None,
            last: None,
            vote: None,
            committed: None,
            marks: Marks::default(),
            first: 0,
            entries: VecDeque::new(),
            bytes: 0,
            bytes_max,
            unwritten_from: 0,
            generation: 0,
        }
    }

    /// Takes over what a database was found to hold.
    pub(crate) fn recover(&mut self, purged: Option<LogId>, last: Option<LogId>) {
        self.purged = purged;
        self.last = last.max(purged);
        self.first = after(purged);
        self.unwritten_from = after(self.last);
    }

    /// Takes entries in. All or none.
    pub(crate) fn append(&mut self, entries: &[Entry]) -> Result<u64, Error> {
        let Some(head) = entries.first() else { return Ok(self.generation) };
        let next = match self.last {
            Some(last) => last.index + 1,
            None => head.log_id.index,
        };
        for (expected, entry) in (next..).zip(entries) {
            if entry.log_id.index != expected {
                let found = entry.log_id.index;
                return Err(Error::Refused(format!(
                    "entry {found} where {expected} is next: the log would get a hole"
                )));
            }
        }
        if self.last.is_none() {
            self.first = head.log_id.index;
            self.unwritten_from = self.first;
        }
        for entry in entries {
            let bytes = record::weight(entry);
            self.bytes += bytes;
            self.marks.append(entry.log_id.index, bytes);
            self.last = Some(entry.log_id);
            self.entries.push_back(Held { entry: entry.clone(), bytes });
        }
        Ok(self.generation)
    }

    /// Drops everything above `keep`. Returns what was the last entry, if anything was dropped.
    pub(crate) fn truncate(&mut self, keep: Option<LogId>) -> Option<LogId> {
        let last = self.last.filter(|last| last.index >= after(keep))?;
        let from = after(keep);
        while self.entries.back().is_some_and(|held| held.entry.log_id.index >= from) {
            let held = self.entries.pop_back().expect("just seen");
            self.bytes -= held.bytes;
        }
        self.marks.truncate(keep.map(|keep| keep.index));
        self.last = keep.max(self.purged);
        self.unwritten_from = self.unwritten_from.min(from);
        self.generation += 1;
        Some(last)
    }

    /// Drops everything up to `upto`. Returns whether that is news.
    pub(crate) fn purge(&mut self, upto: LogId) -> bool {
        if self.purged.is_some_and(|purged| purged.index >= upto.index) {
            return false;
        }
        while self.entries.front().is_some_and(|held| held.entry.log_id.index <= upto.index) {
            let held = self.entries.pop_front().expect("just seen");
            self.bytes -= held.bytes;
        }
        self.purged = Some(upto);
        self.first = upto.index + 1;
        if self.last.is_none_or(|last| last.index <= upto.index) {
            self.last = Some(upto);
            self.entries.clear();
            self.bytes = 0;
        }
        self.unwritten_from = self.unwritten_from.max(self.first);
        self.marks.purge(upto.index, self.last == Some(upto));
        true
    }

    /// Hears that entries taken in under a generation are in the database.
    pub(crate) fn written(&mut self, generation: u64, last_index: u64) {
        if generation == self.generation {
            self.unwritten_from = self.unwritten_from.max(last_index + 1);
            self.evict();
        }
    }

    /// Bytes of the entries in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn evict(&mut self) {
        while self.bytes > self.bytes_max
            && self.entries.front().is_some_and(|held| held.entry.log_id.index < self.unwritten_from)
        {
            let held = self.entries.pop_front().expect("just seen");
            self.bytes -= held.bytes;
        }
    }

    /// Limits a range to what the log has.
    pub(crate) fn clamp(&self, start: u64, end: u64) -> (u64, u64) {
        let start = start.max(self.first);
        (start, end.min(after(self.last)).max(start))
    }

    /// Index of the first entry in memory, or the one behind the last.
    pub(crate) fn cached_from(&self) -> u64 {
        self.entries.front().map_or_else(|| after(self.last), |held| held.entry.log_id.index)
    }

    /// The entries in memory from `start` to `end`, as long as they fit into `bytes_max`; at least one if `bytes_used`
    /// is 0.
    pub(crate) fn cached(&self, start: u64, end: u64, bytes_max: usize, mut bytes_used: usize, into: &mut Vec<Entry>) {
        let skip = usize::try_from(start - self.cached_from()).expect("a cache fits into memory");
        for held in self.entries.iter().skip(skip).take_while(|held| held.entry.log_id.index < end) {
            if bytes_used > 0 && bytes_used + held.bytes > bytes_max {
                break;
            }
            bytes_used += held.bytes;
            into.push(held.entry.clone());
        }
    }
}

/// The index behind a log id; 0 when there is none.
pub(crate) fn after(log_id: Option<LogId>) -> u64 {
    log_id.map_or(0, |log_id| log_id.index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EntryPayload;

    fn entries(term: u64, range: std::ops::Range<u64>) -> Vec<Entry> {
        range.map(|index| Entry { log_id: LogId::new_term_index(term, index), payload: EntryPayload::Blank }).collect()
    }

    fn cached(tail: &Tail, start: u64, end: u64) -> Vec<u64> {
        let mut found = Vec::new();
        tail.cached(start, end, usize::MAX, 0, &mut found);
        found.iter().map(|entry| entry.log_id.index).collect()
    }

    #[test]
    fn only_written_entries_are_evicted() {
        let mut tail = Tail::new(3 * record::ENTRY_OVERHEAD_BYTES);
        let generation = tail.append(&entries(1, 0..10)).unwrap();
        assert_eq!(tail.cached_from(), 0, "nothing is written yet");
        tail.written(generation, 4);
        assert_eq!(tail.cached_from(), 5, "five are written");
        tail.written(generation, 9);
        assert_eq!(cached(&tail, tail.cached_from(), 10), [7, 8, 9]);
    }

    #[test]
    fn a_report_from_before_a_truncation_is_not_believed() {
        let mut tail = Tail::new(0);
        let old = tail.append(&entries(1, 0..10)).unwrap();
        assert!(tail.truncate(Some(LogId::new_term_index(1, 4))).is_some());
        let new = tail.append(&entries(2, 5..8)).unwrap();
        tail.written(old, 9);
        assert_eq!(tail.cached_from(), 0, "entries 5 to 7 of term 2 are not in the database");
        tail.written(new, 7);
        assert_eq!(tail.cached_from(), 8);
    }

    #[test]
    fn a_hole_is_refused_and_changes_nothing() {
        let mut tail = Tail::new(1 << 20);
        tail.append(&entries(1, 0..3)).unwrap();
        assert!(tail.append(&entries(1, 4..5)).is_err());
        let mut gap = entries(1, 3..5);
        gap.remove(0);
        assert!(tail.append(&[entries(1, 3..4), entries(1, 5..6)].concat()).is_err());
        assert!(tail.append(&gap).is_err());
        assert_eq!(tail.last, Some(LogId::new_term_index(1, 2)));
        assert_eq!(cached(&tail, 0, 9), [0, 1, 2]);
    }

    #[test]
    fn purging_beyond_the_end_moves_the_end() {
        let mut tail = Tail::new(1 << 20);
        tail.append(&entries(1, 0..3)).unwrap();
        assert!(tail.purge(LogId::new_term_index(1, 1)));
        assert_eq!(tail.clamp(0, 99), (2, 3));
        assert!(tail.purge(LogId::new_term_index(2, 20)));
        assert!(!tail.purge(LogId::new_term_index(2, 20)), "no news");
        assert_eq!(tail.last, Some(LogId::new_term_index(2, 20)));
        assert_eq!(tail.clamp(0, 99), (21, 21));
        tail.append(&entries(2, 21..23)).unwrap();
        assert_eq!(cached(&tail, 21, 99), [21, 22]);
    }
}
