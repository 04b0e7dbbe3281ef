//! The least state machine that uses the row store: one row per entry.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flame_storage::{
    Entry, EntryPayload, LogId, SnapshotHandle, SnapshotMeta, Space, StateStore, StoredMembership, TypeConfig, Write,
};
use futures::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::alias::SnapshotOf;
use openraft::storage::{ApplyResponder, RaftSnapshotBuilder, RaftStateMachine};

pub struct Machine {
    pub store: Arc<StateStore>,
    pub snapshots: PathBuf,
    pub current: Arc<std::sync::Mutex<Option<SnapshotHandle>>>,
    pub next: Arc<AtomicU64>,
}

pub struct Builder {
    store: Arc<StateStore>,
    dir: PathBuf,
    current: Arc<std::sync::Mutex<Option<SnapshotHandle>>>,
}

impl Machine {
    pub fn new(store: StateStore, snapshots: PathBuf) -> Self {
        Self { store: Arc::new(store), snapshots, current: Arc::default(), next: Arc::default() }
    }

    fn builder(&self) -> Builder {
        let dir = self.snapshots.join(format!("built-{}", self.next.fetch_add(1, Ordering::Relaxed)));
        Builder { store: Arc::clone(&self.store), dir, current: Arc::clone(&self.current) }
    }
}

fn whole(handle: SnapshotHandle) -> io::Result<SnapshotOf<TypeConfig, SnapshotHandle>> {
    Ok(SnapshotOf::<TypeConfig, _> { meta: handle.manifest()?.meta(), snapshot: handle })
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotHandle;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<TypeConfig, SnapshotHandle>, io::Error> {
        self.store.checkpoint(&self.dir)?;
        let handle = SnapshotHandle::temporary(self.dir.clone());
        *self.current.lock().unwrap() = Some(handle.clone());
        whole(handle)
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = SnapshotHandle;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok(self.store.applied())
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<(Entry, Option<ApplyResponder<TypeConfig>>), io::Error>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let membership = match &entry.payload {
                EntryPayload::Membership(membership) => {
                    Some(StoredMembership::new(Some(entry.log_id), membership.clone()))
                }
                _ => None,
            };
            let key = entry.log_id.index.to_be_bytes().to_vec().into();
            let row = Write::Put { space: Space::Live, key, value: format!("{}", entry.payload).into() };
            self.store.write(&[row], entry.log_id, membership.as_ref())?;
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        self.builder()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotHandle) -> Result<(), io::Error> {
        // The files move into the state; what is handed out from now on is made anew.
        let manifest = self.store.install(snapshot.dir())?;
        assert_eq!(&manifest.meta(), meta);
        self.builder().build_snapshot().await?;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<TypeConfig, SnapshotHandle>>, io::Error> {
        let current = self.current.lock().unwrap().clone();
        current.map(whole).transpose()
    }
}
