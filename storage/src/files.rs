//! The few file operations whose order decides what survives a power cut.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::Error;

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(Error::io(format!("cannot sync directory {}", dir.display())))
}

/// Makes the content of a file durable.
pub(crate) fn sync_file(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|file| file.sync_all()).map_err(Error::io(format!("cannot sync {}", path.display())))
}

/// Makes a directory and its name durable. One that exists is fine.
pub(crate) fn create_dir(dir: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(Error::io(format!("cannot make directory {}", dir.display())))?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => Ok(()),
    }
}

/// Replaces a file so that after a crash either the old or the new content is there, whole.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("tmp");
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(Error::io(format!("cannot replace {}", path.display())))?;
    sync_dir(path.parent().expect("a file that is replaced lies in a directory"))
}

/// Removes a directory with all in it. One that is absent is fine.
pub(crate) fn remove_dir(dir: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(format!("cannot remove {}", dir.display()))(error))
        }
        _ => Ok(()),
    }
}

/// Removes a file, or a directory with all in it. What is absent is fine.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return remove_dir(path);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(format!("cannot remove {}", path.display()))(error))
        }
        _ => Ok(()),
    }
}

/// The names in a directory, sorted. Names that are not text are skipped: none of ours is such a one.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let read = || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    };
    read().map_err(Error::io(format!("cannot list {}", dir.display())))
}

/// Size and CRC-32C of a file, read in pieces.
pub(crate) fn fingerprint(path: &Path) -> Result<(u64, u32), Error> {
    const PIECE_BYTES: usize = 1 << 20;
    let read = || -> io::Result<(u64, u32)> {
        let mut file = File::open(path)?;
        let mut piece = vec![0; PIECE_BYTES];
        let (mut bytes, mut checksum) = (0, 0);
        loop {
            match io::Read::read(&mut file, &mut piece)? {
                0 => return Ok((bytes, checksum)),
                count => {
                    bytes += count as u64;
                    checksum = crc32c::crc32c_append(checksum, &piece[..count]);
                }
            }
        }
    };
    read().map_err(Error::io(format!("cannot read {}", path.display())))
}
