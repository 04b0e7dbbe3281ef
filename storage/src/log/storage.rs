//! The log as openraft wants it: changes memory, hands the change to the writer or writes itself, returns.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use flame_metrics::Stopwatch;
use openraft::OptionalSend;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::directness::Directness;
use super::meter::LogMeter;
use super::options::LogOptions;
use super::reader::LogReader;
use super::record;
use super::recovery;
use super::shared::Shared;
use super::writer::{self, Command, Pen, Queued, Writer};
use crate::{DataDir, Entry, Error, LogId, TypeConfig, Vote, rocks_options};

/// The Raft log of one node.
///
/// Dropping it waits until the writer has written all that is queued.
#[derive(Debug)]
pub struct RocksLog {
    shared: Arc<Shared>,
    /// `None` only while dropping.
    queue: Option<mpsc::Sender<Queued>>,
    unsettled: Arc<AtomicUsize>,
    pen: Arc<Mutex<Pen>>,
    directness: Directness,
    room: Arc<Semaphore>,
    room_bytes: u32,
    writer: Option<JoinHandle<()>>,
}

impl RocksLog {
    /// Opens the log of a data directory, or makes an empty one.
    ///
    /// # Errors
    /// [`Error::DamagedLog`] when anything is unreadable or missing, [`Error::Quarantine`] when the log holds less than
    /// the identity remembers, [`Error::NewerFormat`], [`Error::Io`].
    pub fn open(data: &DataDir, options: LogOptions) -> Result<Self, Error> {
        let (db, tail) = recovery::open(data, &options)?;
        let committed = tail.committed;
        let shared = Arc::new(Shared::new(db, data.clone(), options.fatal.clone(), tail));
        let (queue, receiver) = mpsc::channel();
        let pen = Arc::new(Mutex::new(Pen {
            shared: Arc::clone(&shared),
            hook: options.hook.clone(),
            sync: options.sync,
            metrics: options.metrics.clone(),
            committed,
        }));
        let unsettled = Arc::new(AtomicUsize::new(0));
        let writer = Writer { pen: Arc::clone(&pen), queue: receiver, unsettled: Arc::clone(&unsettled) };
        let writer = std::thread::Builder::new()
            .name("raft-log-writer".into())
            .spawn(move || writer.run())
            .map_err(Error::io("cannot start the log writer"))?;
        let room_bytes = u32::try_from(options.queue_bytes).unwrap_or(u32::MAX).max(1);
        let room = Arc::new(Semaphore::new(room_bytes as usize));
        let (queue, writer) = (Some(queue), Some(writer));
        Ok(Self { shared, queue, unsettled, pen, directness: Directness::default(), room, room_bytes, writer })
    }

    /// Bytes of disk that a log with so much memory for its memtables takes before it needs them.
    #[must_use]
    pub fn ahead(memtable_bytes: usize) -> u64 {
        rocks_options::log_ahead(memtable_bytes)
    }

    /// Checks that the rows reach up to what the log has purged: everything below is nowhere else.
    ///
    /// # Errors
    /// [`Error::LostState`] when rows are missing that no entry can bring back.
    pub fn check_applied(&self, applied: Option<&LogId>) -> Result<(), Error> {
        let purged = self.last_purged();
        if purged.as_ref() <= applied {
            return Ok(());
        }
        let dir = self.shared.data.state_dir();
        let have = applied.map_or("nothing".into(), ToString::to_string);
        let purged = purged.map_or("nothing".into(), |purged| purged.to_string());
        Err(Error::LostState { dir, why: format!("the rows stand for {have}, the log begins behind {purged}") })
    }

    /// The last entry, or the last purged one when there is none.
    #[must_use]
    pub fn last_log_id(&self) -> Option<LogId> {
        self.shared.tail().last
    }

    /// The last entry that was purged.
    #[must_use]
    pub fn last_purged(&self) -> Option<LogId> {
        self.shared.tail().purged
    }

    /// The vote that was saved last.
    #[must_use]
    pub fn vote(&self) -> Option<Vote> {
        self.shared.tail().vote
    }

    /// A view on the size of the log that outlives handing it to Raft.
    #[must_use]
    pub fn meter(&self) -> LogMeter {
        LogMeter { shared: Arc::clone(&self.shared), room: Arc::clone(&self.room), room_bytes: self.room_bytes }
    }

    /// A reader, without asking for `&mut self` as Raft does.
    #[must_use]
    pub fn reader(&self) -> LogReader {
        LogReader { shared: Arc::clone(&self.shared) }
    }

    /// Waits for room in the queue. A command larger than the queue waits for all of it.
    async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.room_bytes);
        let room = Arc::clone(&self.room).acquire_many_owned(bytes).await;
        room.map_err(|_| Error::Stopped("the queue of the log is closed".into()))
    }

    /// Whether an append may be written here: what was queued before it must come before it.
    fn may_write_here(&mut self, bytes: usize) -> bool {
        self.directness.allows(bytes) && self.follows() && self.unsettled.load(Ordering::Acquire) == 0
    }

    /// Whether the vote is for another node.
    fn follows(&self) -> bool {
        let own = self.shared.data.identity().node().0;
        let vote = self.shared.tail().vote;
        vote.is_some_and(|vote| vote.leader_id.voted_for != own)
    }

    fn write_here(&mut self, command: Command, room: OwnedSemaphorePermit) {
        let stopwatch = Stopwatch::start();
        self.unsettled.fetch_add(1, Ordering::Relaxed);
        writer::take(&self.pen).write_and_settle(vec![Queued { command, room }], &self.unsettled);
        self.directness.on_written(stopwatch.elapsed());
    }

    fn send(&self, command: Command, room: OwnedSemaphorePermit) -> Result<(), Error> {
        self.shared.check()?;
        let queue = self.queue.as_ref().expect("taken out only by drop");
        self.unsettled.fetch_add(1, Ordering::Relaxed);
        queue.send(Queued { command, room }).map_err(|_| self.shared.poison("the log writer is gone".into()))
    }
}

impl Drop for RocksLog {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the log writer panicked");
        }
    }
}

impl RaftLogStorage<TypeConfig> for RocksLog {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        self.shared.check()?;
        let tail = self.shared.tail();
        Ok(LogState { last_purged_log_id: tail.purged, last_log_id: tail.last })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        self.reader()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let room = self.room(record::ENTRY_OVERHEAD_BYTES).await?;
        let (done, durable) = oneshot::channel();
        self.send(Command::Vote { vote: *vote, done }, room)?;
        match durable.await {
            Ok(result) => Ok(result?),
            Err(_) => Err(self.shared.poison("the log writer is gone".into()).into()),
        }
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.shared.check()?;
        // Rides with the writer's next group.
        self.shared.tail().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        self.shared.check()?;
        Ok(self.shared.tail().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let bytes = entries.iter().map(record::weight).sum::<usize>() + record::ENTRY_OVERHEAD_BYTES;
        let room = self.room(bytes).await?;
        self.shared.check()?;
        let generation = self.shared.tail().append(&entries)?;
        let command = Command::Append { entries, generation, flushed: callback };
        if self.may_write_here(bytes) {
            self.write_here(command, room);
            return Ok(());
        }
        Ok(self.send(command, room)?)
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let room = self.room(record::ENTRY_OVERHEAD_BYTES).await?;
        self.shared.check()?;
        let last = self.shared.tail().truncate(last_log_id);
        if let Some(last) = last {
            self.send(Command::Truncate { keep: last_log_id, last: last.index }, room)?;
        }
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        let room = self.room(record::ENTRY_OVERHEAD_BYTES).await?;
        self.shared.check()?;
        if self.shared.tail().purge(log_id) {
            self.send(Command::Purge { upto: log_id }, room)?;
        }
        Ok(())
    }
}
