//! Who may touch the replicated state, and when: one at a time, in the order of the log. Most of it happens on a thread of
//! its own, so that a long command or a slow disk never keeps Raft waiting. Groups that are certain to be short, which is
//! what a lone task makes, are applied where Raft runs: the way to another thread and back would cost more than that.
//!
//! **Invariant:** the caller of [`Applier::apply`] waits for the answer before it hands over the next group, so the order
//! of groups is that of the log whichever thread applies them.
//! **Invariant:** the thread of Raft never waits for the state: what is in use, may take long, or would have to wait for
//! the database goes to the thread.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use flame_machine::{Levels, State};
use flame_storage::{Entry, EntryPayload, Fatal, RowReader, SnapshotHandle, SnapshotMeta};
use flame_types::LogIndex;
use tokio::sync::{mpsc, oneshot, watch};

use super::error::{StartError, Stopped};
use super::level::{self, RunningLevel};
use super::replica::{AtOnce, Progress, Replica, Unwritten};
use super::rows::{self, Rows};
use super::sink::ApplySink;
use super::snapshots::Backlog;
use crate::metrics::handles::ApplyMetrics;

/// Messages that may wait for the thread; senders wait beyond it.
const MESSAGES_WAITING_MAX: usize = 256;

/// A group with more bytes than this goes to the thread: there it does not delay what Raft does next.
const AT_ONCE_BYTES_MAX: usize = 4 << 10;

/// Answer of the thread, as the Raft library wants it.
type Done<T> = oneshot::Sender<std::io::Result<T>>;

type Reader = Box<dyn FnOnce(&State) + Send>;

enum Message {
    Apply { entries: Vec<Entry>, done: Done<()> },
    Finish { unwritten: Box<Unwritten>, done: Done<()> },
    Read(Reader),
    Progress { done: Done<Progress> },
    Install { meta: SnapshotMeta, files: SnapshotHandle, level: u32, done: Done<()> },
    Stop { done: oneshot::Sender<()> },
}

/// `None` once the state has stopped.
type Shared = Arc<Mutex<Option<Replica>>>;

/// Reaches the state. Its thread ends when the last of these is gone.
#[derive(Clone)]
pub(super) struct Applier {
    messages: mpsc::Sender<Message>,
    replica: Shared,
}

/// What is given to others.
pub(super) struct Started {
    pub(super) applier: Applier,
    pub(super) applied: watch::Receiver<LogIndex>,
    pub(super) next_request: Arc<AtomicU64>,
    pub(super) rows: RowReader,
}

fn gone() -> std::io::Error {
    std::io::Error::other("the state has stopped")
}

/// Rows that came here by another way than the log, from a backup say, mark their directory too.
fn prepare_level(state: &State, store: &Rows) -> Result<(), StartError> {
    if !Levels::OWN.understand(state.level()) {
        return Err(StartError::Outdated(level::why("the stored state", state.level())));
    }
    Ok(store.raise_level(state.level())?)
}

impl Applier {
    /// Loads the state and starts the thread. Blocks while it loads.
    pub(super) fn start(
        store: Arc<Rows>,
        backlog: Arc<Backlog>,
        sink: Box<dyn ApplySink>,
        metrics: ApplyMetrics,
        level: RunningLevel,
        fatal: Fatal,
    ) -> Result<Started, StartError> {
        let state = rows::load(&store)?;
        prepare_level(&state, &store)?;
        let rows = store.reader();
        let replica = Replica::new(state, store, backlog, sink, metrics, level, fatal);
        let (applied, next_request) = (replica.watch_applied(), replica.next_request());
        let replica = Arc::new(Mutex::new(Some(replica)));
        let (messages, inbox) = mpsc::channel(MESSAGES_WAITING_MAX);
        let thread = Thread { replica: replica.clone() };
        std::thread::Builder::new()
            .name("apply".to_owned())
            .spawn(move || thread.run(inbox))
            .map_err(|source| StartError::Io { what: "cannot start the apply thread", source })?;
        Ok(Started { applier: Self { messages, replica }, applied, next_request, rows })
    }

    async fn ask<T>(&self, message: impl FnOnce(Done<T>) -> Message) -> std::io::Result<T> {
        let (done, answer) = oneshot::channel();
        self.messages.send(message(done)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Applies entries, in order. Returns when their rows are written and the sink was told.
    pub(super) async fn apply(&self, entries: Vec<Entry>) -> std::io::Result<()> {
        match self.apply_at_once(entries)? {
            AtOnce::Done => Ok(()),
            AtOnce::Long(entries) => self.ask(|done| Message::Apply { entries, done }).await,
            AtOnce::Held(unwritten) => self.ask(|done| Message::Finish { unwritten, done }).await,
        }
    }

    fn apply_at_once(&self, entries: Vec<Entry>) -> std::io::Result<AtOnce> {
        if entries.iter().map(bytes).sum::<usize>() > AT_ONCE_BYTES_MAX {
            return Ok(AtOnce::Long(entries));
        }
        match self.replica.try_lock() {
            Ok(mut replica) => {
                let replica = replica.as_mut().ok_or_else(gone)?;
                replica.step(|replica| replica.apply_at_once(entries))
            }
            Err(TryLockError::WouldBlock) => Ok(AtOnce::Long(entries)),
            Err(TryLockError::Poisoned(_)) => Err(gone()),
        }
    }

    /// What has been applied.
    pub(super) async fn progress(&self) -> std::io::Result<Progress> {
        self.ask(|done| Message::Progress { done }).await
    }

    /// Replaces the state by a received snapshot.
    pub(super) async fn install(&self, meta: SnapshotMeta, files: SnapshotHandle, level: u32) -> std::io::Result<()> {
        self.ask(|done| Message::Install { meta, files, level, done }).await
    }

    /// Runs a closure on the state between two groups.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&State) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (done, answer) = oneshot::channel();
        let reader: Reader = Box::new(move |state| {
            // Whoever asked may have gone away meanwhile.
            let _ = done.send(read(state));
        });
        self.messages.send(Message::Read(reader)).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// Looks at the state if nobody else has it: for the thread of Raft, which does not wait.
    pub(super) fn peek<T>(&self, look: impl FnOnce(&State) -> T) -> Option<T> {
        let replica = self.replica.try_lock().ok()?;
        replica.as_ref().and_then(Replica::state).map(look)
    }

    /// Ends the thread after what was sent before, and flushes the rows.
    pub(super) async fn stop(&self) {
        let (done, ended) = oneshot::channel();
        if self.messages.send(Message::Stop { done }).await.is_ok() {
            // An error means that the thread has ended already.
            let _ = ended.await;
        }
    }
}

fn bytes(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(data) => data.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}

/// The thread.
struct Thread {
    replica: Shared,
}

impl Thread {
    fn run(self, mut inbox: mpsc::Receiver<Message>) {
        while let Some(message) = inbox.blocking_recv() {
            match message {
                Message::Apply { entries, done } => self.answer(done, |replica| replica.apply(entries)),
                Message::Finish { unwritten, done } => self.answer(done, |replica| replica.finish(*unwritten)),
                Message::Progress { done } => self.answer(done, |replica| Ok(replica.progress())),
                Message::Install { meta, files, level, done } => {
                    self.answer(done, |replica| replica.install(&meta, &files, level));
                }
                Message::Read(read) => self.read(read),
                Message::Stop { done } => {
                    self.stop();
                    // Whoever asked may have gone away meanwhile.
                    let _ = done.send(());
                    return;
                }
            }
        }
        self.stop();
    }

    fn answer<T>(&self, done: Done<T>, work: impl FnOnce(&mut Replica) -> std::io::Result<T>) {
        let result = match self.replica.lock() {
            Ok(mut replica) => replica.as_mut().ok_or_else(gone).and_then(|replica| replica.step(work)),
            Err(_poisoned) => Err(gone()),
        };
        // Nobody waits for the answer when Raft has stopped.
        let _ = done.send(result);
    }

    /// A reader that is dropped unread tells its asker that the node has stopped.
    fn read(&self, read: Reader) {
        if let Ok(replica) = self.replica.lock()
            && let Some(state) = replica.as_ref().and_then(Replica::state)
        {
            read(state);
        }
    }

    fn stop(&self) {
        let replica = self.replica.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(replica) = replica {
            replica.flush_last();
        }
    }
}
