//! Reads of the log: from memory when they can, from the database when they must, never more than they may.
//!
//! **Invariant:** no database read on an async thread.
//! **Invariant:** what is returned is contiguous; a hole is an error.
//! **Invariant:** an entry that does not read as it was written ends the log: the process stops.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use futures::stream;
use openraft::storage::{LeaderBoundedStreamError, LeaderBoundedStreamResult, RaftLogReader};
use openraft::{OptionalSend, errors::LeaderChanged};
use rocksdb::{Direction, ErrorKind, IteratorMode, ReadOptions};

use super::record;
use super::shared::Shared;
use crate::key_spaces::{entry_index, entry_key};
use crate::{Entry, Error, LeaderId, TypeConfig, Vote};

/// Most bytes of one read that may stop early: a frame to a peer stays well below the message limit.
pub const READ_BYTES_MAX: usize = 1 << 20;

/// Key and value as RocksDB returns them.
type RawEntry = Result<(Box<[u8]>, Box<[u8]>), rocksdb::Error>;

/// Reads a log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogReader {
    pub(crate) shared: Arc<Shared>,
}

impl LogReader {
    /// Entries from `start` up to `end` (exclusive), as far as the log has them and `bytes_max` allows; at least one if
    /// there is one.
    pub(crate) async fn read(&self, start: u64, end: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        self.shared.check()?;
        if let Some(entries) = self.read_cached(start, end, bytes_max) {
            return Ok(entries);
        }
        let reader = self.clone();
        let read = tokio::task::spawn_blocking(move || reader.read_blocking(start, end, bytes_max));
        Ok(read.await.map_err(io::Error::other)??)
    }

    /// The answer if it is in memory as a whole.
    fn read_cached(&self, start: u64, end: u64, bytes_max: usize) -> Option<Vec<Entry>> {
        let tail = self.shared.tail();
        let (start, end) = tail.clamp(start, end);
        if start < end && start < tail.cached_from() {
            return None;
        }
        let mut entries = Vec::new();
        if start < end {
            tail.cached(start, end, bytes_max, 0, &mut entries);
        }
        Some(entries)
    }

    fn read_blocking(&self, start: u64, end: u64, bytes_max: usize) -> Result<Vec<Entry>, Error> {
        let tail = self.shared.tail();
        let (start, end) = tail.clamp(start, end);
        let cached_from = tail.cached_from();
        if start >= end {
            return Ok(Vec::new());
        }
        let mut entries = Vec::new();
        if start >= cached_from {
            tail.cached(start, end, bytes_max, 0, &mut entries);
            return Ok(entries);
        }
        // What is not in memory is in the database. The iterator is made under the lock: it sees the database as it is
        // now, so neither a truncation nor a purge that follows can tear the answer.
        let disk_end = end.min(cached_from);
        let iterator = self.iterate(start, disk_end);
        let mut cached = Vec::new();
        if disk_end < end {
            tail.cached(disk_end, end, usize::MAX, 1, &mut cached);
        }
        drop(tail);
        let mut bytes_used = 0;
        for item in iterator {
            let entry = self.decode(start + entries.len() as u64, item)?;
            let bytes = record::weight(&entry);
            if bytes_used > 0 && bytes_used + bytes > bytes_max {
                return Ok(entries);
            }
            bytes_used += bytes;
            entries.push(entry);
        }
        if start + entries.len() as u64 != disk_end {
            return Err(self.damaged(format!("entry {} is missing", start + entries.len() as u64)));
        }
        for entry in cached {
            let bytes = record::weight(&entry);
            if bytes_used + bytes > bytes_max {
                break;
            }
            bytes_used += bytes;
            entries.push(entry);
        }
        Ok(entries)
    }

    fn iterate(&self, start: u64, end: u64) -> impl Iterator<Item = RawEntry> {
        let from = entry_key(start);
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(entry_key(end));
        options.fill_cache(false);
        self.shared.db.iterator_cf_opt(self.shared.entries(), options, IteratorMode::From(&from, Direction::Forward))
    }

    fn decode(&self, index: u64, item: RawEntry) -> Result<Entry, Error> {
        let (key, value) = item.map_err(|error| self.failed(&error))?;
        if entry_index(&key) != Some(index) {
            return Err(self.damaged(format!("entry {index} is missing")));
        }
        record::decode(index, Bytes::from(value)).map_err(|error| self.damaged(format!("entry {index}: {error}")))
    }

    fn failed(&self, error: &rocksdb::Error) -> Error {
        match error.kind() {
            ErrorKind::Corruption => self.damaged(error.to_string()),
            _ => self.shared.poison(format!("it cannot be read: {error}")),
        }
    }

    fn damaged(&self, why: String) -> Error {
        self.shared.damaged(why)
    }

    fn vote(&self) -> Option<Vote> {
        self.shared.tail().vote
    }

    /// Whether the vote is the one a leader holds after it was elected.
    fn check_leader(&self, leader: &LeaderId) -> Result<(), LeaderChanged<TypeConfig>> {
        match self.vote() {
            Some(vote) if vote.leader_id() == leader && vote.is_committed() => Ok(()),
            vote => Err(LeaderChanged::new(*leader, vote)),
        }
    }
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let (start, end) = bounds(&range);
        self.read(start, end, usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.read(start, end, READ_BYTES_MAX).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        self.shared.check()?;
        Ok(self.vote())
    }

    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let pages = Pages::new(self.clone(), &range);
        stream::try_unfold(pages, |mut pages| async move {
            let entry = pages.next().await?;
            Ok(entry.map(|entry| (entry, pages)))
        })
    }

    async fn leader_bounded_stream<RB>(
        &mut self,
        leader: LeaderId,
        range: RB,
    ) -> impl Stream<Item = LeaderBoundedStreamResult<TypeConfig>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let pages = Pages::new(self.clone(), &range);
        let started = false;
        stream::try_unfold((pages, started), move |(mut pages, started)| async move {
            // Between two checks of one leadership the log was not truncated: votes go through the writer's queue.
            if !started || pages.is_page_used_up() {
                pages.reader.check_leader(&leader)?;
            }
            let entry = pages.next().await.map_err(LeaderBoundedStreamError::IoError)?;
            pages.reader.check_leader(&leader)?;
            Ok(entry.map(|entry| (entry, (pages, true))))
        })
    }
}

/// Walks through a range in pages of at most [`READ_BYTES_MAX`].
struct Pages {
    reader: LogReader,
    next: u64,
    end: u64,
    page: VecDeque<Entry>,
}

impl Pages {
    fn new(reader: LogReader, range: &impl RangeBounds<u64>) -> Self {
        let (next, end) = bounds(range);
        Self { reader, next, end, page: VecDeque::new() }
    }

    fn is_page_used_up(&self) -> bool {
        self.page.is_empty()
    }

    async fn next(&mut self) -> io::Result<Option<Entry>> {
        if self.page.is_empty() && self.next < self.end {
            self.page = self.reader.read(self.next, self.end, READ_BYTES_MAX).await?.into();
        }
        let entry = self.page.pop_front();
        if let Some(entry) = &entry {
            self.next = entry.log_id.index + 1;
        }
        Ok(entry)
    }
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(index) => *index,
        Bound::Excluded(index) => index.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(index) => index.saturating_add(1),
        Bound::Excluded(index) => *index,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}
