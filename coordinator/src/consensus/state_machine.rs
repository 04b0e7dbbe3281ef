//! The state machine as the Raft library sees it: a front of the [`applier`](super::applier).
//!
//! The rows on disk *are* the snapshot, so none is kept. When the library asks for one to be built, the rows are
//! flushed: from then on the log up to there is not needed any more. When one must be sent, the network takes a
//! checkpoint (hard links) at that moment, which holds at least what was announced; it goes away when it was sent.
//!
//! **Invariant:** what is reported as contained in a snapshot is on disk, whatever happens to the process.

use std::sync::Arc;

use flame_storage::{Entry, EntryPayload, LogId, SnapshotMeta, StoredMembership, TypeConfig};
use futures::{Stream, StreamExt};
use openraft::RaftSnapshotBuilder;
use openraft::alias::SnapshotOf;
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine, Snapshot};

use super::applier::Applier;
use super::rows::Rows;
use super::snapshot_body::{SnapshotBody, SnapshotDirs};
use super::snapshots::Backlog;

/// Most entries that are applied as one group, with one write of rows …
const GROUP_ENTRIES_MAX: usize = 64;

/// … and how many bytes of entries end a group.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// The state machine of the Raft library.
pub(super) struct StateMachine {
    pub(super) applier: Applier,
    pub(super) store: Arc<Rows>,
    pub(super) backlog: Arc<Backlog>,
    pub(super) dirs: SnapshotDirs,
}

/// Entries gathered for one group.
#[derive(Default)]
struct Group {
    entries: Vec<Entry>,
    responders: Vec<ApplyResponder<TypeConfig>>,
    bytes: usize,
}

impl Group {
    fn push(&mut self, (entry, responder): EntryResponder<TypeConfig>) {
        if let EntryPayload::Normal(data) = &entry.payload {
            self.bytes += data.0.len();
        }
        self.entries.push(entry);
        self.responders.extend(responder);
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= GROUP_ENTRIES_MAX || self.bytes >= GROUP_BYTES_MAX
    }
}

impl StateMachine {
    async fn apply_group(&self, group: Group) -> std::io::Result<()> {
        if group.entries.is_empty() {
            return Ok(());
        }
        self.applier.apply(group.entries).await?;
        for responder in group.responders {
            responder.send(());
        }
        Ok(())
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotBody;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> std::io::Result<(Option<LogId>, StoredMembership)> {
        self.applier.progress().await
    }

    async fn apply<S>(&mut self, mut entries: S) -> std::io::Result<()>
    where
        S: Stream<Item = std::io::Result<EntryResponder<TypeConfig>>> + Unpin + Send,
    {
        let mut group = Group::default();
        while let Some(next) = entries.next().await {
            group.push(next?);
            if group.is_full() {
                self.apply_group(std::mem::take(&mut group)).await?;
            }
        }
        self.apply_group(group).await
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { applier: self.applier.clone(), store: self.store.clone(), backlog: self.backlog.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotBody) -> std::io::Result<()> {
        match snapshot {
            SnapshotBody::Files(files, level) => self.applier.install(meta.clone(), files, level).await,
            SnapshotBody::Live => Err(std::io::Error::other("a snapshot of this node's own rows cannot be installed")),
        }
    }

    /// Nothing while the node starts: the rows themselves are newer than any snapshot. After that, what they are now.
    async fn get_current_snapshot(&mut self) -> std::io::Result<Option<SnapshotOf<TypeConfig, SnapshotBody>>> {
        if !self.dirs.is_open() {
            return Ok(None);
        }
        let (last_log_id, last_membership) = self.applier.progress().await?;
        let meta = SnapshotMeta { last_log_id, last_membership };
        Ok(Some(Snapshot { meta, snapshot: SnapshotBody::Live }))
    }
}

/// Makes the rows durable as they are now, or were a moment ago.
pub(super) struct Builder {
    applier: Applier,
    store: Arc<Rows>,
    backlog: Arc<Backlog>,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotBody;

    async fn build_snapshot(&mut self) -> std::io::Result<SnapshotOf<TypeConfig, SnapshotBody>> {
        self.backlog.settle();
        let (last_log_id, last_membership) = self.applier.progress().await?;
        let store = self.store.clone();
        let flushed = tokio::task::spawn_blocking(move || store.flush()).await.map_err(std::io::Error::other)??;
        if flushed < last_log_id {
            let what = format!("rows up to {last_log_id:?} were applied, but only {flushed:?} were flushed");
            return Err(std::io::Error::other(what));
        }
        let meta = SnapshotMeta { last_log_id, last_membership };
        Ok(Snapshot { meta, snapshot: SnapshotBody::Live })
    }
}
