//! Folders and locks on disk: the folder of an application, its releases, what its URLs had, and what leaves.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flame_types::AppName;
use rustix::fs::{FlockOperation, Timespec, Timestamps, UTIME_NOW, flock, futimens, syncfs};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::{InstallError, disk};
use super::fetch::Fingerprint;
use super::url::PackageUrl;
use crate::shim::host::remove_file;

/// Says that a release is whole, and what it is.
const RECORD: &str = "release.json";

/// Held locked by whoever uses the release; its time of change says when that began last.
const IN_USE: &str = "in-use";

/// Most releases of one application that stay unused.
const KEPT_PER_APPLICATION: usize = 4;

/// Most applications whose folder stays although nothing of them is installed: their logs, and what their URLs had.
const EMPTY_KEPT: usize = 1024;

/// First and longest pause between two tries to get a lock that another worker holds.
const TRY_AFTER: Duration = Duration::from_millis(10);
const TRY_AFTER_MAX: Duration = Duration::from_millis(200);

/// Largest file of our own that is read back.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The folder of one application, while nobody else on this host installs or removes anything of it.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) folder: PathBuf,
    _lock: File,
}

/// What a URL had when it was last asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    pub(crate) url: String,
    pub(crate) sha256: String,
    pub(crate) fingerprint: Fingerprint,
}

/// What a release is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Where it came from first.
    pub(crate) url: String,
    pub(crate) sha256: String,
    /// `binary` or `python3.12`.
    pub(crate) variant: String,
    /// Folders with native libraries, relative to the release.
    pub(crate) library_dirs: Vec<PathBuf>,
    /// Folders with Python modules beside `deps`, relative to the release.
    pub(crate) module_dirs: Vec<PathBuf>,
}

/// A whole release. It is not removed while this, or a clone of it, is there.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    pub(crate) folder: PathBuf,
    pub(crate) record: Record,
    _in_use: Arc<File>,
}

impl Home {
    /// Waits until nobody else has the folder.
    pub(crate) async fn lock(apps: &Path, application: &AppName) -> Result<Self, InstallError> {
        let folder = apps.join(application.as_str());
        let mut pause = TRY_AFTER;
        loop {
            fs::create_dir_all(&folder).map_err(disk(&folder))?;
            if let Some(home) = Self::try_lock(folder.clone()).map_err(disk(&folder))? {
                for part in ["releases", "sources"] {
                    fs::create_dir_all(folder.join(part)).map_err(disk(&folder))?;
                }
                return Ok(home);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(TRY_AFTER_MAX);
        }
    }

    /// The folder if nobody has it now.
    fn try_lock(folder: PathBuf) -> io::Result<Option<Self>> {
        let path = folder.join("lock");
        let lock = match open_lock(&path) {
            // Somebody has just removed the folder.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        if !try_lock(&lock, FlockOperation::NonBlockingLockExclusive)? {
            return Ok(None);
        }
        // Whoever had it may have removed it with the whole folder: then it locks nobody out.
        let is_there =
            fs::metadata(&path).is_ok_and(|there| lock.metadata().is_ok_and(|ours| ours.ino() == there.ino()));
        Ok(is_there.then_some(Self { folder, _lock: lock }))
    }

    /// Where a package is fetched to.
    pub(crate) fn download(&self) -> PathBuf {
        self.folder.join("download")
    }

    /// What this URL had; none if it was never asked, or nobody can read what was written then.
    pub(crate) fn source(&self, url: &PackageUrl) -> Option<Source> {
        read(&self.source_file(url)).filter(|source: &Source| source.url == url.to_string())
    }

    pub(crate) fn remember(&self, url: &PackageUrl, source: &Source) -> Result<(), InstallError> {
        let path = self.source_file(url);
        write(&path, source).map_err(disk(&path))
    }

    fn source_file(&self, url: &PackageUrl) -> PathBuf {
        let name = hexadecimal(&Sha256::digest(url.to_string().as_bytes()));
        self.folder.join("sources").join(format!("{name}.json"))
    }

    /// A whole release of this content, held from now on.
    pub(crate) fn release(&self, sha256: &str, variant: &str) -> Result<Option<Release>, InstallError> {
        let folder = self.release_folder(sha256, variant);
        let is_it = |record: &Record| record.sha256 == sha256 && record.variant == variant;
        match read(&folder.join(RECORD)).filter(is_it) {
            Some(record) => hold(folder, record).map(Some),
            None => Ok(None),
        }
    }

    /// An empty folder for a release of this content; what is left of a half one is removed.
    pub(crate) fn begin(&self, sha256: &str, variant: &str) -> Result<PathBuf, InstallError> {
        let folder = self.release_folder(sha256, variant);
        remove_folder(&folder).and_then(|()| fs::create_dir(&folder)).map_err(disk(&folder))?;
        Ok(folder)
    }

    /// Declares the folder whole. All of it is on disk before that is said.
    pub(crate) fn finish(&self, folder: PathBuf, record: Record) -> Result<Release, InstallError> {
        let path = folder.join(RECORD);
        let synced = File::open(&folder).and_then(|folder| Ok(syncfs(folder)?));
        synced.and_then(|()| write(&path, &record)).map_err(disk(&path))?;
        hold(folder, record)
    }

    fn release_folder(&self, sha256: &str, variant: &str) -> PathBuf {
        self.folder.join("releases").join(format!("{sha256}-{variant}"))
    }

    /// The releases that nobody uses, each with the time when somebody last began to.
    fn unused(&self) -> io::Result<Vec<(SystemTime, PathBuf)>> {
        let mut unused = Vec::new();
        for entry in releases_of(&self.folder)? {
            let folder = entry?.path();
            let lock = match File::open(folder.join(IN_USE)) {
                Ok(lock) => lock,
                // Half a release; the next install of it removes it, and so does whoever looks first.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    unused.push((SystemTime::UNIX_EPOCH, folder));
                    continue;
                }
                Err(error) => return Err(error),
            };
            if try_lock(&lock, FlockOperation::NonBlockingLockExclusive)? {
                unused.push((lock.metadata()?.modified()?, folder));
            }
        }
        unused.sort();
        Ok(unused)
    }
}

/// Removes releases that nobody uses, those used longest ago first: of this application all but a few, and of all
/// applications together all but `kept`. An application that somebody installs at this moment is left alone.
pub(crate) fn collect(apps: &Path, home: &Home, kept: usize) -> io::Result<()> {
    let mut own = home.unused()?;
    let too_many = own.len().saturating_sub(KEPT_PER_APPLICATION.min(kept));
    for (_, folder) in own.drain(..too_many) {
        remove_release(&folder)?;
    }
    let mut all = own;
    let mut others = Vec::new();
    for entry in fs::read_dir(apps)? {
        let folder = entry?.path();
        if folder == home.folder || !folder.is_dir() {
            continue;
        }
        if let Some(other) = Home::try_lock(folder)? {
            all.extend(other.unused()?);
            // Nobody begins to use one of these before it was looked at.
            others.push(other);
        }
    }
    all.sort();
    let too_many = all.len().saturating_sub(kept);
    for (_, folder) in all.drain(..too_many) {
        remove_release(&folder)?;
    }
    forget(others)
}

/// Of applications without a release only so many stay.
fn forget(homes: Vec<Home>) -> io::Result<()> {
    let mut empty = Vec::new();
    for home in homes {
        if releases_of(&home.folder)?.next().is_none() {
            empty.push((fs::metadata(home.folder.join("lock"))?.modified()?, home));
        }
    }
    empty.sort_by_key(|(used, _)| *used);
    let too_many = empty.len().saturating_sub(EMPTY_KEPT);
    for (_, home) in empty.drain(..too_many) {
        remove_folder(&home.folder)?;
    }
    Ok(())
}

/// First what says that it is whole: what is left of a removal that breaks off is half a release.
fn remove_release(folder: &Path) -> io::Result<()> {
    tracing::info!(folder = %folder.display(), "removes an installed package that nobody uses");
    remove_file(&folder.join(RECORD))?;
    remove_folder(folder)
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    fs::remove_dir_all(folder).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

/// Marks a release as used from now on. Whoever removes releases holds the lock of the application, as we do.
fn hold(folder: PathBuf, record: Record) -> Result<Release, InstallError> {
    let path = folder.join(IN_USE);
    let held = || -> io::Result<File> {
        let file = open_lock(&path)?;
        flock(&file, FlockOperation::NonBlockingLockShared)?;
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        futimens(&file, &Timestamps { last_access: now, last_modification: now })?;
        Ok(file)
    };
    let file = held().map_err(disk(&path))?;
    Ok(Release { folder, record, _in_use: Arc::new(file) })
}

/// What lies in the folder of releases, which whoever looks makes if it is not there yet.
fn releases_of(folder: &Path) -> io::Result<fs::ReadDir> {
    let releases = folder.join("releases");
    fs::create_dir_all(&releases)?;
    fs::read_dir(releases)
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).read(true).create(true).truncate(false).open(path)
}

fn try_lock(file: &File, operation: FlockOperation) -> io::Result<bool> {
    match flock(file, operation) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Reads a file of ours; none if it is not there or is not what we write.
fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Writes a file whole or not at all.
fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

/// The sha256 of a file.
pub(crate) fn sha256_of(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(hexadecimal(&hash.finalize()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sha256: &str) -> Record {
        let (variant, url) = ("binary".to_owned(), "file:///a.zip".to_owned());
        Record { url, sha256: sha256.to_owned(), variant, library_dirs: Vec::new(), module_dirs: Vec::new() }
    }

    async fn home(apps: &Path, name: &str) -> Home {
        Home::lock(apps, &AppName::parse(name).unwrap()).await.unwrap()
    }

    fn install(home: &Home, sha256: &str) -> Release {
        let folder = home.begin(sha256, "binary").unwrap();
        home.finish(folder, record(sha256)).unwrap()
    }

    #[tokio::test]
    async fn a_release_counts_once_it_is_whole() {
        let apps = tempfile::tempdir().unwrap();
        let home = home(apps.path(), "a").await;
        let folder = home.begin("1", "binary").unwrap();
        fs::write(folder.join("file"), "x").unwrap();
        assert!(home.release("1", "binary").unwrap().is_none());
        let again = home.begin("1", "binary").unwrap();
        assert!(!again.join("file").exists(), "half a release is made again from nothing");
        home.finish(again, record("1")).unwrap();
        assert_eq!(home.release("1", "binary").unwrap().unwrap().record, record("1"));
        assert!(home.release("1", "python3.12").unwrap().is_none());
    }

    #[tokio::test]
    async fn what_a_url_had_is_remembered() {
        let apps = tempfile::tempdir().unwrap();
        let home = home(apps.path(), "a").await;
        let url = PackageUrl::parse("file:///a.zip").unwrap();
        assert_eq!(home.source(&url), None);
        let source = Source { url: url.to_string(), sha256: "1".into(), fingerprint: Fingerprint::Unknown };
        home.remember(&url, &source).unwrap();
        assert_eq!(home.source(&url), Some(source));
        fs::write(home.source_file(&url), "{").unwrap();
        assert_eq!(home.source(&url), None);
    }

    #[tokio::test]
    async fn an_application_is_installed_by_one_at_a_time() {
        let apps = tempfile::tempdir().unwrap();
        let first = home(apps.path(), "a").await;
        home(apps.path(), "b").await;
        let second = home(apps.path(), "a");
        tokio::pin!(second);
        assert!(tokio::time::timeout(TRY_AFTER * 2, &mut second).await.is_err());
        drop(first);
        second.await;
    }

    #[tokio::test]
    async fn what_nobody_uses_leaves_the_longest_unused_first() {
        let apps = tempfile::tempdir().unwrap();
        let (a, b) = (home(apps.path(), "a").await, home(apps.path(), "b").await);
        let used = install(&a, "used");
        let set = |home: &Home, sha256: &str, seconds: u64| {
            let folder = install(home, sha256).folder;
            let file = File::open(folder.join(IN_USE)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        };
        (1..=6).for_each(|number| set(&a, &number.to_string(), number));
        set(&b, "old", 0);
        let left = |home: &Home| {
            let names = fs::read_dir(home.folder.join("releases")).unwrap();
            let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names.iter().map(|name| name.replace("-binary", "")).collect::<Vec<_>>()
        };
        collect(apps.path(), &a, 100).unwrap();
        assert_eq!(left(&a), ["3", "4", "5", "6", "used"]);
        assert_eq!(left(&b), ["old"], "somebody installs that application");
        let b_folder = b.folder.clone();
        drop(b);
        collect(apps.path(), &a, 4).unwrap();
        assert_eq!(left(&a), ["3", "4", "5", "6", "used"]);
        assert!(fs::read_dir(b_folder.join("releases")).unwrap().next().is_none());
        drop(used);
        collect(apps.path(), &a, 0).unwrap();
        assert_eq!(left(&a), [""; 0]);
    }

    #[test]
    fn the_content_has_a_sum() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "abc").unwrap();
        let sum = sha256_of(&folder.path().join("a")).unwrap();
        assert_eq!(sum, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
