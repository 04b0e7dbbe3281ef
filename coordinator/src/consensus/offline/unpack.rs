//! From a backup to a state, with every check there is.

use std::fs::File;
use std::path::{Path, PathBuf};

use flame_machine::{Levels, State, digest};
use flame_storage::{BackupHeader, BackupReader, Error as StorageError, StateOptions, StateStore};

use crate::consensus::error::StartError;
use crate::consensus::rows;

/// A backup that was checked from its first byte to its last, as rows of this program.
pub(super) struct Unpacked {
    pub(super) header: BackupHeader,
    pub(super) store: StateStore,
}

/// What a backup says of itself. Looks at nothing else in it.
///
/// # Errors
/// The file cannot be read, or is no backup that this program knows.
pub fn read_header(backup: &Path) -> Result<BackupHeader, StartError> {
    Ok(open(backup)?.header().clone())
}

/// Checks everything: each checksum, that the file is whole, and the digest of the state in it. Makes a directory in
/// `scratch` for that, and removes it; it takes as much room as the backup.
///
/// # Errors
/// The first thing that is wrong.
pub fn inspect(backup: &Path, scratch: &Path) -> Result<BackupHeader, StartError> {
    let room = Scratch::make(scratch)?;
    let unpacked = unpack(backup, &room.0.join("state"), &room.0.join("snapshot"))?;
    Ok(unpacked.header)
}

/// Makes rows of a backup. Both directories must not exist.
pub(super) fn unpack(backup: &Path, state_dir: &Path, scratch: &Path) -> Result<Unpacked, StartError> {
    let header = open(backup)?.unpack(scratch)?;
    let store = StateStore::open(state_dir, StateOptions::default())?;
    store.install(scratch).map_err(|error| match error {
        StorageError::BadSnapshot(why) => StorageError::BadBackup(why),
        other => other,
    })?;
    let state = rows::load(&store).map_err(|error| unusable(error.to_string()))?;
    check_digest(&header, &state)?;
    Ok(Unpacked { header, store })
}

fn open(backup: &Path) -> Result<BackupReader<File>, StartError> {
    let file = File::open(backup)
        .map_err(|source| StorageError::Io { what: format!("cannot open {}", backup.display()), source })?;
    let reader = BackupReader::open(file)?;
    let level = reader.header().feature_level;
    if !Levels::OWN.understand(level) {
        return Err(unusable(format!(
            "its cluster ran at feature level {level}, and this build understands {}: use the release that made it",
            Levels::OWN
        )));
    }
    Ok(reader)
}

fn check_digest(header: &BackupHeader, state: &State) -> Result<(), StartError> {
    let found = digest::digest(state);
    if found == header.digest {
        return Ok(());
    }
    let said = header.digest;
    Err(unusable(format!("it should hold a state with digest {said:032x}, and holds one with {found:032x}")))
}

fn unusable(why: String) -> StartError {
    StorageError::BadBackup(why).into()
}

/// A directory that goes again.
struct Scratch(PathBuf);

impl Scratch {
    fn make(parent: &Path) -> Result<Self, StartError> {
        let path = parent.join(format!(".flame-backup-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path)
            .map_err(|source| StorageError::Io { what: format!("cannot make {}", path.display()), source })?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(dir = %self.0.display(), %error, "what was unpacked to be checked is left behind");
        }
    }
}
