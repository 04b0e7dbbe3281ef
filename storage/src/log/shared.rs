//! What writer, readers and storage share.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rocksdb::{ColumnFamily, DB};

use super::tail::Tail;
use crate::{Cause, DataDir, Error, Fatal, key_spaces};

/// One open log.
pub(crate) struct Shared {
    pub(crate) db: DB,
    pub(crate) data: DataDir,
    fatal: Fatal,
    tail: Mutex<Tail>,
    poison: OnceLock<String>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("dir", &self.db.path()).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(db: DB, data: DataDir, fatal: Fatal, tail: Tail) -> Self {
        Self { db, data, fatal, tail: Mutex::new(tail), poison: OnceLock::new() }
    }

    /// The lock guards plain data that no statement leaves half changed, so a panic elsewhere does not spoil it.
    pub(crate) fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn entries(&self) -> &ColumnFamily {
        self.db.cf_handle(key_spaces::LOG).expect("opened with this column family")
    }

    pub(crate) fn meta(&self) -> &ColumnFamily {
        self.db.cf_handle(key_spaces::META).expect("opened with this column family")
    }

    /// Fails once anything has failed.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.poison.get() {
            None => Ok(()),
            Some(cause) => Err(Error::Stopped(cause.clone())),
        }
    }

    /// Ends the log: the outcome of a write is unknown.
    pub(crate) fn poison(&self, cause: String) -> Error {
        let cause = self.poison.get_or_init(|| cause).clone();
        self.fatal.raise(format!("Raft log: {cause}"));
        Error::Stopped(cause)
    }

    /// Ends the log: it does not read as it was written.
    pub(crate) fn damaged(&self, why: String) -> Error {
        let error = Error::DamagedLog { dir: self.db.path().to_path_buf(), why };
        let cause = self.poison.get_or_init(|| error.to_string()).clone();
        self.fatal.raise_as(Cause::DamagedLog(cause));
        error
    }
}
