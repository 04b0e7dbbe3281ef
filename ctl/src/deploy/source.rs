//! What is to be deployed, file by file.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use serde::Serialize;
use tempfile::TempDir;

use super::unpack::unpack;
use crate::exit::{Exit, Failure};

/// Most files, links and folders of one package.
const ENTRIES_MAX: usize = 200_000;

/// Deepest folder.
const DEPTH_MAX: usize = 64;

/// Any of the rights to run a file.
const RUNNABLE: u32 = 0o111;

/// What the user has named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One program.
    Executable,
    /// A `.tar.gz` or `.tgz`.
    Archive,
    /// A folder.
    Directory,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Executable => "executable",
            Self::Archive => "archive",
            Self::Directory => "directory",
        })
    }
}

/// One entry of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A folder.
    Folder,
    /// A file: where it lies now, and its rights.
    File(PathBuf, u32),
    /// A symbolic link, and where to.
    Link(PathBuf),
}

/// Everything that is deployed, by the names that it has in the package, in order.
#[derive(Debug)]
pub struct Source {
    /// What the user has named.
    pub kind: Kind,
    /// The entries.
    pub entries: BTreeMap<PathBuf, Entry>,
    /// Where an archive was unpacked.
    _unpacked: Option<TempDir>,
}

impl Source {
    /// Reads what lies at a path.
    ///
    /// # Errors
    /// Says what cannot be deployed.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let metadata = fs::metadata(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::new(Exit::NotFound, format!("{shown}: there is no such file")),
            _ => Failure::failed(format!("{shown}: {error}")),
        })?;
        if metadata.is_dir() {
            return Ok(Self { kind: Kind::Directory, entries: walk(path)?, _unpacked: None });
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
            let folder = tempfile::tempdir().map_err(|error| Failure::failed(format!("no scratch folder: {error}")))?;
            unpack(path, folder.path()).map_err(|why| Failure::usage(format!("{shown}: {why}")))?;
            let entries = walk(&root_of(folder.path())?)?;
            return Ok(Self { kind: Kind::Archive, entries, _unpacked: Some(folder) });
        }
        if !metadata.is_file() || metadata.permissions().mode() & RUNNABLE == 0 {
            return Err(Failure::usage(format!("{shown}: it is neither a folder nor an archive nor a program"))
                .hint("name a folder, a .tar.gz or .tgz, or a file that may be run (chmod +x)"));
        }
        let name = Path::new("bin").join(path.file_name().unwrap_or_default());
        let file = Entry::File(path.to_owned(), metadata.permissions().mode());
        let entries = BTreeMap::from([("bin".into(), Entry::Folder), (name, file)]);
        Ok(Self { kind: Kind::Executable, entries, _unpacked: None })
    }

    /// The file of this name.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&Path> {
        match self.entries.get(Path::new(name)) {
            Some(Entry::File(path, _)) => Some(path),
            _ => None,
        }
    }

    /// The names of programs right below a folder of the package; `""` is the package itself.
    #[must_use]
    pub fn programs(&self, folder: &str) -> Vec<String> {
        let below = self.entries.iter().filter(|(name, _)| name.parent() == Some(Path::new(folder)));
        let programs = below.filter(|(_, entry)| matches!(entry, Entry::File(_, mode) if mode & RUNNABLE != 0));
        programs.filter_map(|(name, _)| Some(name.file_name()?.to_str()?.to_owned())).collect()
    }
}

/// An archive with one folder and nothing beside it is that folder.
fn root_of(folder: &Path) -> Result<PathBuf, Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("{}: {error}", folder.display()));
    let mut inside = fs::read_dir(folder).map_err(failed)?;
    match (inside.next(), inside.next()) {
        (Some(Ok(only)), None) if only.path().is_dir() => Ok(only.path()),
        _ => Ok(folder.to_owned()),
    }
}

fn walk(root: &Path) -> Result<BTreeMap<PathBuf, Entry>, Failure> {
    let mut entries = BTreeMap::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(folder) = waiting.pop() {
        let full = root.join(&folder);
        let failed = |error: std::io::Error| Failure::failed(format!("{}: {error}", full.display()));
        for found in fs::read_dir(&full).map_err(failed)? {
            let found = found.map_err(failed)?;
            let name = folder.join(found.file_name());
            let kind = found.file_type().map_err(failed)?;
            let entry = if kind.is_dir() {
                if name.components().count() > DEPTH_MAX {
                    return Err(Failure::usage(format!("{}: folders lie {DEPTH_MAX} deep", found.path().display())));
                }
                waiting.push(name.clone());
                Entry::Folder
            } else if kind.is_symlink() {
                Entry::Link(link(root, &found.path(), &name)?)
            } else if kind.is_file() {
                Entry::File(found.path(), found.metadata().map_err(failed)?.permissions().mode())
            } else {
                let why = format!("{}: it is neither a file nor a folder nor a link", found.path().display());
                return Err(Failure::usage(why));
            };
            entries.insert(name, entry);
            if entries.len() > ENTRIES_MAX {
                return Err(Failure::usage(format!("{}: it holds more than {ENTRIES_MAX} entries", root.display())));
            }
        }
    }
    if entries.is_empty() {
        return Err(Failure::usage(format!("{}: there is nothing in it", root.display())));
    }
    Ok(entries)
}

/// Where a link leads: to a file of the same package.
fn link(root: &Path, path: &Path, name: &Path) -> Result<PathBuf, Failure> {
    let refused = |why: &str| Failure::usage(format!("{}: the link {why}", path.display()));
    let to = fs::read_link(path).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    let real = fs::canonicalize(path).map_err(|_| refused("leads nowhere"))?;
    let inside = fs::canonicalize(root).is_ok_and(|root| real.starts_with(root));
    let depth = name.components().count().saturating_sub(1);
    if !inside || !stays_inside(&to, depth) {
        return Err(refused("leads out of what is deployed; it must be relative, and go up only at its beginning"));
    }
    if real.is_dir() {
        return Err(refused("leads to a folder; only links to files are deployed"));
    }
    Ok(to)
}

/// Whether a link in a folder so deep cannot leave: up at most so far, and from there only down.
pub(super) fn stays_inside(to: &Path, depth: usize) -> bool {
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
    up <= depth && down
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(source: &Source) -> Vec<String> {
        source.entries.keys().map(|name| name.display().to_string()).collect()
    }

    fn run(path: &Path) {
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_program_lies_in_bin() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serve");
        fs::write(&path, "x").unwrap();
        assert!(Source::read(&path).unwrap_err().message.contains("neither a folder nor"));
        run(&path);
        let source = Source::read(&path).unwrap();
        assert_eq!((source.kind, names(&source)), (Kind::Executable, vec!["bin".to_owned(), "bin/serve".to_owned()]));
        assert_eq!(source.programs("bin"), ["serve"]);
    }

    #[test]
    fn a_folder_is_all_that_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Source::read(folder.path()).unwrap_err().message.contains("nothing in it"));
        fs::create_dir_all(folder.path().join("a/empty")).unwrap();
        run(&folder.path().join("serve"));
        fs::write(folder.path().join("a/text"), "x").unwrap();
        symlink("a/text", folder.path().join("link")).unwrap();
        let source = Source::read(folder.path()).unwrap();
        assert_eq!(names(&source), ["a", "a/empty", "a/text", "link", "serve"]);
        assert_eq!(source.entries[Path::new("link")], Entry::Link("a/text".into()));
        assert_eq!(source.programs(""), ["serve"]);
    }

    #[test]
    fn links_stay_inside_and_lead_to_files() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("outside"), "x").unwrap();
        for (to, part) in [
            ("../outside", "leads out"),
            ("/etc/passwd", "leads out"),
            ("missing", "leads nowhere"),
            ("folder", "leads to a folder"),
            ("folder/../file", "leads out"),
        ] {
            let folder = place.path().join("root");
            fs::create_dir_all(folder.join("folder")).unwrap();
            fs::write(folder.join("file"), "x").unwrap();
            symlink(to, folder.join("link")).unwrap();
            let why = Source::read(&folder).unwrap_err().message;
            assert!(why.contains(part), "{to}: {why}");
            fs::remove_dir_all(folder).unwrap();
        }
    }
}
