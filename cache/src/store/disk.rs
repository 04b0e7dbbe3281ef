//! The folder of all files: one for each object, under a name of its own that nothing is read from.
//!
//! ```text
//! <folder>/lock                      held by the cache that uses it
//! <folder>/objects/ab/ab….obj        files that appeared whole
//! <folder>/new/….obj                 files that are being written; whatever is there at a start is deleted
//! <folder>/damaged/….obj             files that were not what was written, for whoever wants to look
//! ```
//!
//! An object that is replaced gets another file; then the old one is deleted. A crash between the two leaves both, and
//! the later version counts.
//!
//! **Invariant:** a file below `objects` is whole but for its last patch: it was synced, if it had to be, before it was
//! renamed into its place, and the folder after that.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use uuid::Uuid;

use crate::model::{Object, Part};
use crate::store::file::{self, Damage, Scanned};

/// Folders that files are spread over: the first byte of their names.
const FOLDERS: usize = 256;

/// Whether something must outlive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// It must, before this returns.
    Now,
    /// It need not.
    Never,
}

/// A file of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnDisk {
    /// Its name.
    name: Uuid,
    /// How many of its bytes count.
    pub bytes: u64,
    /// The version of the object in it.
    pub version: u64,
    /// The version that its base came with.
    pub base_version: u64,
}

impl OnDisk {
    /// Whether both are the same file, whatever counts of it.
    #[must_use]
    pub fn is_same_file(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system says why.
    #[error("cannot use {} for objects: {source}; name another folder with --storage, or none", .path.display())]
    Io {
        /// What was to be used.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another cache does.
    #[error("{} is used by another flame-cache; every cache needs a folder of its own (--storage)", .0.display())]
    Locked(PathBuf),
}

/// The folder.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    /// Held locked as long as the cache lives.
    _lock: File,
}

impl Disk {
    /// Makes the folder if it is not there, and locks it.
    ///
    /// # Errors
    /// [`OpenError`] says why it cannot be used.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io { path: folder.to_owned(), source };
        for part in ["objects", "new", "damaged"] {
            fs::create_dir_all(folder.join(part)).map_err(failed)?;
        }
        for at in 0..FOLDERS {
            let path = folder.join("objects").join(format!("{at:02x}"));
            if !path.is_dir() {
                fs::create_dir(&path).map_err(failed)?;
            }
        }
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("lock"));
        let lock = lock.map_err(failed)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(OpenError::Locked(folder.to_owned())),
            Err(error) => return Err(failed(error.into())),
        }
        for entry in fs::read_dir(folder.join("new")).map_err(failed)? {
            fs::remove_file(entry.map_err(failed)?.path()).map_err(failed)?;
        }
        sync_folder(&folder.join("objects")).map_err(failed)?;
        Ok(Self { folder: folder.to_owned(), _lock: lock })
    }

    /// Looks at every file, in no particular order; the bytes of objects are not read. What is not an object is set aside,
    /// what was never finished is cut off.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn scan(&self, mut found: impl FnMut(OnDisk, Scanned)) -> io::Result<()> {
        for at in 0..FOLDERS {
            for entry in fs::read_dir(self.folder.join("objects").join(format!("{at:02x}")))? {
                let path = entry?.path();
                match scan_file(&path) {
                    Ok((name, scanned)) => {
                        let Scanned { bytes, ref info, .. } = scanned;
                        let (version, base_version) = (info.version, info.base_version);
                        found(OnDisk { name, bytes, version, base_version }, scanned);
                    }
                    Err(Damage::Io(error)) => return Err(error),
                    Err(Damage::Content(why)) => self.set_aside_path(&path, &why)?,
                }
            }
        }
        Ok(())
    }

    /// Writes a file of its own for the object.
    ///
    /// # Errors
    /// The disk failed, or is full: then nothing is left.
    pub fn write(&self, object: &Object, sync: Sync) -> io::Result<OnDisk> {
        let name = Uuid::new_v4();
        let new = self.folder.join("new").join(file_name(name));
        let written = self.write_new(&new, name, object, sync);
        if written.is_err() {
            // Whether it was made at all is not known.
            let _ = fs::remove_file(&new);
        }
        let (bytes, version, base_version) = (written?, object.version(), object.base_version);
        Ok(OnDisk { name, bytes, version, base_version })
    }

    fn write_new(&self, new: &Path, name: Uuid, object: &Object, sync: Sync) -> io::Result<u64> {
        let mut file = OpenOptions::new().create_new(true).write(true).open(new)?;
        let bytes = file::write(&mut file, object)?;
        if sync == Sync::Now {
            file.sync_data()?;
        }
        let path = self.path(name);
        fs::rename(new, &path)?;
        if sync == Sync::Now {
            sync_folder(parent(&path))?;
        }
        Ok(bytes)
    }

    /// Writes parts behind what counts of the file.
    ///
    /// # Errors
    /// The disk failed, or is full: the file counts as it was.
    pub fn append(&self, on_disk: OnDisk, parts: &[Arc<Part>], sync: Sync) -> io::Result<OnDisk> {
        let file = OpenOptions::new().write(true).open(self.path(on_disk.name))?;
        let bytes = file::append(&file, on_disk.bytes, parts)?;
        if sync == Sync::Now {
            file.sync_data()?;
        }
        let version = parts.last().map_or(on_disk.version, |part| part.version);
        Ok(OnDisk { bytes, version, ..on_disk })
    }

    /// Reads an object. One that is not what was written is set aside.
    ///
    /// # Errors
    /// [`Damage::Content`] when it was set aside.
    pub fn read(&self, on_disk: OnDisk) -> Result<Object, Damage> {
        let path = self.path(on_disk.name);
        let read = File::open(&path).map_err(Damage::Io).and_then(|file| file::read(&file, on_disk.bytes));
        if let Err(Damage::Content(why)) = &read {
            self.set_aside_path(&path, why)?;
        }
        read
    }

    /// The directory has heard of this version of the object.
    ///
    /// # Errors
    /// The disk failed.
    pub fn mark_recorded(&self, on_disk: OnDisk, generation: u32) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.path(on_disk.name))?;
        file::mark_recorded(&file, generation, on_disk.version)
    }

    /// Deletes a file; one that is not there is deleted already.
    ///
    /// # Errors
    /// The disk failed.
    pub fn remove(&self, on_disk: OnDisk, sync: Sync) -> io::Result<()> {
        let path = self.path(on_disk.name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if sync == Sync::Now { sync_folder(parent(&path)) } else { Ok(()) }
    }

    fn set_aside_path(&self, path: &Path, why: &str) -> io::Result<()> {
        let to = self.folder.join("damaged").join(path.file_name().unwrap_or_default());
        tracing::error!(file = %path.display(), set_aside = %to.display(), why, "a file of an object is damaged: the object counts as missing here");
        fs::rename(path, to)
    }

    fn path(&self, name: Uuid) -> PathBuf {
        let file = file_name(name);
        self.folder.join("objects").join(&file[..2]).join(file)
    }
}

fn file_name(name: Uuid) -> String {
    format!("{}.obj", name.simple())
}

fn scan_file(path: &Path) -> Result<(Uuid, Scanned), Damage> {
    let name = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| Uuid::try_parse(stem).ok());
    let name = name.ok_or_else(|| Damage::Content("no file of ours has such a name".to_owned()))?;
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let scanned = file::scan(&file)?;
    if scanned.is_torn {
        tracing::warn!(object = %scanned.info.key, version = scanned.info.version, "a patch that was never finished is cut off");
        file.set_len(scanned.bytes)?;
        file.sync_data()?;
    }
    Ok((name, scanned))
}

/// The folder of a file of ours.
fn parent(path: &Path) -> &Path {
    path.parent().expect("files lie below the folder of objects")
}

/// Makes renames and deletions in a folder outlive a power cut.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use flame_types::ObjectKey;

    use super::*;
    use crate::model::{Blob, Content};

    fn object(text: &'static str) -> Object {
        let part = Part { version: 1, data: Blob::from(Bytes::from_static(text.as_bytes())) };
        Object {
            key: ObjectKey::parse("a/shared/o").unwrap(),
            data_type: Arc::from("raw"),
            created_ms: 0,
            base_version: 1,
            content: Content::Opaque(vec![Arc::new(part)]),
        }
    }

    fn found(disk: &Disk) -> Vec<(OnDisk, String)> {
        let mut found = Vec::new();
        disk.scan(|on_disk, scanned| found.push((on_disk, scanned.info.key.to_string()))).unwrap();
        found
    }

    #[test]
    fn files_outlive_the_cache_and_unfinished_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path()).unwrap();
        let written = disk.write(&object("hello"), Sync::Now).unwrap();
        fs::write(folder.path().join("new/half.obj"), "half").unwrap();
        drop(disk);
        let disk = Disk::open(folder.path()).unwrap();
        assert_eq!(found(&disk), [(written, "a/shared/o".to_owned())]);
        assert_eq!(disk.read(written).unwrap(), object("hello"));
        assert_eq!(fs::read_dir(folder.path().join("new")).unwrap().count(), 0);
        disk.remove(written, Sync::Now).unwrap();
        disk.remove(written, Sync::Now).unwrap();
        assert_eq!(found(&disk), []);
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path()).unwrap();
        let written = disk.write(&object("hello"), Sync::Never).unwrap();
        let path = disk.path(written.name);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(matches!(disk.read(written), Err(Damage::Content(_))));
        fs::write(folder.path().join("objects/00/notes.txt"), "not ours").unwrap();
        assert_eq!(found(&disk), []);
        assert_eq!(fs::read_dir(folder.path().join("damaged")).unwrap().count(), 2);
    }

    #[test]
    fn a_folder_has_one_user() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path()).unwrap();
        assert!(matches!(Disk::open(folder.path()), Err(OpenError::Locked(_))));
        drop(disk);
        Disk::open(folder.path()).unwrap();
    }
}
