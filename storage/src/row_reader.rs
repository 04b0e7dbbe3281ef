//! Reads of rows, from any thread.
//!
//! Every call sees one consistent moment. Two calls may see two moments, and a snapshot installation may lie between
//! them; a call that has begun ends on the database it began with.
//!
//! RocksDB checks the checksum of each block that it reads. A block that fails it is on the disk as it is: whoever asks
//! next gets the same error, and while this node lives its callers come back to it. So the first such read ends the
//! process. (Rows are not all read when the node starts: that would take a time that grows with everything ever kept.)
//!
//! **Invariant:** a read gives what was written, or an error, and no error leaves the process running.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use rocksdb::{Direction, IteratorMode, ReadOptions};
use serde::{Deserialize, Serialize};

use crate::state_directory::Database;
use crate::{Cause, Error, Fatal, key_spaces};

/// Where a row lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Space {
    /// Rows that are read as a whole when the node starts.
    Live,
    /// Rows that are read one by one.
    Bulk,
}

impl Space {
    pub(crate) fn family(self) -> &'static str {
        match self {
            Space::Live => key_spaces::LIVE,
            Space::Bulk => key_spaces::BULK,
        }
    }
}

/// Reads rows. Cheap to clone; goes on across a snapshot installation.
#[derive(Clone, Debug)]
pub struct RowReader {
    current: Arc<RwLock<Arc<Database>>>,
    /// Raised when a read fails.
    fatal: Fatal,
}

impl RowReader {
    pub(crate) fn new(database: Database, fatal: Fatal) -> Self {
        Self { current: Arc::new(RwLock::new(Arc::new(database))), fatal }
    }

    /// Ends the process: rows cannot be read.
    pub(crate) fn failed(&self, database: &Database, error: &rocksdb::Error) -> Error {
        let cause = database.cause("rows cannot be read", error);
        let answer = match &cause {
            Cause::DamagedRows(_) => database.damaged(error.to_string()),
            other => Error::Stopped(other.to_string()),
        };
        self.fatal.raise_as(cause);
        answer
    }

    /// The database of this moment.
    pub(crate) fn database(&self) -> Arc<Database> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another database in place of the one in use, and returns that.
    pub(crate) fn replace(&self, database: Database) -> Arc<Database> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, Arc::new(database))
    }

    /// One row.
    ///
    /// # Errors
    /// [`Error::DamagedState`], [`Error::Stopped`]: the process is about to end.
    pub fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let database = self.database();
        let row = database.db.get_cf(database.family(space.family()), key);
        row.map(|row| row.map(Bytes::from)).map_err(|error| self.failed(&database, &error))
    }

    /// Several rows of one moment, in the order of their keys.
    ///
    /// # Errors
    /// [`Error::DamagedState`], [`Error::Stopped`]: the process is about to end.
    pub fn multi_get<K: AsRef<[u8]>>(&self, space: Space, keys: &[K]) -> Result<Vec<Option<Bytes>>, Error> {
        let database = self.database();
        let family = database.family(space.family());
        let rows = database.db.multi_get_cf(keys.iter().map(|key| (family, key)));
        rows.into_iter()
            .map(|row| row.map(|row| row.map(Bytes::from)).map_err(|error| self.failed(&database, &error)))
            .collect()
    }

    /// The row with the greatest key that is not above `key` and has its first `prefix_len` bytes.
    ///
    /// # Errors
    /// [`Error::DamagedState`], [`Error::Stopped`]: the process is about to end.
    pub fn last_at_or_before(
        &self,
        space: Space,
        key: &[u8],
        prefix_len: usize,
    ) -> Result<Option<(Bytes, Bytes)>, Error> {
        // Most often it is the row of that very key, and a look at one key costs a fraction of an iterator.
        if let Some(row) = self.get(space, key)? {
            return Ok(Some((Bytes::copy_from_slice(key), row)));
        }
        let database = self.database();
        let prefix = &key[..prefix_len.min(key.len())];
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(prefix);
        let mut rows = database.db.raw_iterator_cf_opt(database.family(space.family()), options);
        rows.seek_for_prev(key);
        rows.status().map_err(|error| self.failed(&database, &error))?;
        let row = rows.item().filter(|(found, _)| found.starts_with(prefix));
        Ok(row.map(|(key, value)| (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))))
    }

    /// At most `limit` rows from key `from` up to key `to` (exclusive; empty: without end), of one moment.
    ///
    /// # Errors
    /// [`Error::DamagedState`], [`Error::Stopped`]: the process is about to end.
    pub fn scan(&self, space: Space, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let database = self.database();
        let mut options = ReadOptions::default();
        if !to.is_empty() {
            options.set_iterate_upper_bound(to);
        }
        let start = IteratorMode::From(from, Direction::Forward);
        let rows = database.db.iterator_cf_opt(database.family(space.family()), options, start);
        rows.take(limit)
            .map(|row| {
                row.map(|(key, value)| (Bytes::from(key), Bytes::from(value)))
                    .map_err(|error| self.failed(&database, &error))
            })
            .collect()
    }
}
