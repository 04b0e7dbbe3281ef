//! Writing the log: by a thread of its own, or where the caller is.
//!
//! The thread takes all that waits, writes it as one batch, syncs once, and only then tells everybody, in order. The group
//! that gathers while a sync runs is the next one; there is no other window. A caller may write a small append itself when
//! nothing waits: it saves waking the thread and being woken by it, which take longer than the sync of a quick disk.
//!
//! **Invariant:** each group is durable before the next is written, so a crash can tear the last group only. That is
//! why `committed` has no write of its own: it rides with the next group.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flame_metrics::Stopwatch;
use flame_types::LogIndex;
use openraft::storage::IOFlushed;
use rocksdb::{WriteBatch, WriteOptions};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::options::Hook;
use super::record;
use super::shared::Shared;
use crate::key_spaces::{COMMITTED, PURGED, VOTE, entry_key};
use crate::metrics::LogMetrics;
use crate::{Entry, Error, LogId, TypeConfig, Vote, codec};

/// What can be asked of the writer.
pub(crate) enum Command {
    Append { entries: Vec<Entry>, generation: u64, flushed: IOFlushed<TypeConfig> },
    Truncate { keep: Option<LogId>, last: u64 },
    Purge { upto: LogId },
    Vote { vote: Vote, done: oneshot::Sender<Result<(), Error>> },
}

/// A command and the room it takes in the queue until it is durable.
pub(crate) struct Queued {
    pub(crate) command: Command,
    pub(crate) room: OwnedSemaphorePermit,
}

/// The thread's own things.
pub(crate) struct Writer {
    pub(crate) pen: Arc<Mutex<Pen>>,
    pub(crate) queue: Receiver<Queued>,
    /// What was queued and is not settled yet.
    pub(crate) unsettled: Arc<AtomicUsize>,
}

/// Who has it writes.
pub(crate) struct Pen {
    pub(crate) shared: Arc<Shared>,
    pub(crate) hook: Option<Arc<dyn Hook>>,
    pub(crate) sync: bool,
    pub(crate) metrics: LogMetrics,
    /// The `committed` last written.
    pub(crate) committed: Option<LogId>,
}

impl std::fmt::Debug for Pen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pen").field("shared", &self.shared).finish_non_exhaustive()
    }
}

/// What of a group has to be remembered once it is durable.
#[derive(Default)]
struct Outcome {
    acknowledged: Option<u64>,
    purged: Option<u64>,
    vote: Option<Vote>,
    written: Option<(u64, u64)>,
    entries: usize,
    bytes: usize,
}

impl Writer {
    /// Runs until every sender is gone and everything queued is written.
    pub(crate) fn run(self) {
        while let Ok(first) = self.queue.recv() {
            let mut group = vec![first];
            group.extend(self.queue.try_iter());
            take(&self.pen).write_and_settle(group, &self.unsettled);
        }
        take(&self.pen).put_down();
    }
}

/// A write that panicked has poisoned the log, and nothing is written any more.
pub(crate) fn take(pen: &Mutex<Pen>) -> MutexGuard<'_, Pen> {
    pen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pen {
    /// Writes a group that was counted, and tells everybody in it. Whoever is told finds that nothing waits any more, and
    /// may write where it is; it has to wait for the pen until all are told.
    pub(crate) fn write_and_settle(&mut self, group: Vec<Queued>, unsettled: &AtomicUsize) {
        let alarm = Alarm(Arc::clone(&self.shared));
        let result = self.shared.check().and_then(|()| self.write(&group));
        unsettled.fetch_sub(group.len(), Ordering::Release);
        settle(group, &result);
        drop(alarm);
    }

    /// Nothing will be written any more.
    fn put_down(&self) {
        if self.shared.check().is_ok()
            && let Err(error) = self.shared.data.identity().settle()
        {
            self.shared.poison(error.to_string());
        }
    }

    fn write(&mut self, group: &[Queued]) -> Result<(), Error> {
        self.try_write(group).map_err(|error| self.shared.poison(error))
    }

    /// Every error here is an unknown outcome.
    fn try_write(&mut self, group: &[Queued]) -> Result<(), String> {
        self.lower_floor(group)?;
        let mut batch = WriteBatch::default();
        let mut outcome = Outcome::default();
        for queued in group {
            self.add(&queued.command, &mut batch, &mut outcome);
        }
        let committed = self.shared.tail().committed;
        if committed != self.committed
            && let Some(log_id) = committed
        {
            batch.put_cf(self.shared.meta(), COMMITTED, codec::encode_plain(&log_id));
        }
        let hook = self.hook.clone();
        hook.as_ref().map_or(Ok(()), |hook| hook.before_write()).map_err(|error: io::Error| error.to_string())?;
        let mut options = WriteOptions::default();
        options.set_sync(self.sync);
        let stopwatch = Stopwatch::start();
        self.shared.db.write_opt(batch, &options).map_err(|error| error.to_string())?;
        self.measure(&stopwatch, &outcome);
        hook.as_ref().map_or(Ok(()), |hook| hook.after_sync()).map_err(|error: io::Error| error.to_string())?;
        self.committed = committed;
        self.remember(outcome).map_err(|error| error.to_string())
    }

    fn measure(&self, stopwatch: &Stopwatch, outcome: &Outcome) {
        stopwatch.record(&self.metrics.sync);
        if outcome.entries > 0 {
            self.metrics.group.record(outcome.entries as f64);
            self.metrics.appended.increment(outcome.bytes as u64);
        }
    }

    /// A floor must never exceed what the log holds, not even between two writes.
    fn lower_floor(&self, group: &[Queued]) -> Result<(), String> {
        for queued in group {
            if let Command::Truncate { keep, .. } = &queued.command {
                let keep = keep.map(|keep| LogIndex(keep.index));
                self.shared.data.identity().lower_acknowledged(keep).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    fn add(&self, command: &Command, batch: &mut WriteBatch, outcome: &mut Outcome) {
        let (entries_family, meta) = (self.shared.entries(), self.shared.meta());
        match command {
            Command::Append { entries, generation, .. } => {
                for entry in entries {
                    let bytes = record::encode(entry);
                    outcome.bytes += bytes.len();
                    batch.put_cf(entries_family, entry_key(entry.log_id.index), bytes);
                }
                outcome.entries += entries.len();
                if let Some(last) = entries.last() {
                    outcome.acknowledged = Some(last.log_id.index);
                    outcome.written = Some((*generation, last.log_id.index));
                }
            }
            Command::Truncate { keep, last } => {
                let from = super::tail::after(*keep);
                batch.delete_range_cf(entries_family, entry_key(from), entry_key(last + 1));
                outcome.acknowledged = outcome.acknowledged.min(keep.map(|keep| keep.index));
                outcome.written = None;
            }
            Command::Purge { upto } => {
                batch.put_cf(meta, PURGED, codec::encode_plain(upto));
                batch.delete_range_cf(entries_family, entry_key(0), entry_key(upto.index + 1));
                outcome.purged = Some(upto.index);
            }
            Command::Vote { vote, .. } => {
                batch.put_cf(meta, VOTE, codec::encode_plain(vote));
                outcome.vote = Some(*vote);
            }
        }
    }

    /// The group is durable. The floors follow it before anybody hears of it, so that they cover every acknowledgement.
    fn remember(&self, outcome: Outcome) -> Result<(), Error> {
        let identity = self.shared.data.identity();
        if let Some(vote) = outcome.vote {
            identity.raise_vote(&vote)?;
            self.shared.tail().vote = Some(vote);
        }
        if let Some(index) = outcome.acknowledged {
            identity.raise_acknowledged(LogIndex(index))?;
        }
        if let Some((generation, index)) = outcome.written {
            self.shared.tail().written(generation, index);
        }
        if let Some(index) = outcome.purged {
            // Frees whole files at once; the deletion itself is in the batch, so a failure costs disk space only.
            let (from, to) = (entry_key(0), entry_key(index));
            if let Err(error) = self.shared.db.delete_file_in_range_cf(self.shared.entries(), from, to) {
                tracing::warn!(%error, "purged log files stay for a compaction to remove");
            }
        }
        Ok(())
    }
}

/// Tells everybody in the group, in order, and gives the room back.
fn settle(group: Vec<Queued>, result: &Result<(), Error>) {
    for queued in group {
        let result = match result {
            Ok(()) => Ok(()),
            Err(error) => Err(Error::Stopped(error.to_string())),
        };
        match queued.command {
            Command::Append { flushed, .. } => flushed.io_completed(result.map_err(io::Error::from)),
            // A caller that stopped waiting will ask the log what it holds.
            Command::Vote { done, .. } => drop(done.send(result)),
            Command::Truncate { .. } | Command::Purge { .. } => {}
        }
        drop(queued.room);
    }
}

/// A writer that panics has left a write with an unknown outcome.
struct Alarm(Arc<Shared>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison("the log writer panicked".into());
        }
    }
}
