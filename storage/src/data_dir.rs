//! One data directory: its lock, its layout, its identity.
//!
//! ```text
//! LOCK         held while a process uses the directory
//! feature-level  which builds may open it
//! identity     whose disk this is and what it promised
//! log/         the Raft log
//! state/       the rows: CURRENT names the database in use
//! snapshots/   being sent or received; emptied at every start, but for what has arrived of a snapshot
//! ```
//!
//! **Invariant:** one process per directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::level_file::LevelFile;
use crate::{Error, Expected, Identity, files};

/// How the names of directories begin that hold what has arrived of a snapshot: a transfer that was cut goes on with it, also
/// after a restart of this node.
pub const ARRIVED_PREFIX: &str = "arrived-";

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
        files::create_dir(&data.snapshots_dir())?;
        for name in files::names(&data.snapshots_dir())? {
            let path = data.snapshots_dir().join(&name);
            if !name.starts_with(ARRIVED_PREFIX) {
                if path.is_dir() { files::remove_dir(&path)? } else { files::remove_file(&path)? }
            }
        }
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

    /// Where snapshots that are sent or received have their files. Emptied at every start, but for directories whose names
    /// begin with [`ARRIVED_PREFIX`].
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

#[cfg(test)]
mod tests {
    use flame_types::CoordinatorId;

    use super::*;

    #[test]
    fn a_start_leaves_of_snapshots_only_what_has_arrived() {
        let root = tempfile::tempdir().unwrap();
        let expected = Expected { cluster_id: "c".to_owned(), node: CoordinatorId(1), levels: 1..=1 };
        let snapshots = DataDir::open(root.path(), &expected).unwrap().snapshots_dir();
        let arrived = snapshots.join(format!("{ARRIVED_PREFIX}x"));
        for dir in [&arrived, &snapshots.join("7")] {
            std::fs::create_dir(dir).unwrap();
            std::fs::write(dir.join("file"), b"x").unwrap();
        }
        std::fs::write(snapshots.join("stray"), b"x").unwrap();
        drop(DataDir::open(root.path(), &expected).unwrap());
        assert_eq!(files::names(&snapshots).unwrap(), [format!("{ARRIVED_PREFIX}x")]);
        assert!(arrived.join("file").exists());
    }
}
