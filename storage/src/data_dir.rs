//! One data directory: its lock, its layout, its identity.
//!
//! ```text
//! LOCK         held while a process uses the directory
//! feature-level  which builds may open it
//! identity     whose disk this is and what it promised
//! log/         the Raft log
//! state/       the rows: CURRENT names the database in use
//! snapshots/   being sent or received; emptied at every start, but for what has arrived of a snapshot
//! UNFINISHED   only while the directory is made from a backup, or recovered
//! ```
//!
//! **Invariant:** one process per directory.
//! **Invariant:** what was begun with a directory is finished before anybody serves from it.

use std::fs::{File, OpenOptions, TryLockError};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::level_file::LevelFile;
use crate::{Error, Expected, Identity, files};

/// How the names of directories begin that hold what has arrived of a snapshot: a transfer that was cut goes on with it, also
/// after a restart of this node.
pub const ARRIVED_PREFIX: &str = "arrived-";
/// Says what was begun and not finished.
const UNFINISHED: &str = "UNFINISHED";
const RESTORE: &str = "restore";
const RECOVERY: &str = "recovery";

/// What may lie in a directory that holds nothing.
const IGNORED: [&str; 2] = ["LOCK", "lost+found"];

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
    /// [`Error::AlreadyOpen`], [`Error::Unfinished`], [`Error::OtherLevel`], [`Error::WrongCluster`], [`Error::WrongNode`],
    /// [`Error::DamagedIdentity`], [`Error::Io`].
    pub fn open(root: impl AsRef<Path>, expected: &Expected) -> Result<Self, Error> {
        let root = root.as_ref();
        files::create_dir(root)?;
        let lock = lock(root)?;
        if let Some(what) = unfinished(root)? {
            return Err(Error::Unfinished { dir: root.to_path_buf(), what });
        }
        let level = LevelFile::open(root, &expected.levels)?;
        let has_data = ["log", "state"].iter().any(|name| root.join(name).exists());
        Self::opened(root, lock, Identity::open(root, expected, has_data)?, level)
    }

    /// Makes a directory that is to be filled from a backup. It must hold nothing, or what a restore that was cut short has
    /// left. Nobody else opens it before [`DataDir::finish`].
    ///
    /// # Errors
    /// [`Error::HoldsData`], [`Error::AlreadyOpen`], [`Error::Unfinished`] when something else was begun, [`Error::Io`].
    pub fn begin_restore(root: impl AsRef<Path>, expected: &Expected) -> Result<Self, Error> {
        let root = root.as_ref();
        files::create_dir(root)?;
        let lock = lock(root)?;
        match unfinished(root)? {
            Some(what) if what == RESTORE => {}
            Some(what) => return Err(Error::Unfinished { dir: root.to_path_buf(), what }),
            None if contents(root)?.is_empty() => mark(root, RESTORE)?,
            None => return Err(Error::HoldsData(root.to_path_buf())),
        }
        for name in contents(root)?.iter().filter(|name| *name != UNFINISHED) {
            files::remove(&root.join(name))?;
        }
        let level = LevelFile::open(root, &expected.levels)?;
        Self::opened(root, lock, Identity::open(root, expected, false)?, level)
    }

    /// Opens a directory of whatever cluster and node it says, to look into it or to recover it. `levels`: the feature levels
    /// that this program understands.
    ///
    /// # Errors
    /// [`Error::NoData`], [`Error::AlreadyOpen`], [`Error::OtherLevel`], [`Error::Unfinished`] when a restore was begun,
    /// [`Error::DamagedIdentity`], [`Error::Io`].
    pub fn open_as_found(root: impl AsRef<Path>, levels: &RangeInclusive<u32>) -> Result<Self, Error> {
        let root = root.as_ref();
        if !root.join("LOCK").is_file() {
            return Err(Error::NoData(root.to_path_buf()));
        }
        let lock = lock(root)?;
        match unfinished(root)? {
            Some(what) if what != RECOVERY => Err(Error::Unfinished { dir: root.to_path_buf(), what }),
            _ if !root.join("log").exists() => Err(Error::NoData(root.to_path_buf())),
            _ => Self::opened(root, lock, Identity::open_as_found(root)?, LevelFile::open(root, levels)?),
        }
    }

    /// Nobody but [`DataDir::open_as_found`] opens it before [`DataDir::finish`]. Durable.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn begin_recovery(&self) -> Result<(), Error> {
        mark(self.root(), RECOVERY)
    }

    /// What was begun is done. Durable.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(&self) -> Result<(), Error> {
        files::remove_dir(&self.snapshots_dir())?;
        files::remove(&self.root().join(UNFINISHED))?;
        files::sync_dir(self.root())
    }

    fn opened(root: &Path, lock: File, identity: Identity, level: LevelFile) -> Result<Self, Error> {
        let identity = Arc::new(identity);
        let data = Self(Arc::new(Inner { root: root.to_path_buf(), identity, level, _lock: lock }));
        files::create_dir(&data.snapshots_dir())?;
        for name in files::names(&data.snapshots_dir())? {
            let path = data.snapshots_dir().join(&name);
            if !name.starts_with(ARRIVED_PREFIX) {
                files::remove(&path)?;
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

/// What was begun and not finished.
fn unfinished(root: &Path) -> Result<Option<String>, Error> {
    let path = root.join(UNFINISHED);
    match std::fs::read_to_string(&path) {
        Ok(what) => Ok(Some(what.trim_end().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(format!("cannot read {}", path.display()))(error)),
    }
}

fn mark(root: &Path, what: &str) -> Result<(), Error> {
    files::write_atomically(&root.join(UNFINISHED), format!("{what}\n").as_bytes())
}

fn contents(root: &Path) -> Result<Vec<String>, Error> {
    Ok(files::names(root)?.into_iter().filter(|name| !IGNORED.contains(&name.as_str())).collect())
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
