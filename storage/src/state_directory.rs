//! Which database holds the rows: `CURRENT` names one of the directories `state-<n>`.
//!
//! A snapshot becomes the state by a new directory and one atomic change of the pointer; the database in use is never
//! written over. What a crash leaves behind is every directory that the pointer does not name.
//!
//! **Invariant:** `CURRENT` is durable before the directory it names holds a row, and changed only to a directory that
//! is durable as a whole.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rocksdb::{DB, ErrorKind};

use crate::on_disk_version::OnDiskVersion;
use crate::{Buffers, Cause, Error, codec, files, key_spaces, rocks_files, rocks_options};

const POINTER: &str = "CURRENT";
const PREFIX: &str = "state-";
const FIRST: u64 = 1;

/// Path of a database.
pub(crate) fn path(root: &Path, number: u64) -> PathBuf {
    root.join(format!("{PREFIX}{number}"))
}

/// Number of the database in use. A new directory gets its pointer.
pub(crate) fn current(root: &Path) -> Result<u64, Error> {
    files::create_dir(root)?;
    let pointer = root.join(POINTER);
    match std::fs::read_to_string(&pointer) {
        Ok(text) => text
            .trim_end()
            .strip_prefix(PREFIX)
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| damaged(root, format!("{POINTER} names {text:?}"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if files::names(root)?.iter().any(|name| name.starts_with(PREFIX)) {
                return Err(damaged(root, format!("{POINTER} is missing beside data")));
            }
            switch(root, FIRST)?;
            Ok(FIRST)
        }
        Err(error) => Err(Error::io(format!("cannot read {}", pointer.display()))(error)),
    }
}

/// Points to another database.
pub(crate) fn switch(root: &Path, number: u64) -> Result<(), Error> {
    files::write_atomically(&root.join(POINTER), format!("{PREFIX}{number}\n").as_bytes())
}

/// Removes what crashed installations left.
pub(crate) fn clean(root: &Path, current: u64) -> Result<(), Error> {
    let in_use = format!("{PREFIX}{current}");
    for name in files::names(root)? {
        if name.starts_with(PREFIX) && name != in_use {
            tracing::info!(name, "removing what an installation left behind");
            files::remove_dir(&root.join(name))?;
        }
    }
    Ok(())
}

/// An open database. Once replaced, its directory goes with the last reader.
pub(crate) struct Database {
    pub(crate) db: DB,
    /// Dropped after the database, which is closed by then.
    directory: Directory,
}

struct Directory {
    path: PathBuf,
    replaced: AtomicBool,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("dir", &self.directory.path).finish_non_exhaustive()
    }
}

impl Database {
    /// Opens a database and checks its format.
    pub(crate) fn open(dir: PathBuf, memtable_bytes: usize, buffers: &Buffers) -> Result<Self, Error> {
        rocks_files::check_manifest(&dir).map_err(|why| damaged(&dir, why))?;
        let families = rocks_options::state_families(memtable_bytes, &buffers.cache);
        let db = DB::open_cf_descriptors(&rocks_options::state_database(buffers), &dir, families)
            .map_err(|error| damaged(&dir, error.to_string()))?;
        for name in [key_spaces::LIVE, key_spaces::BULK] {
            let family = db.cf_handle(name).expect("opened with this column family");
            db.set_options_cf(family, rocks_options::ONCE_OPEN)
                .map_err(|error| Error::io("cannot set the options of the rows")(std::io::Error::other(error)))?;
        }
        let database = Self { db, directory: Directory { path: dir, replaced: AtomicBool::new(false) } };
        let stored = database.meta(key_spaces::FORMAT)?;
        OnDiskVersion::check(stored.as_deref(), "the state", |why| database.damaged(why))?;
        Ok(database)
    }

    /// A value of the meta family.
    pub(crate) fn meta(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let family = self.family(key_spaces::META);
        self.db.get_cf(family, key).map_err(|error| self.damaged(error.to_string()))
    }

    /// A decoded value of the meta family.
    pub(crate) fn meta_value<T: serde::de::DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, Error> {
        let name = String::from_utf8_lossy(key);
        self.meta(key)?
            .map(|bytes| codec::decode_plain(&bytes).map_err(|error| self.damaged(format!("{name}: {error}"))))
            .transpose()
    }

    pub(crate) fn family(&self, name: &str) -> &rocksdb::ColumnFamily {
        self.db.cf_handle(name).expect("opened with this column family")
    }

    pub(crate) fn damaged(&self, why: String) -> Error {
        damaged(&self.directory.path, why)
    }

    /// Why the process must end after the database refused something.
    pub(crate) fn cause(&self, what: &str, error: &rocksdb::Error) -> Cause {
        match error.kind() {
            ErrorKind::Corruption => Cause::DamagedRows(self.damaged(error.to_string()).to_string()),
            _ => Cause::Failed(format!("state: {what}: {error}")),
        }
    }

    /// Lets the directory go with the last reader.
    pub(crate) fn replaced(&self) {
        self.directory.replaced.store(true, Ordering::Release);
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.replaced.load(Ordering::Acquire)
            && let Err(error) = files::remove_dir(&self.path)
        {
            tracing::warn!(%error, "the next start removes it");
        }
    }
}

fn damaged(dir: &Path, why: String) -> Error {
    Error::DamagedState { dir: dir.to_path_buf(), why }
}
