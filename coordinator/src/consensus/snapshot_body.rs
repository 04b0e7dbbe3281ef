//! What a snapshot is made of: nothing but the rows that are there anyway, or a directory of files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flame_storage::SnapshotHandle;
use flame_storage::data_dir::ARRIVED_PREFIX;
use uuid::Uuid;

/// The content of a snapshot.
#[derive(Clone, Debug)]
pub(super) enum SnapshotBody {
    /// The rows of this node. Files are made of them when they are sent.
    Live,
    /// What was received from another node, and the feature level at which that runs: its rows may be of it.
    Files(SnapshotHandle, u32),
}

/// Where snapshots that are sent or received have their files, each in a directory of its own.
#[derive(Clone)]
pub(super) struct SnapshotDirs(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    next: AtomicU64,
    open: AtomicBool,
}

impl SnapshotDirs {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self(Arc::new(Inner { dir, next: AtomicU64::new(0), open: AtomicBool::new(false) }))
    }

    /// The node has started: from now on snapshots are given out.
    pub(super) fn open(&self) {
        self.0.open.store(true, Ordering::Release);
    }

    pub(super) fn is_open(&self) -> bool {
        self.0.open.load(Ordering::Acquire)
    }

    /// Where the files of a snapshot from this store are put as they arrive.
    pub(super) fn of_sender(&self, store: Uuid) -> PathBuf {
        self.0.dir.join(format!("{ARRIVED_PREFIX}{store}"))
    }

    /// Removes what has arrived of snapshots, but for one directory.
    pub(super) fn forget_arrived(&self, but: Option<&Path>) -> std::io::Result<()> {
        for entry in std::fs::read_dir(&self.0.dir)? {
            let entry = entry?;
            let is_arrived = entry.file_name().to_string_lossy().starts_with(ARRIVED_PREFIX);
            if is_arrived && but != Some(entry.path().as_path()) {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// A directory that does not exist yet and goes away with the last reference to it.
    pub(super) fn next(&self) -> SnapshotHandle {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        SnapshotHandle::temporary(self.0.dir.join(number.to_string()))
    }
}
