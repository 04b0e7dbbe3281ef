//! The one thread that owns the replicated state. Everything that touches it is a message to that thread: entries to
//! apply, closures that read, snapshots to install.
//!
//! For every group of entries: apply them in memory, write all their rows together with the log id in one batch, then
//! tell the sink, entry by entry, in order. So whoever is told finds the rows written.
//!
//! **Invariant:** after a failed write nothing is applied or read any more: memory would be ahead of the disk.

use std::sync::Arc;

use flame_machine::{Batch, Command, Ctx, FEATURE_LEVEL, State};
use flame_storage::{Entry, EntryPayload, LogId, RowReader, SnapshotHandle, SnapshotMeta, StoredMembership, Write};
use flame_types::{LogIndex, Term};
use tokio::sync::{mpsc, oneshot, watch};

use super::entry::decode_entry;
use super::error::{StartError, Stopped};
use super::rows::{self, Rows};
use super::sink::{AppliedEntry, ApplySink};
use super::snapshots::Backlog;
use crate::metrics::handles::ApplyMetrics;

/// Messages that may wait for the thread; senders wait beyond it.
const MESSAGES_WAITING_MAX: usize = 256;

/// Answer of the thread, as the Raft library wants it.
type Done<T> = oneshot::Sender<std::io::Result<T>>;

/// How far the state has come.
pub(super) type Progress = (Option<LogId>, StoredMembership);

type Reader = Box<dyn FnOnce(&State) + Send>;

enum Message {
    Apply { entries: Vec<Entry>, done: Done<()> },
    Read(Reader),
    Progress { done: Done<Progress> },
    Install { meta: SnapshotMeta, files: SnapshotHandle, done: Done<()> },
    Stop { done: oneshot::Sender<()> },
}

/// Sends messages to the thread. It ends when the last of these is gone.
#[derive(Clone)]
pub(super) struct Applier {
    messages: mpsc::Sender<Message>,
}

/// What the thread gives to others.
pub(super) struct Started {
    pub(super) applier: Applier,
    pub(super) applied: watch::Receiver<LogIndex>,
    pub(super) rows: RowReader,
}

fn gone() -> std::io::Error {
    std::io::Error::other("the apply thread has ended")
}

impl Applier {
    /// Loads the state and starts the thread. Blocks while it loads.
    pub(super) fn start(
        store: Arc<Rows>,
        backlog: Arc<Backlog>,
        sink: Box<dyn ApplySink>,
        metrics: ApplyMetrics,
    ) -> Result<Started, StartError> {
        let state = rows::load(&store)?;
        let (last, membership) = store.applied();
        let (applied, applied_seen) = watch::channel(index_of(last.as_ref()));
        let rows = store.reader();
        let (messages, inbox) = mpsc::channel(MESSAGES_WAITING_MAX);
        let worker = Worker { state, store, backlog, sink, metrics, last, membership, applied, failed: None };
        std::thread::Builder::new()
            .name("apply".to_owned())
            .spawn(move || worker.run(inbox))
            .map_err(|source| StartError::Io { what: "cannot start the apply thread", source })?;
        Ok(Started { applier: Self { messages }, applied: applied_seen, rows })
    }

    async fn ask<T>(&self, message: impl FnOnce(Done<T>) -> Message) -> std::io::Result<T> {
        let (done, answer) = oneshot::channel();
        self.messages.send(message(done)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Applies entries, in order. Returns when their rows are written and the sink was told.
    pub(super) async fn apply(&self, entries: Vec<Entry>) -> std::io::Result<()> {
        self.ask(|done| Message::Apply { entries, done }).await
    }

    /// What has been applied.
    pub(super) async fn progress(&self) -> std::io::Result<Progress> {
        self.ask(|done| Message::Progress { done }).await
    }

    /// Replaces the state by a received snapshot.
    pub(super) async fn install(&self, meta: SnapshotMeta, files: SnapshotHandle) -> std::io::Result<()> {
        self.ask(|done| Message::Install { meta, files, done }).await
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

    /// Ends the thread after what was sent before, and flushes the rows.
    pub(super) async fn stop(&self) {
        let (done, ended) = oneshot::channel();
        if self.messages.send(Message::Stop { done }).await.is_ok() {
            // An error means that the thread has ended already.
            let _ = ended.await;
        }
    }
}

fn index_of(log_id: Option<&LogId>) -> LogIndex {
    LogIndex(log_id.map_or(0, |id| id.index))
}

/// A log that goes on at a feature level this program does not know must not be applied any further: it would be
/// applied wrongly.
fn check_feature_level(batch: &Batch) -> std::io::Result<()> {
    for item in &batch.items {
        if let Command::SetFeatureLevel { level } = item.command
            && level > FEATURE_LEVEL
        {
            let what = format!(
                "the cluster runs at feature level {level} and this program knows levels up to {FEATURE_LEVEL}: \
                 start a newer release on this node"
            );
            return Err(std::io::Error::other(what));
        }
    }
    Ok(())
}

/// The thread.
struct Worker {
    state: State,
    store: Arc<Rows>,
    backlog: Arc<Backlog>,
    sink: Box<dyn ApplySink>,
    metrics: ApplyMetrics,
    last: Option<LogId>,
    membership: StoredMembership,
    applied: watch::Sender<LogIndex>,
    /// Why nothing is done any more.
    failed: Option<String>,
}

impl Worker {
    fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        while let Some(message) = inbox.blocking_recv() {
            match message {
                Message::Apply { entries, done } => self.answer(done, |worker| worker.apply(entries)),
                Message::Progress { done } => self.answer(done, |worker| Ok(worker.progress())),
                Message::Install { meta, files, done } => self.answer(done, |worker| worker.install(&meta, &files)),
                // A reader that is dropped unread tells its asker that the node has stopped.
                Message::Read(read) if self.failed.is_none() => read(&self.state),
                Message::Read(_) => {}
                Message::Stop { done } => {
                    self.flush_last();
                    drop(self);
                    let _ = done.send(());
                    return;
                }
            }
        }
        self.flush_last();
    }

    fn answer<T>(&mut self, done: Done<T>, work: impl FnOnce(&mut Self) -> std::io::Result<T>) {
        let result = match &self.failed {
            Some(why) => Err(std::io::Error::other(why.clone())),
            None => work(self),
        };
        if let Err(error) = &result {
            self.failed.get_or_insert_with(|| format!("the state has stopped: {error}"));
        }
        // Nobody waits for the answer when Raft has stopped.
        let _ = done.send(result);
    }

    fn apply(&mut self, entries: Vec<Entry>) -> std::io::Result<()> {
        let mut writes: Vec<Write> = Vec::new();
        let mut applied: Vec<AppliedEntry> = Vec::with_capacity(entries.len());
        let mut membership = None;
        let Some(last) = entries.last().map(|entry| entry.log_id) else { return Ok(()) };
        let group = self.metrics.group(entries.len());
        for entry in entries {
            let ctx = Ctx { index: LogIndex(entry.log_id.index), term: Term(entry.log_id.leader_id.term) };
            match entry.payload {
                EntryPayload::Blank => {
                    applied.push(AppliedEntry::nothing(ctx.index, ctx.term, self.state.cluster().generation))
                }
                EntryPayload::Membership(members) => {
                    membership = Some(StoredMembership::new(Some(entry.log_id), members));
                    applied.push(AppliedEntry::nothing(ctx.index, ctx.term, self.state.cluster().generation));
                }
                EntryPayload::Normal(data) => {
                    self.backlog.grow(data.0.len() as u64);
                    // An entry that this program cannot read stops the node here: skipping it would make this
                    // replica differ from the others.
                    let batch = decode_entry(data.0).map_err(std::io::Error::other)?;
                    check_feature_level(&batch)?;
                    let outcome = self.state.apply(ctx, batch);
                    writes.extend(outcome.rows.into_iter().map(rows::to_write));
                    applied.push(AppliedEntry {
                        index: ctx.index,
                        term: ctx.term,
                        generation: self.state.cluster().generation,
                        replies: outcome.replies,
                        events: outcome.events,
                        effects: outcome.effects,
                        placement_dirty: outcome.placement_dirty,
                    });
                }
            }
        }
        self.store.write(&writes, last, membership.as_ref())?;
        self.last = Some(last);
        if let Some(membership) = membership {
            self.membership = membership;
        }
        for entry in applied {
            self.sink.applied(entry);
        }
        self.applied.send_replace(LogIndex(last.index));
        group.applied(&self.metrics);
        Ok(())
    }

    fn progress(&self) -> Progress {
        (self.last, self.membership.clone())
    }

    fn install(&mut self, meta: &SnapshotMeta, files: &SnapshotHandle) -> std::io::Result<()> {
        let installed = index_of(meta.last_log_id.as_ref());
        self.store.install(files.dir())?;
        self.state = rows::load(&self.store).map_err(std::io::Error::other)?;
        let (last, membership) = self.store.applied();
        if last != meta.last_log_id {
            let what = format!("a snapshot that says it stands for {:?} holds rows of {last:?}", meta.last_log_id);
            return Err(std::io::Error::other(what));
        }
        self.last = last;
        self.membership = membership;
        self.backlog.settle();
        self.sink.installed(installed);
        self.applied.send_replace(installed);
        Ok(())
    }

    /// Spares the next start the entries since the last flush. Not needed for correctness: the log has them.
    fn flush_last(&mut self) {
        if self.failed.is_some() {
            return;
        }
        if let Err(error) = self.store.flush() {
            tracing::warn!(%error, "the rows could not be flushed; the next start applies the log again");
        }
    }
}

#[cfg(test)]
mod tests {
    use flame_types::{ClientId, Seq};

    use super::*;

    fn raises_to(level: u32) -> Batch {
        let command = Command::SetFeatureLevel { level };
        Batch {
            items: vec![flame_machine::Item { client: ClientId::NONE, seq: Seq(0), below: Seq(0), command }],
            ..Batch::default()
        }
    }

    #[test]
    fn a_level_that_is_not_known_stops_the_node_before_it_is_applied() {
        assert!(check_feature_level(&raises_to(FEATURE_LEVEL)).is_ok());
        let error = check_feature_level(&raises_to(FEATURE_LEVEL + 1)).expect_err("too high");
        assert!(error.to_string().contains("start a newer release"), "{error}");
    }
}
