//! Archives, unpacked into a folder of their own.
//!
//! **Invariant:** nothing is written outside of the folder, whatever an archive says: names are relative and without `..`,
//! nothing goes through a link, and links point to where they cannot leave.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use super::url::Packed;

/// Most files, folders and links of an archive.
const ENTRIES_MAX: usize = 200_000;

/// Longest target of a link, in bytes.
const TARGET_BYTES_MAX: u64 = 4096;

/// Rights that an archive may give: never set-user-id, never to write for others.
const MODE_ALLOWED: u32 = 0o755;

/// Rights of a file in every case: its owner reads and writes it.
const MODE_OWNER: u32 = 0o600;

/// Rights of a file whose archive does not say.
const MODE_UNSAID: u32 = 0o644;

/// Kind and rights in the mode of a file, as zip archives from Unix have them.
const KIND: u32 = 0o170_000;
const KIND_LINK: u32 = 0o120_000;

/// Unpacks an archive into an empty folder. At most `bytes_max` come out of it. The error says what is wrong with it.
pub(crate) fn unpack(archive: &Path, packed: Packed, folder: &Path, bytes_max: u64) -> Result<(), String> {
    let file = File::open(archive).map_err(|error| error.to_string())?;
    let mut target = Target { folder, entries: 0, bytes_left: bytes_max, bytes_max };
    match packed {
        Packed::TarGz => unpack_tar(file, &mut target),
        Packed::Zip => unpack_zip(file, &mut target),
    }
}

fn unpack_tar(file: File, target: &mut Target<'_>) -> Result<(), String> {
    let broken = |error: io::Error| format!("it is no whole .tar.gz archive: {error}");
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(BufReader::new(file)));
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = entry.path().map_err(broken)?.into_owned();
        let mode = entry.header().mode().unwrap_or(MODE_UNSAID);
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            target.make_folder(&name)?;
        } else if kind.is_file() || kind.is_gnu_sparse() || kind.is_contiguous() {
            target.make_file(&name, mode, &mut entry)?;
        } else if kind.is_symlink() {
            let to = entry.link_name().map_err(broken)?.ok_or_else(|| format!("the link {name:?} has no target"))?;
            target.make_link(&name, &to)?;
        } else if kind.is_pax_global_extensions() || kind.is_pax_local_extensions() {
            // Says something about others; the library has read it.
        } else {
            return Err(format!("{name:?} is neither a file nor a folder nor a symbolic link"));
        }
    }
    Ok(())
}

fn unpack_zip(file: File, target: &mut Target<'_>) -> Result<(), String> {
    let broken = |error: zip::result::ZipError| format!("it is no whole .zip archive: {error}");
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(broken)?;
    for at in 0..archive.len() {
        let mut entry = archive.by_index(at).map_err(broken)?;
        let name = PathBuf::from(entry.name().map_err(broken)?.into_owned());
        let mode = entry.unix_mode();
        if entry.is_dir() {
            target.make_folder(&name)?;
        } else if mode.is_some_and(|mode| mode & KIND == KIND_LINK) {
            let mut to = String::new();
            let read = entry.by_ref().take(TARGET_BYTES_MAX).read_to_string(&mut to);
            read.map_err(|error| format!("the link {name:?} cannot be read: {error}"))?;
            target.make_link(&name, Path::new(&to))?;
        } else {
            target.make_file(&name, mode.unwrap_or(MODE_UNSAID), &mut entry)?;
        }
    }
    Ok(())
}

/// The folder that is filled, and what may still come.
struct Target<'a> {
    folder: &'a Path,
    entries: usize,
    bytes_left: u64,
    bytes_max: u64,
}

impl Target<'_> {
    fn make_folder(&mut self, name: &Path) -> Result<(), String> {
        let Some(path) = self.place(name)? else { return Ok(()) };
        if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
            return Ok(());
        }
        fs::create_dir(&path).map_err(|error| format!("{name:?}: {error}"))
    }

    fn make_file(&mut self, name: &Path, mode: u32, content: &mut dyn Read) -> Result<(), String> {
        let Some(path) = self.place(name)? else { return Err(format!("{name:?} is no name of a file")) };
        self.make_way(&path, name)?;
        let failed = |error: io::Error| format!("{name:?}: {error}");
        // What comes twice counts as it comes last. A link is replaced, not followed.
        remove(&path).map_err(failed)?;
        let mode = mode & MODE_ALLOWED | MODE_OWNER;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path).map_err(failed)?;
        let written = io::copy(&mut content.take(self.bytes_left.saturating_add(1)), &mut file).map_err(failed)?;
        self.bytes_left = self.bytes_left.checked_sub(written).ok_or_else(|| {
            format!("it holds more than {} bytes, eight times worker.package_bytes_max", self.bytes_max)
        })?;
        // The mask of the process must not take away what the archive gives.
        file.set_permissions(Permissions::from_mode(mode)).map_err(failed)
    }

    fn make_link(&mut self, name: &Path, to: &Path) -> Result<(), String> {
        let Some(path) = self.place(name)? else { return Err(format!("{name:?} is no name of a link")) };
        let depth = path.strip_prefix(self.folder).map_or(0, |inner| inner.components().count()).saturating_sub(1);
        if !stays_inside(to, depth) {
            return Err(format!("the link {name:?} to {to:?} leads out of it"));
        }
        self.make_way(&path, name)?;
        remove(&path).and_then(|()| symlink(to, &path)).map_err(|error| format!("{name:?}: {error}"))
    }

    /// Where an entry goes; none for the folder itself.
    fn place(&mut self, name: &Path) -> Result<Option<PathBuf>, String> {
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            return Err(format!("it holds more than {ENTRIES_MAX} entries"));
        }
        let mut path = self.folder.to_owned();
        let mut parts = 0;
        for component in name.components() {
            match component {
                Component::CurDir => {}
                Component::Normal(part) => {
                    path.push(part);
                    parts += 1;
                }
                Component::Prefix(_) | Component::RootDir | Component::ParentDir => {
                    return Err(format!("the name {name:?} leads out of it"));
                }
            }
        }
        Ok((parts > 0).then_some(path))
    }

    /// Makes the folders above a file, which must be folders, not links to some.
    fn make_way(&self, path: &Path, name: &Path) -> Result<(), String> {
        let parent = path.parent().and_then(|parent| parent.strip_prefix(self.folder).ok()).unwrap_or(Path::new(""));
        let mut way = self.folder.to_owned();
        for part in parent.components() {
            way.push(part);
            match fs::symlink_metadata(&way) {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => return Err(format!("the name {name:?} goes through what is no folder")),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir(&way).map_err(|error| format!("{name:?}: {error}"))?;
                }
                Err(error) => return Err(format!("{name:?}: {error}")),
            }
        }
        Ok(())
    }
}

/// Whether a link that lies `depth` folders deep cannot leave: up at most so far, and from there only down. Up again
/// after a name could go up from wherever a link of that name points to.
fn stays_inside(to: &Path, depth: usize) -> bool {
    let (mut up, mut down) = (0, false);
    for component in to.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if down => return false,
            Component::ParentDir => up += 1,
            Component::Normal(_) => down = true,
            Component::Prefix(_) | Component::RootDir => return false,
        }
    }
    up <= depth && to.as_os_str().len() as u64 <= TARGET_BYTES_MAX && !to.as_os_str().is_empty()
}

/// Removes a file or a link that may not be there.
fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const MANY: u64 = 1 << 20;

    enum Entry {
        File(&'static str, &'static str, u32),
        Link(&'static str, &'static str),
        Folder(&'static str),
        Hard(&'static str, &'static str),
    }

    /// Writes names as they are: the library refuses to write those that are tested here.
    fn header(name: &str, kind: tar::EntryType, size: usize, mode: u32) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header.set_mode(mode);
        header
    }

    fn tar_gz(folder: &Path, entries: &[Entry]) -> PathBuf {
        let path = folder.join("a.tar.gz");
        let mut builder = tar::Builder::new(GzEncoder::new(File::create(&path).unwrap(), Compression::fast()));
        for entry in entries {
            let (mut header, content) = match entry {
                Entry::File(name, text, mode) => {
                    (header(name, tar::EntryType::Regular, text.len(), *mode), text.as_bytes())
                }
                Entry::Folder(name) => (header(name, tar::EntryType::Directory, 0, 0o755), &b""[..]),
                Entry::Link(name, to) | Entry::Hard(name, to) => {
                    let is_hard = matches!(entry, Entry::Hard(..));
                    let kind = if is_hard { tar::EntryType::Link } else { tar::EntryType::Symlink };
                    let mut header = header(name, kind, 0, 0o777);
                    header.as_old_mut().linkname[..to.len()].copy_from_slice(to.as_bytes());
                    (header, &b""[..])
                }
            };
            header.set_cksum();
            builder.append(&header, content).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap();
        path
    }

    fn unpacked(entries: &[Entry]) -> (tempfile::TempDir, Result<(), String>) {
        let place = tempfile::tempdir().unwrap();
        let archive = tar_gz(place.path(), entries);
        let folder = place.path().join("out");
        fs::create_dir(&folder).unwrap();
        let result = unpack(&archive, Packed::TarGz, &folder, MANY);
        (place, result)
    }

    #[test]
    fn files_folders_and_links_come_out_with_their_rights() {
        let (place, result) = unpacked(&[
            Entry::Folder("./d"),
            Entry::File("d/run", "echo", 0o4777),
            Entry::File("new/way/text", "t", 0o444),
            Entry::Link("d/again", "run"),
            Entry::Link("d/up", "../new/way/text"),
        ]);
        result.unwrap();
        let out = place.path().join("out");
        let mode = |name: &str| fs::metadata(out.join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("d/run"), mode("new/way/text")), (0o755, 0o644));
        assert_eq!(fs::read_to_string(out.join("d/again")).unwrap(), "echo");
        assert_eq!(fs::read_to_string(out.join("d/up")).unwrap(), "t");
    }

    #[test]
    fn nothing_leaves_the_folder() {
        for entries in [
            vec![Entry::File("../evil", "x", 0o644)],
            vec![Entry::File("/evil", "x", 0o644)],
            vec![Entry::File("a/../../evil", "x", 0o644)],
            vec![Entry::Link("a", "..")],
            vec![Entry::Link("a", "/tmp")],
            vec![Entry::Link("d/a", "../../x")],
            vec![Entry::Link("root", "."), Entry::Link("b", "root/../evil")],
            vec![Entry::Link("a", "d"), Entry::File("a/evil", "x", 0o644)],
            vec![Entry::File("a", "x", 0o644), Entry::Hard("b", "../a")],
        ] {
            let (place, result) = unpacked(&entries);
            assert!(result.is_err());
            assert!(!place.path().join("evil").exists());
        }
    }

    #[test]
    fn a_file_in_place_of_a_link_replaces_it() {
        let (place, result) =
            unpacked(&[Entry::File("kept", "kept", 0o644), Entry::Link("a", "kept"), Entry::File("a", "new", 0o644)]);
        result.unwrap();
        let text = |name: &str| fs::read_to_string(place.path().join("out").join(name)).unwrap();
        assert_eq!((text("kept"), text("a")), ("kept".to_owned(), "new".to_owned()));
    }

    #[test]
    fn more_than_the_limit_does_not_come_out() {
        let place = tempfile::tempdir().unwrap();
        let archive = tar_gz(place.path(), &[Entry::File("a", "12345", 0o644), Entry::File("b", "678", 0o644)]);
        let folder = place.path().join("out");
        fs::create_dir(&folder).unwrap();
        let why = unpack(&archive, Packed::TarGz, &folder, 7).unwrap_err();
        assert!(why.contains("more than 7 bytes"), "{why}");
    }

    #[test]
    fn half_an_archive_is_none() {
        let place = tempfile::tempdir().unwrap();
        let archive = tar_gz(place.path(), &[Entry::File("a", "12345", 0o644)]);
        let bytes = fs::read(&archive).unwrap();
        fs::write(&archive, &bytes[..bytes.len() / 2]).unwrap();
        assert!(unpack(&archive, Packed::TarGz, place.path(), MANY).unwrap_err().contains("no whole .tar.gz"));
        assert!(unpack(&archive, Packed::Zip, place.path(), MANY).unwrap_err().contains("no whole .zip"));
    }

    #[test]
    fn zip_archives_follow_the_same_rules() {
        let options = |mode| zip::write::SimpleFileOptions::default().unix_permissions(mode);
        let write = |names: &[&str]| {
            let mut bytes = io::Cursor::new(Vec::new());
            let mut writer = zip::ZipWriter::new(&mut bytes);
            for name in names {
                writer.start_file(*name, options(0o755)).unwrap();
                writer.write_all(b"text").unwrap();
            }
            writer.add_symlink("d/link", "a", options(0o777)).unwrap();
            writer.finish().unwrap();
            bytes.into_inner()
        };
        let place = tempfile::tempdir().unwrap();
        let archive = place.path().join("a.zip");
        let out = place.path().join("out");
        fs::create_dir(&out).unwrap();
        fs::write(&archive, write(&["d/a"])).unwrap();
        unpack(&archive, Packed::Zip, &out, MANY).unwrap();
        assert_eq!(fs::read_to_string(out.join("d/link")).unwrap(), "text");
        assert_eq!(fs::metadata(out.join("d/a")).unwrap().permissions().mode() & 0o777, 0o755);
        fs::write(&archive, write(&["../evil"])).unwrap();
        assert!(unpack(&archive, Packed::Zip, &out, MANY).unwrap_err().contains("leads out of it"));
        assert!(!place.path().join("evil").exists());
    }
}
