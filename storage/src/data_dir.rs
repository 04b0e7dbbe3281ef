//! One data directory: its lock, its layout, its identity.
//!
//! ```text
//! LOCK         held while a process uses the directory
//! feature-level  which builds may open it
//! identity     whose disk this is and what it promised
//! log/         the Raft log
//! state/       the rows: CURRENT names the database in use
//! snapshots/   being built, sent or received; emptied at every start
//! ```
//!
//! **Invariant:** one process per directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::level_file::LevelFile;
use crate::{Error, Expected, Identity, files};

/// An open, locked data directory. Clones share the lock; it is released with the last one.
#[derive(Clone, Debug)]
pub struct DataDir(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    identity: Arc<Identity>,
    level: LevelFile,
    /// Held for its lock only.
    _lock: File,
}

impl DataDir {
    /// Makes the directory if need be, locks it, and checks whose it is.
    ///
    /// # Errors
    /// [`Error::AlreadyOpen`], [`Error::OtherLevel`], [`Error::WrongCluster`], [`Error::WrongNode`],
    /// [`Error::DamagedIdentity`], [`Error::Io`].
    pub fn open(root: impl AsRef<Path>, expected: &Expected) -> Result<Self, Error> {
        let root = root.as_ref();
        files::create_dir(root)?;
        let lock = lock(root)?;
        let level = LevelFile::open(root, &expected.levels)?;
        let has_data = ["log", "state"].iter().any(|name| root.join(name).exists());
        let identity = Arc::new(Identity::open(root, expected, has_data)?);
        let data = Self(Arc::new(Inner { root: root.to_path_buf(), identity, level, _lock: lock }));
        files::remove_dir(&data.snapshots_dir())?;
        files::create_dir(&data.snapshots_dir())?;
        Ok(data)
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// Whose disk this is.
    #[must_use]
    pub fn identity(&self) -> &Arc<Identity> {
        &self.0.identity
    }

    /// From now on the directory may hold what this feature level brings: builds that do not understand it refuse to open
    /// it.
    ///
    /// # Errors
    /// [`Error::Io`]: nothing of that level may be written.
    pub fn raise_level(&self, to: u32) -> Result<(), Error> {
        self.0.level.raise(to)
    }

    /// Where the Raft log lies.
    #[must_use]
    pub fn log_dir(&self) -> PathBuf {
        self.0.root.join("log")
    }

    /// Where the rows lie.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.0.root.join("state")
    }

    /// Where snapshots are built and received. Emptied at every start.
    #[must_use]
    pub fn snapshots_dir(&self) -> PathBuf {
        self.0.root.join("snapshots")
    }
}

fn lock(root: &Path) -> Result<File, Error> {
    let path = root.join("LOCK");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::io(format!("cannot open {}", path.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::AlreadyOpen(root.to_path_buf())),
        Err(TryLockError::Error(error)) => Err(Error::io(format!("cannot lock {}", path.display()))(error)),
    }
}
