//! What has arrived of a snapshot, kept until all of it has: a transfer that was cut goes on with the files that are here,
//! also after a restart of this node.
//!
//! The directory is named for the store of the sender: another one's files are other files, whatever they are called.
//!
//! **Invariant:** one transfer writes at a time; a newer one ends the older one first.
//! **Invariant:** nothing that was kept is believed: what a transfer goes on with was read again and is what is announced.
//! **Invariant:** what nobody completes goes away.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flame_storage::snapshot::ROWS;
use flame_storage::{SnapshotHandle, SnapshotManifest};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::Uuid;

use super::snapshot_body::SnapshotDirs;

/// For how long what has arrived is kept when nobody sends the rest. Far longer than a leader takes to try again.
const KEPT_MAX: Duration = Duration::from_secs(600);

/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// A snapshot that is on its way to this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receiving {
    /// Bytes that are here.
    pub arrived: u64,
    /// Bytes of all.
    pub of: u64,
    /// Bytes that an earlier transfer, which was cut, had brought.
    pub kept: u64,
}

/// The transfers to this node.
#[derive(Clone)]
pub(super) struct Arrivals(Arc<Inner>);

struct Inner {
    dirs: SnapshotDirs,
    turn: Arc<tokio::sync::Mutex<()>>,
    current: Mutex<Current>,
}

struct Current {
    /// Raised when a newer one wants to begin.
    superseded: CancellationToken,
    receiving: Option<Receiving>,
    /// Since when nothing is under way.
    idle_since: Instant,
}

/// A transfer that is under way.
pub(super) struct Arrival {
    arrivals: Arrivals,
    /// Where its files are put.
    pub(super) dir: PathBuf,
    /// Which files of the manifest are there already.
    pub(super) whole: Vec<bool>,
    /// Raised when a newer transfer wants to begin.
    pub(super) superseded: CancellationToken,
    _turn: OwnedMutexGuard<()>,
}

fn disk(error: impl std::fmt::Display) -> Status {
    Status::internal(format!("the snapshot cannot be stored: {error}"))
}

impl Arrivals {
    pub(super) fn new(dirs: SnapshotDirs) -> Self {
        let current = Current { superseded: CancellationToken::new(), receiving: None, idle_since: Instant::now() };
        Self(Arc::new(Inner { dirs, turn: Arc::default(), current: Mutex::new(current) }))
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        // Nothing that is done under the lock can fail halfway.
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is on its way, if anything is.
    pub(super) fn receiving(&self) -> Option<Receiving> {
        self.lock().receiving
    }

    /// Waits for the turn of a new transfer, and ends the one that has it.
    pub(super) async fn take_turn(&self) -> Result<Turn, Status> {
        let superseded = CancellationToken::new();
        std::mem::replace(&mut self.lock().superseded, superseded.clone()).cancel();
        let turn = self.0.turn.clone().lock_owned().await;
        if superseded.is_cancelled() {
            return Err(super::receive::superseded());
        }
        Ok(Turn { arrivals: self.clone(), superseded, turn })
    }

    /// Removes what nobody completes, for as long as the node runs.
    pub(super) async fn sweep(self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let Ok(_turn) = self.0.turn.try_lock() else { continue };
            if self.lock().idle_since.elapsed() < KEPT_MAX {
                continue;
            }
            let dirs = self.0.dirs.clone();
            let swept = tokio::task::spawn_blocking(move || dirs.forget_arrived(None)).await;
            if let Ok(Err(error)) = swept {
                tracing::warn!(%error, "what has arrived of a snapshot stays until the next start");
            }
        }
    }
}

/// The right to begin a transfer.
pub(super) struct Turn {
    arrivals: Arrivals,
    superseded: CancellationToken,
    turn: OwnedMutexGuard<()>,
}

impl Turn {
    /// Begins: looks which of the files have come before, and removes everything else. Reads what is there.
    pub(super) async fn begin(self, store: Uuid, manifest: &SnapshotManifest) -> Result<Arrival, Status> {
        let dirs = self.arrivals.0.dirs.clone();
        let dir = dirs.of_sender(store);
        let look = {
            let (dir, manifest) = (dir.clone(), manifest.clone());
            move || -> Result<Vec<bool>, Status> {
                dirs.forget_arrived(Some(dir.as_path())).map_err(disk)?;
                std::fs::create_dir_all(dir.join(ROWS)).map_err(disk)?;
                manifest.keep_what_is_whole(&dir).map_err(disk)
            }
        };
        let looked = tokio::task::spawn_blocking(look).await;
        let whole = looked.map_err(|error| Status::internal(error.to_string()))??;
        let bytes = |(file, is_whole): (&flame_storage::SnapshotFile, &bool)| if *is_whole { file.bytes } else { 0 };
        let kept = manifest.files.iter().zip(&whole).map(bytes).sum();
        self.arrivals.lock().receiving = Some(Receiving { arrived: kept, of: manifest.bytes(), kept });
        let Self { arrivals, superseded, turn } = self;
        Ok(Arrival { arrivals, dir, whole, superseded, _turn: turn })
    }
}

impl Arrival {
    /// So many more bytes are here.
    pub(super) fn grew(&self, bytes: u64) {
        if let Some(receiving) = &mut self.arrivals.lock().receiving {
            receiving.arrived += bytes;
        }
    }

    /// All files are here: from now on they belong to whoever holds the handle.
    pub(super) fn complete(&self) -> std::io::Result<SnapshotHandle> {
        let handle = self.arrivals.0.dirs.next();
        std::fs::rename(&self.dir, handle.dir())?;
        Ok(handle)
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        // Its turn is not over yet: nobody else is receiving anything.
        let mut current = self.arrivals.lock();
        current.idle_since = Instant::now();
        current.receiving = None;
    }
}
