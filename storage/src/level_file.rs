//! Which feature level the bytes of a data directory may have: the file `feature-level`, a number in decimal.
//!
//! It is written, durably, before the first byte that a lower level does not know, and read before anything else is. So a
//! build that is too old learns so from a file whose form never changes, instead of from bytes that look damaged to it.
//! Where there is none the level is the first.
//!
//! **Invariant:** the number never falls.

use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::{Error, files};

const NAME: &str = "feature-level";

/// What is in force without a file.
const FIRST: u32 = 1;

/// The level of one directory.
#[derive(Debug)]
pub(crate) struct LevelFile {
    path: PathBuf,
    level: Mutex<u32>,
}

impl LevelFile {
    /// Reads it, and refuses a directory that this program does not understand.
    pub(crate) fn open(root: &Path, understood: &RangeInclusive<u32>) -> Result<Self, Error> {
        let path = root.join(NAME);
        let found = match std::fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map_err(|error| Error::DamagedIdentity {
                dir: root.to_path_buf(),
                why: format!("{NAME} holds no number: {error}"),
            })?,
            Err(error) if error.kind() == ErrorKind::NotFound => FIRST,
            Err(error) => return Err(Error::io(format!("cannot read {}", path.display()))(error)),
        };
        if !understood.contains(&found) {
            let (lowest, highest) = (*understood.start(), *understood.end());
            return Err(Error::OtherLevel { dir: root.to_path_buf(), found, lowest, highest });
        }
        Ok(Self { path, level: Mutex::new(found) })
    }

    /// From now on the directory may hold what this level brings.
    pub(crate) fn raise(&self, to: u32) -> Result<(), Error> {
        // Nothing that is done under the lock leaves it half changed.
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        if to > *level {
            files::write_atomically(&self.path, format!("{to}\n").as_bytes())?;
            *level = to;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_its_level_and_refuses_who_does_not_understand_it() {
        let dir = tempfile::tempdir().unwrap();
        let level = LevelFile::open(dir.path(), &(1..=3)).unwrap();
        assert!(!dir.path().join(NAME).exists(), "nothing was raised yet");
        level.raise(2).unwrap();
        level.raise(1).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join(NAME)).unwrap(), "2\n");
        LevelFile::open(dir.path(), &(1..=2)).unwrap();
        for understood in [1..=1, 3..=4] {
            let refused = LevelFile::open(dir.path(), &understood).unwrap_err();
            assert!(matches!(refused, Error::OtherLevel { found: 2, .. }), "{refused}");
        }
    }

    #[test]
    fn a_directory_without_the_file_is_of_the_first_level() {
        let dir = tempfile::tempdir().unwrap();
        assert!(LevelFile::open(dir.path(), &(1..=1)).is_ok());
        let refused = LevelFile::open(dir.path(), &(2..=2)).unwrap_err();
        assert!(matches!(refused, Error::OtherLevel { found: 1, lowest: 2, highest: 2, .. }), "{refused}");
    }

    #[test]
    fn what_is_no_number_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NAME), "two").unwrap();
        let refused = LevelFile::open(dir.path(), &(1..=1)).unwrap_err();
        assert!(matches!(refused, Error::DamagedIdentity { .. }), "{refused}");
    }
}
