//! A snapshot: a directory with the files of a database and a manifest.
//!
//! ```text
//! manifest     what the rows stand for; name, size and checksum of every file
//! rows/        the files
//! ```
//!
//! **Invariant:** a directory without a manifest that agrees with every file is no snapshot.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Error, LogId, SnapshotMeta, StoredMembership, codec, files};

/// Name of the manifest.
pub const MANIFEST: &str = "manifest";

/// Name of the directory with the files of the database.
pub const ROWS: &str = "rows";

/// Most files of one snapshot: at the usual file size of 64 MiB more than any disk here holds.
pub const FILES_MAX: usize = 65_536;

/// One file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFile {
    /// Where it lies in the snapshot, such as `rows/000012.sst`.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its checksum.
    pub crc32c: u32,
}

/// What a snapshot stands for and consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotManifest {
    /// The last entry whose effect is in the rows.
    pub applied: Option<LogId>,
    /// The membership at that entry.
    pub membership: StoredMembership,
    /// The files.
    pub files: Vec<SnapshotFile>,
}

impl SnapshotManifest {
    /// Reads the manifest of a snapshot. Does not look at the files.
    ///
    /// # Errors
    /// [`Error::BadSnapshot`].
    pub fn read(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(MANIFEST);
        let bytes = std::fs::read(&path).map_err(|error| bad(format!("{}: {error}", path.display())))?;
        Self::decode(&bytes)
    }

    /// Decodes a manifest and checks that its file names stay inside the snapshot.
    ///
    /// # Errors
    /// [`Error::BadSnapshot`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let manifest: Self = codec::decode_plain(bytes).map_err(|error| bad(format!("manifest: {error}")))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Whether it lists a sensible number of files, all of them inside the snapshot.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.files.is_empty() || self.files.len() > FILES_MAX {
            return Err(bad(format!("manifest: {} files", self.files.len())));
        }
        self.files.iter().try_for_each(|file| file_path(Path::new(""), &file.name).map(drop))
    }

    /// The bytes of the manifest file.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        codec::encode_plain(self)
    }

    /// Checks that the directory holds exactly the files listed, unchanged.
    ///
    /// # Errors
    /// [`Error::BadSnapshot`] names the first file that differs.
    pub fn verify(&self, dir: &Path) -> Result<(), Error> {
        for file in &self.files {
            let (bytes, crc32c) =
                files::fingerprint(&file_path(dir, &file.name)?).map_err(|error| bad(error.to_string()))?;
            if (bytes, crc32c) != (file.bytes, file.crc32c) {
                return Err(bad(format!("{} has changed", file.name)));
            }
        }
        let present = files::names(&dir.join(ROWS)).map_err(|error| bad(error.to_string()))?;
        if present.len() != self.files.len() {
            return Err(bad(format!("{} files where {} are listed", present.len(), self.files.len())));
        }
        Ok(())
    }

    /// Which of the listed files are in the directory, unchanged. Everything else in it is removed: what is only half there,
    /// what has another content, what is not listed.
    ///
    /// # Errors
    /// [`Error::Io`] when the directory cannot be read or changed.
    pub fn keep_what_is_whole(&self, dir: &Path) -> Result<Vec<bool>, Error> {
        let mut whole = vec![false; self.files.len()];
        let listed: BTreeMap<&str, usize> =
            self.files.iter().enumerate().map(|(number, file)| (file.name.as_str(), number)).collect();
        for name in files::names(&dir.join(ROWS))? {
            let name = format!("{ROWS}/{name}");
            let path = dir.join(&name);
            let number = listed.get(name.as_str()).copied();
            let is_whole = |number: usize| -> Result<bool, Error> {
                let file = &self.files[number];
                // The size first: it costs nothing.
                let bytes = path.metadata().map_err(Error::io(format!("cannot look at {}", path.display())))?.len();
                Ok(bytes == file.bytes && files::fingerprint(&path)? == (file.bytes, file.crc32c))
            };
            match number {
                Some(number) if is_whole(number)? => whole[number] = true,
                _ => files::remove(&path)?,
            }
        }
        Ok(whole)
    }

    /// What openraft wants to know of a snapshot.
    #[must_use]
    pub fn meta(&self) -> SnapshotMeta {
        SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() }
    }

    /// Size of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Lists what lies in `<dir>/rows` and writes the manifest.
    pub(crate) fn write(dir: &Path, applied: Option<LogId>, membership: StoredMembership) -> Result<Self, Error> {
        let mut listed = Vec::new();
        for name in files::names(&dir.join(ROWS))? {
            let name = format!("{ROWS}/{name}");
            let (bytes, crc32c) = files::fingerprint(&dir.join(&name))?;
            listed.push(SnapshotFile { name, bytes, crc32c });
        }
        let manifest = Self { applied, membership, files: listed };
        files::write_atomically(&dir.join(MANIFEST), &manifest.encode())?;
        Ok(manifest)
    }
}

/// Where a file of a snapshot belongs.
///
/// # Errors
/// [`Error::BadSnapshot`] for a name that is not `rows/` and a plain file name.
pub fn file_path(dir: &Path, name: &str) -> Result<PathBuf, Error> {
    let plain = name.strip_prefix(ROWS).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if plain.is_empty() || plain.starts_with('.') || plain.len() > 255 || !plain.chars().all(allowed) {
        return Err(bad(format!("file name {name:?}")));
    }
    Ok(dir.join(name))
}

/// Holds the directory of a snapshot. Unless kept, it is removed with the last clone.
#[derive(Clone, Debug)]
pub struct SnapshotHandle(Arc<Held>);

#[derive(Debug)]
struct Held {
    dir: PathBuf,
    kept: AtomicBool,
}

impl SnapshotHandle {
    /// A directory that goes with the last clone.
    #[must_use]
    pub fn temporary(dir: PathBuf) -> Self {
        Self(Arc::new(Held { dir, kept: AtomicBool::new(false) }))
    }

    /// A directory that stays.
    #[must_use]
    pub fn kept(dir: PathBuf) -> Self {
        Self(Arc::new(Held { dir, kept: AtomicBool::new(true) }))
    }

    /// Lets the directory stay after all.
    pub fn keep(&self) {
        self.0.kept.store(true, Ordering::Release);
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Reads the manifest.
    ///
    /// # Errors
    /// [`Error::BadSnapshot`].
    pub fn manifest(&self) -> Result<SnapshotManifest, Error> {
        SnapshotManifest::read(self.dir())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Acquire)
            && let Err(error) = files::remove_dir(&self.dir)
        {
            tracing::warn!(%error, "the next start removes it");
        }
    }
}

pub(crate) fn bad(why: String) -> Error {
    Error::BadSnapshot(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_cannot_leave_the_snapshot() {
        assert!(file_path(Path::new("/s"), "rows/000012.sst").is_ok());
        for name in ["", "rows/", "rows", "000012.sst", "rows/../x", "rows/a/b", "/rows/x", "rows/.hidden", "rows/ä"] {
            assert!(file_path(Path::new("/s"), name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_directory_goes_with_the_last_clone_unless_kept() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("snapshot");
        std::fs::create_dir(&dir).unwrap();
        let kept = SnapshotHandle::temporary(dir.clone());
        kept.keep();
        drop(kept);
        assert!(dir.exists());
        let handle = SnapshotHandle::temporary(dir.clone());
        drop(handle.clone());
        assert!(dir.exists());
        drop(handle);
        assert!(!dir.exists());
    }
}
