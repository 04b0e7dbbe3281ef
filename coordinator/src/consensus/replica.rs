//! The replicated state and the rows that hold it, as one thing that is locked while it changes.
//!
//! For every group of entries: apply them in memory, write all their rows together with the log id in one batch, then
//! tell the sink, entry by entry, in order. So whoever is told finds the rows written.
//!
//! **Invariant:** after a failed write, or a panic, nothing is applied or read any more: memory would be ahead of the
//! disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flame_machine::{Batch, Command, Ctx, Levels, RowSink, State};
use flame_storage::{
    Cause, CodecError, Entry, EntryPayload, Fatal, LogId, Membership, SnapshotHandle, SnapshotMeta, StoredMembership,
    Write,
};
use flame_types::{CoordinatorId, LogIndex, Term};
use tokio::sync::watch;

use super::brief::is_brief;
use super::entry::decode_entry;
use super::level::{self, RunningLevel};
use super::rows::{self, Rows, Writes};
use super::sink::{AppliedEntry, ApplySink};
use super::snapshots::Backlog;
use crate::metrics::handles::{ApplyMetrics, GroupWatch};

/// How far the state has come.
pub(super) type Progress = (Option<LogId>, StoredMembership);

/// The state of this node.
pub(super) struct Replica {
    state: State,
    store: Arc<Rows>,
    backlog: Arc<Backlog>,
    sink: Box<dyn ApplySink>,
    metrics: ApplyMetrics,
    level: RunningLevel,
    next_request: Arc<AtomicU64>,
    fatal: Fatal,
    last: Option<LogId>,
    membership: StoredMembership,
    applied: watch::Sender<LogIndex>,
    /// Why nothing is done any more.
    failed: Option<String>,
}

/// Entries that are applied in memory and whose rows are not written yet.
pub(super) struct Unwritten {
    writes: Vec<Write>,
    applied: Vec<AppliedEntry>,
    last: LogId,
    membership: Option<StoredMembership>,
    group: GroupWatch,
}

/// How a group fared on a thread that must not wait.
pub(super) enum AtOnce {
    /// It is applied.
    Done,
    /// It may take long: nothing was done.
    Long(Vec<Entry>),
    /// The database holds writers back: only its rows are missing, and nothing may be applied before they are written.
    Held(Box<Unwritten>),
}

impl Replica {
    pub(super) fn new(
        state: State,
        store: Arc<Rows>,
        backlog: Arc<Backlog>,
        sink: Box<dyn ApplySink>,
        metrics: ApplyMetrics,
        level: RunningLevel,
        fatal: Fatal,
    ) -> Self {
        let (last, membership) = store.applied();
        let (applied, _) = watch::channel(index_of(last.as_ref()));
        level.set(state.level());
        let next_request = Arc::new(AtomicU64::new(state.next_request().0));
        Self {
            state,
            store,
            backlog,
            sink,
            metrics,
            level,
            next_request,
            fatal,
            last,
            membership,
            applied,
            failed: None,
        }
    }

    /// The number of the next change that carries a request id, whenever it is looked at.
    pub(super) fn next_request(&self) -> Arc<AtomicU64> {
        self.next_request.clone()
    }

    /// Follows what is applied and told.
    pub(super) fn watch_applied(&self) -> watch::Receiver<LogIndex> {
        self.applied.subscribe()
    }

    /// Does something unless a former step has failed; if it fails or panics, nothing is done any more.
    pub(super) fn step<T>(&mut self, work: impl FnOnce(&mut Self) -> std::io::Result<T>) -> std::io::Result<T> {
        if let Some(why) = &self.failed {
            return Err(std::io::Error::other(why.clone()));
        }
        let result = catch_unwind(AssertUnwindSafe(|| work(self)))
            .unwrap_or_else(|_panic| Err(std::io::Error::other("apply panicked: the log of this node says where")));
        if let Err(error) = &result {
            self.failed = Some(format!("the state has stopped: {error}"));
        }
        result
    }

    /// The state, unless a step has failed.
    pub(super) fn state(&self) -> Option<&State> {
        self.failed.is_none().then_some(&self.state)
    }

    /// Applies entries, in order.
    pub(super) fn apply(&mut self, entries: Vec<Entry>) -> std::io::Result<()> {
        let batches = self.decode(&entries)?;
        match self.run(entries, batches)? {
            Some(unwritten) => self.finish(unwritten),
            None => Ok(()),
        }
    }

    /// Applies entries if that is certain to be short.
    pub(super) fn apply_at_once(&mut self, entries: Vec<Entry>) -> std::io::Result<AtOnce> {
        let batches = self.decode(&entries)?;
        if !batches.iter().flatten().all(|batch| is_brief(&self.state, batch)) {
            return Ok(AtOnce::Long(entries));
        }
        let Some(unwritten) = self.run(entries, batches)? else { return Ok(AtOnce::Done) };
        if !self.store.write_at_once(&unwritten.writes, unwritten.last, unwritten.membership.as_ref())? {
            return Ok(AtOnce::Held(Box::new(unwritten)));
        }
        self.tell(unwritten);
        Ok(AtOnce::Done)
    }

    /// Writes the rows of entries that are applied in memory, and tells of them.
    pub(super) fn finish(&mut self, unwritten: Unwritten) -> std::io::Result<()> {
        self.store.write(&unwritten.writes, unwritten.last, unwritten.membership.as_ref())?;
        self.tell(unwritten);
        Ok(())
    }

    /// The commands of each entry that has any. An entry that this build cannot read stops the node: skipping it would
    /// make this replica differ from the others.
    fn decode(&self, entries: &[Entry]) -> std::io::Result<Vec<Option<Batch>>> {
        let batch = |entry: &Entry| match &entry.payload {
            EntryPayload::Normal(data) => decode_entry(data.0.clone()).map(Some).map_err(|error| {
                if let Some(why) = unreadable(entry, &error) {
                    self.fatal.raise_as(Cause::Outdated(why));
                }
                std::io::Error::other(error)
            }),
            EntryPayload::Blank | EntryPayload::Membership(_) => Ok(None),
        };
        entries.iter().map(batch).collect()
    }

    /// Before the level rises the directory is marked with it; a level that this build does not understand stops the node
    /// before anything of it is applied.
    fn prepare_level(&self, batch: &Batch) -> std::io::Result<()> {
        let Some(level) = raised_level(batch) else { return Ok(()) };
        if Levels::OWN.understand(level) {
            return self.store.raise_level(level).map_err(std::io::Error::other);
        }
        let why = level::why("the cluster", level);
        self.fatal.raise_as(Cause::Outdated(why.clone()));
        Err(std::io::Error::other(why))
    }

    /// Applies entries in memory.
    fn run(&mut self, entries: Vec<Entry>, batches: Vec<Option<Batch>>) -> std::io::Result<Option<Unwritten>> {
        let Some(last) = entries.last().map(|entry| entry.log_id) else { return Ok(None) };
        let group = self.metrics.group(entries.len());
        let mut writes = Writes::default();
        let mut unwritten =
            Unwritten { writes: Vec::new(), applied: Vec::with_capacity(entries.len()), last, membership: None, group };
        for (entry, batch) in entries.into_iter().zip(batches) {
            let ctx = Ctx { index: LogIndex(entry.log_id.index), term: Term(entry.log_id.leader_id.term) };
            if let EntryPayload::Membership(members) = &entry.payload {
                unwritten.membership = Some(StoredMembership::new(Some(entry.log_id), members.clone()));
                tell_members(&mut self.state, members, &mut writes);
            }
            let Some(batch) = batch else {
                let generation = self.state.cluster().generation;
                unwritten.applied.push(AppliedEntry::nothing(ctx.index, ctx.term, generation));
                continue;
            };
            if let EntryPayload::Normal(data) = &entry.payload {
                self.backlog.grow(data.0.len() as u64);
            }
            self.prepare_level(&batch)?;
            let outcome = self.state.apply_to(ctx, batch, &mut writes);
            unwritten.applied.push(AppliedEntry {
                index: ctx.index,
                term: ctx.term,
                generation: self.state.cluster().generation,
                replies: outcome.replies,
                events: outcome.events,
                effects: outcome.effects,
                cache_effects: outcome.cache_effects,
                placement_dirty: outcome.placement_dirty,
                directory_dirty: outcome.directory_dirty,
            });
        }
        unwritten.writes = writes.finish();
        Ok(Some(unwritten))
    }

    fn tell(&mut self, written: Unwritten) {
        self.last = Some(written.last);
        if let Some(membership) = written.membership {
            self.membership = membership;
        }
        self.level.set(self.state.level());
        self.next_request.store(self.state.next_request().0, Ordering::Release);
        for entry in written.applied {
            self.sink.applied(entry);
        }
        self.applied.send_replace(LogIndex(written.last.index));
        written.group.applied(&self.metrics);
    }

    pub(super) fn progress(&self) -> Progress {
        (self.last, self.membership.clone())
    }

    /// `level`: at which its sender runs.
    pub(super) fn install(&mut self, meta: &SnapshotMeta, files: &SnapshotHandle, level: u32) -> std::io::Result<()> {
        let installed = index_of(meta.last_log_id.as_ref());
        self.store.raise_level(level).map_err(std::io::Error::other)?;
        self.store.install(files.dir())?;
        self.state = rows::load(&self.store).map_err(std::io::Error::other)?;
        let (last, membership) = self.store.applied();
        if last != meta.last_log_id {
            let what = format!("a snapshot that says it stands for {:?} holds rows of {last:?}", meta.last_log_id);
            return Err(std::io::Error::other(what));
        }
        self.last = last;
        self.membership = membership;
        self.level.set(self.state.level());
        self.next_request.store(self.state.next_request().0, Ordering::Release);
        self.backlog.settle();
        self.sink.installed(installed);
        self.applied.send_replace(installed);
        Ok(())
    }

    /// Spares the next start the entries since the last flush. Not needed for correctness: the log has them.
    pub(super) fn flush_last(&self) {
        if self.failed.is_some() {
            return;
        }
        if let Err(error) = self.store.flush() {
            tracing::warn!(%error, "the rows could not be flushed; the next start applies the log again");
        }
    }
}

/// Who the members are is told once a change of them is over: between, the old and the new ones vote together.
pub(super) fn tell_members(state: &mut State, members: &Membership, writes: &mut dyn RowSink) {
    if members.get_joint_config().len() == 1 {
        let ids = |ids: &mut dyn Iterator<Item = u64>| ids.map(CoordinatorId).collect();
        state.members_changed(ids(&mut members.voter_ids()), ids(&mut members.learner_ids()), writes);
    }
}

fn index_of(log_id: Option<&LogId>) -> LogIndex {
    LogIndex(log_id.map_or(0, |id| id.index))
}

/// What is said of an entry that cannot be read. Its checksum holds, or it had not come so far: then a build of a later
/// level has written what this one does not know.
fn unreadable(entry: &Entry, error: &CodecError) -> Option<String> {
    let is_later = matches!(error, CodecError::Header(_) | CodecError::Version(_));
    let what = || {
        format!(
            "entry {} of the log was written by another build: {error}; this one understands {}",
            entry.log_id.index,
            Levels::OWN
        )
    };
    is_later.then(what)
}

/// The level that a batch raises the cluster to. It is alone in its entry.
pub(super) fn raised_level(batch: &Batch) -> Option<u32> {
    let level = |command: &Command| match command {
        Command::SetFeatureLevel { level } => Some(*level),
        _ => None,
    };
    batch.items.iter().filter_map(|item| level(&item.command)).max()
}

#[cfg(test)]
mod tests {
    use flame_types::{ClientId, Seq};

    use super::*;

    #[test]
    fn a_batch_that_raises_the_level_is_known() {
        let batch = |command| Batch {
            items: vec![flame_machine::Item { client: ClientId::NONE, seq: Seq(0), below: Seq(0), command }],
            ..Batch::default()
        };
        assert_eq!(raised_level(&batch(Command::SetFeatureLevel { level: 7 })), Some(7));
        assert_eq!(raised_level(&batch(Command::Void)), None);
    }

    #[test]
    fn only_what_was_written_whole_is_another_builds() {
        let log_id = LogId::new(openraft::alias::CommittedLeaderIdOf::<flame_storage::TypeConfig>::new(1), 7);
        let entry = Entry { log_id, payload: EntryPayload::Blank };
        let unknown = unreadable(&entry, &CodecError::Header("variant 99".into())).expect("another build's");
        assert!(unknown.contains("entry 7 of the log was written by another build"), "{unknown}");
        assert_eq!(unreadable(&entry, &CodecError::Checksum), None);
    }
}
