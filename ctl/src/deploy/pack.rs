//! The package. The same files make the same bytes on every machine: names are sorted, times and owners are left out.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::source::{Entry, Source};

/// Rights that a package keeps.
const MODE_KEPT: u32 = 0o777;

/// Rights of a folder.
const MODE_FOLDER: u32 = 0o755;

/// A package, in a scratch file that goes with it.
#[derive(Debug)]
pub struct Package {
    file: NamedTempFile,
    /// Its length.
    pub bytes: u64,
    /// Its checksum, in small hexadecimal digits.
    pub sha256: String,
}

impl Package {
    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.file.path().to_owned()
    }
}

/// Packs what is to be deployed.
///
/// # Errors
/// When a file cannot be read, or there is no room for the package.
pub fn pack(source: &Source) -> io::Result<Package> {
    let file = NamedTempFile::new()?;
    let hashing = Hashing { to: BufWriter::new(file.reopen()?), sum: Sha256::new(), bytes: 0 };
    let gzip = GzBuilder::new().mtime(0).write(hashing, Compression::default());
    let mut builder = tar::Builder::new(gzip);
    for (name, entry) in &source.entries {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        match entry {
            Entry::Folder => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(MODE_FOLDER);
                builder.append_data(&mut header, name, io::empty())?;
            }
            Entry::File(path, mode) => {
                let content = File::open(path)?;
                header.set_entry_type(tar::EntryType::Regular);
                header.set_mode(mode & MODE_KEPT);
                header.set_size(content.metadata()?.len());
                builder.append_data(&mut header, name, content)?;
            }
            Entry::Link(to) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_mode(MODE_KEPT);
                builder.append_link(&mut header, name, to)?;
            }
        }
    }
    let mut hashing = builder.into_inner()?.finish()?;
    hashing.flush()?;
    let sha256 = hashing.sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Package { file, bytes: hashing.bytes, sha256 })
}

/// Writes, counts and sums up.
struct Hashing<W> {
    to: W,
    sum: Sha256,
    bytes: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.sum.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::*;

    /// A folder with these files, made in this order.
    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, name).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o754)).unwrap();
        }
        symlink("b", folder.path().join("link")).unwrap();
        folder
    }

    fn package(folder: &Path) -> (String, Vec<u8>) {
        let package = pack(&Source::read(folder).unwrap()).unwrap();
        let bytes = fs::read(package.path()).unwrap();
        assert_eq!(bytes.len() as u64, package.bytes);
        (package.sha256, bytes)
    }

    #[test]
    fn the_same_files_are_the_same_package() {
        let (one, other) = (folder(&["a/x", "b"]), folder(&["b", "a/x"]));
        let (sum, bytes) = package(one.path());
        assert_eq!((sum.clone(), bytes.clone()), package(other.path()));
        assert_eq!(sum.len(), 64);
        fs::write(other.path().join("b"), "c").unwrap();
        assert_ne!(sum, package(other.path()).0);
        // It can be deployed as well, and is what it was.
        let archive = one.path().with_extension("tar.gz");
        fs::write(&archive, &bytes).unwrap();
        assert!(Source::read(&archive).unwrap_err().message.contains("deploy the folder itself to keep links"));
        fs::remove_file(archive).unwrap();
    }

    #[test]
    fn rights_and_links_are_kept() {
        let (_, bytes) = package(folder(&["a/x", "b"]).path());
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let seen: Vec<(String, u32, Option<String>)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0));
                let to = entry.link_name().unwrap().map(|to| to.display().to_string());
                (entry.path().unwrap().display().to_string(), header.mode().unwrap(), to)
            })
            .collect();
        let link = Some("b".to_owned());
        let of = |name: &str, mode, to: Option<String>| (name.to_owned(), mode, to);
        assert_eq!(seen, [of("a", 0o755, None), of("a/x", 0o754, None), of("b", 0o754, None), of("link", 0o777, link)]);
    }
}
