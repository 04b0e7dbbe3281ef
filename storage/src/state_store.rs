//! The rows of the replicated state.
//!
//! They have no write-ahead log: the Raft log is theirs. A crash throws away what was not flushed, rows and applied log
//! id alike, and the entries behind it are applied again. So the Raft log may be purged up to
//! [`StateStore::flushed_applied`] and no further.
//!
//! **Invariant:** one batch holds an entry's rows and its log id; one flush takes all column families.
//! **Invariant:** rows never go back: neither a write nor a snapshot with an older log id is taken.
//! **Invariant:** damage does not travel: every row of a checkpoint is read before anybody may have it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{ColumnFamily, DB, ErrorKind, FlushOptions, Options, ReadOptions, ReadTier, WriteBatch, WriteOptions};

use crate::figures::DatabaseFigures;
use crate::key_spaces::{APPLIED, BULK, FORMAT, HIGHEST_MEMBER, LIVE, MEMBERSHIP, META};
use crate::on_disk_version::OnDiskVersion;
use crate::snapshot::{ROWS, SnapshotManifest, bad, file_path};
use crate::state_directory::{self, Database};
use crate::{Buffers, Cause, Error, Fatal, LogId, RowReader, Space, StoredMembership, codec, files};

const MIB: usize = 1 << 20;

/// Room in a batch for the log id and what else goes with it, mostly.
const META_BYTES: usize = 256;

/// Rows read at once by [`StateStore::scan_live`].
const SCAN_ROWS: usize = 1024;

/// Read ahead where a file is read from its beginning to its end.
const READ_AHEAD_BYTES: usize = 2 * MIB;

/// How the rows use memory.
#[derive(Clone, Debug)]
pub struct StateOptions {
    /// All memtables together: what a crash makes us apply again.
    pub memtable_bytes: usize,
    /// What they share with the other database of the process.
    pub buffers: Buffers,
    /// Raised when a write fails, and when a read finds damage.
    pub fatal: Fatal,
}

impl Default for StateOptions {
    fn default() -> Self {
        Self { memtable_bytes: 128 * MIB, buffers: Buffers::default(), fatal: Fatal::new() }
    }
}

/// One change of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Writes a row.
    Put {
        /// Where.
        space: Space,
        /// Its key.
        key: Bytes,
        /// Its bytes.
        value: Bytes,
    },
    /// Removes a row.
    Delete {
        /// Where.
        space: Space,
        /// Its key.
        key: Bytes,
    },
    /// Removes all rows with keys from `from` up to `to` (exclusive).
    DeleteRange {
        /// Where.
        space: Space,
        /// The first key.
        from: Bytes,
        /// The key behind the last.
        to: Bytes,
    },
}

/// What a write does when the database holds writers back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stall {
    Wait,
    Refuse,
}

#[derive(Debug)]
struct Position {
    applied: Option<LogId>,
    membership: StoredMembership,
    number: u64,
    failure: Option<String>,
}

/// The rows of one node.
pub struct StateStore {
    root: PathBuf,
    options: StateOptions,
    reader: RowReader,
    /// Held during every change, so that a write and an installation cannot meet.
    position: Mutex<Position>,
    /// As the rows say; here too, so that it can be asked while a write waits.
    highest_member: AtomicU64,
}

impl std::fmt::Debug for StateStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateStore").field("root", &self.root).finish_non_exhaustive()
    }
}

impl StateStore {
    /// Opens the rows in a directory, or makes an empty database, and removes what crashed installations left.
    ///
    /// # Errors
    /// [`Error::DamagedState`], [`Error::NewerFormat`], [`Error::Io`].
    pub fn open(dir: impl AsRef<Path>, options: StateOptions) -> Result<Self, Error> {
        let root = dir.as_ref().to_path_buf();
        let number = state_directory::current(&root)?;
        state_directory::clean(&root, number)?;
        let database = Database::open(state_directory::path(&root, number), options.memtable_bytes, &options.buffers)?;
        let (applied, membership) = contents(&database)?;
        let highest_member = AtomicU64::new(highest_member(&database)?);
        tracing::info!(dir = %root.display(), number, ?applied, "state rows opened");
        let position = Position { applied, membership, number, failure: None };
        let reader = RowReader::new(database, options.fatal.clone());
        Ok(Self { root, options, reader, position: Mutex::new(position), highest_member })
    }

    /// The log id the rows stand for, and the membership at that point.
    #[must_use]
    pub fn applied(&self) -> (Option<LogId>, StoredMembership) {
        let position = self.lock();
        (position.applied, position.membership.clone())
    }

    /// The highest id that any member has ever had; 0 before there was one. Ids are never given out again, so whoever has
    /// a lower one and is no member has been one, or never will be. Never waits.
    #[must_use]
    pub fn highest_member(&self) -> u64 {
        self.highest_member.load(Ordering::Acquire)
    }

    /// Writes the rows of an entry, or of several, together with the log id they bring the state to.
    ///
    /// # Errors
    /// [`Error::Refused`] for a log id that is not newer; [`Error::Stopped`] after a failed write, whose outcome is
    /// unknown.
    pub fn write(&self, changes: &[Write], applied: LogId, membership: Option<&StoredMembership>) -> Result<(), Error> {
        self.put(changes, applied, membership, Stall::Wait).map(|_written| ())
    }

    /// The same for a thread that must not wait: when the database holds writers back, because flushes or compactions
    /// are behind, nothing is written and `false` returned.
    ///
    /// # Errors
    /// As [`StateStore::write`].
    pub fn write_at_once(
        &self,
        changes: &[Write],
        applied: LogId,
        membership: Option<&StoredMembership>,
    ) -> Result<bool, Error> {
        self.put(changes, applied, membership, Stall::Refuse)
    }

    fn put(
        &self,
        changes: &[Write],
        applied: LogId,
        membership: Option<&StoredMembership>,
        stall: Stall,
    ) -> Result<bool, Error> {
        let mut position = self.lock();
        position.check()?;
        if Some(applied) <= position.applied {
            let have = position.applied.map_or("nothing".into(), |have| have.to_string());
            return Err(Error::Refused(format!("rows of entry {applied} onto rows of {have}")));
        }
        let database = self.reader.database();
        let mut batch = WriteBatch::with_capacity_bytes(changes.iter().map(Write::bytes).sum::<usize>() + META_BYTES);
        let (live, bulk) = (database.family(LIVE), database.family(BULK));
        for change in changes {
            change.add_to(&mut batch, if change.space() == Space::Live { live } else { bulk });
        }
        let meta = database.family(META);
        batch.put_cf(meta, APPLIED, codec::encode_plain(&applied));
        let highest_member = highest_of(membership, self.highest_member());
        if let Some(membership) = membership {
            batch.put_cf(meta, MEMBERSHIP, codec::encode_plain(membership));
            batch.put_cf(meta, HIGHEST_MEMBER, codec::encode_plain(&highest_member));
        }
        if position.applied.is_none() {
            batch.put_cf(meta, FORMAT, codec::encode_plain(&OnDiskVersion::CURRENT));
        }
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        options.set_no_slowdown(stall == Stall::Refuse);
        match database.db.write_opt(batch, &options) {
            Ok(()) => {}
            // Refused before anything was written.
            Err(error) if stall == Stall::Refuse && error.kind() == ErrorKind::Incomplete => return Ok(false),
            Err(error) => return Err(self.stop(&mut position, database.cause("rows", &error))),
        }
        position.applied = Some(applied);
        self.highest_member.store(highest_member, Ordering::Release);
        if let Some(membership) = membership {
            position.membership = membership.clone();
        }
        Ok(true)
    }

    /// Makes all rows durable. Returns the log id that a crash cannot undo any more.
    ///
    /// # Errors
    /// [`Error::Stopped`] after a failed flush.
    pub fn flush(&self) -> Result<Option<LogId>, Error> {
        self.lock().check()?;
        let database = self.reader.database();
        let mut options = FlushOptions::default();
        options.set_wait(true);
        let families = [LIVE, BULK, META].map(|name| database.family(name));
        let result = database.db.flush_cfs_opt(&families, &options);
        result.map_err(|error| self.stop(&mut self.lock(), database.cause("flush", &error)))?;
        self.flushed(&database)
    }

    /// The log id that a crash cannot undo any more; flushes in the background count.
    ///
    /// # Errors
    /// [`Error::DamagedState`], [`Error::Stopped`]: the process is about to end.
    pub fn flushed_applied(&self) -> Result<Option<LogId>, Error> {
        self.flushed(&self.reader.database())
    }

    /// What of the rows is in files. A read of the *persisted* tier leaves memtables out.
    fn flushed(&self, database: &Database) -> Result<Option<LogId>, Error> {
        let mut options = ReadOptions::default();
        options.set_read_tier(ReadTier::Persisted);
        let stored = database.db.get_cf_opt(database.family(META), APPLIED, &options);
        let stored = stored.map_err(|error| self.reader.failed(database, &error))?;
        stored
            .map(|bytes| codec::decode_plain(&bytes).map_err(|error| database.damaged(format!("applied: {error}"))))
            .transpose()
    }

    /// All live rows in key order, read in pages: for a moment in which nobody writes, such as the start.
    pub fn scan_live(&self) -> impl Iterator<Item = Result<(Bytes, Bytes), Error>> + use<> {
        LiveRows { reader: self.reader(), from: Some(Vec::new()), page: Vec::new().into_iter() }
    }

    /// What the rows take of memory and disk. Asks RocksDB: not for a thread that must not wait.
    #[must_use]
    pub fn figures(&self) -> DatabaseFigures {
        let database = self.reader.database();
        DatabaseFigures::read(&database.db, &[LIVE, BULK, META].map(|name| database.family(name)))
    }

    /// Bytes of blocks in memory, those of the other database that shares the cache included.
    #[must_use]
    pub fn block_bytes(&self) -> usize {
        self.options.buffers.block_bytes()
    }

    /// A reader for any thread.
    #[must_use]
    pub fn reader(&self) -> RowReader {
        self.reader.clone()
    }

    /// Makes a snapshot in a directory that does not exist yet. Blocks for a flush and two readings of all files; writes
    /// go on meanwhile. The manifest says which of them are in it.
    ///
    /// The first reading checks every block. The checksums of the manifest are of the files as they are: without it,
    /// whoever receives a damaged file would find it in order.
    ///
    /// # Errors
    /// [`Error::Stopped`] after a failed flush, [`Error::Io`], [`Error::DamagedState`].
    pub fn checkpoint(&self, dir: &Path) -> Result<SnapshotManifest, Error> {
        self.checkpoint_visiting(dir, &mut |_, _| {})
    }

    /// The same for whoever wants to see its live rows, in the order of their keys: all are read anyway.
    ///
    /// # Errors
    /// As [`StateStore::checkpoint`].
    pub fn checkpoint_visiting(&self, dir: &Path, visit: &mut Visit<'_>) -> Result<SnapshotManifest, Error> {
        self.flush()?;
        let database = self.reader.database();
        files::create_dir(dir)?;
        let rows = dir.join(ROWS);
        Checkpoint::new(&database.db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(&rows))
            .map_err(|error| Error::io("cannot make a checkpoint")(std::io::Error::other(error)))?;
        // The files are links to those in use: what is damaged in them is damaged there.
        let contents = checkpoint_contents(&rows, visit).inspect_err(|error| {
            if let Error::DamagedState { why, .. } = error {
                self.options.fatal.raise_as(Cause::DamagedRows(database.damaged(why.clone()).to_string()));
            }
        });
        let (applied, membership) = contents?;
        SnapshotManifest::write(dir, applied, membership)
    }

    /// Makes a snapshot the state. Takes its files away from its directory. Readers that have begun end on the old rows.
    ///
    /// # Errors
    /// [`Error::BadSnapshot`] when it is damaged or older than the rows here; then these stay as they are.
    pub fn install(&self, snapshot: &Path) -> Result<SnapshotManifest, Error> {
        let mut position = self.lock();
        position.check()?;
        let manifest = SnapshotManifest::read(snapshot)?;
        if manifest.applied < position.applied {
            return Err(bad("it is older than the rows here".into()));
        }
        manifest.verify(snapshot)?;
        for file in &manifest.files {
            files::sync_file(&file_path(snapshot, &file.name)?)?;
        }
        files::sync_dir(&snapshot.join(ROWS))?;
        let number = position.number + 1;
        let target = state_directory::path(&self.root, number);
        files::remove_dir(&target)?;
        std::fs::rename(snapshot.join(ROWS), &target)
            .map_err(Error::io(format!("cannot move the snapshot to {}", target.display())))?;
        files::sync_dir(&self.root)?;
        let database = self.open_installed(&manifest, target.clone()).inspect_err(|_| {
            if let Err(error) = files::remove_dir(&target) {
                tracing::warn!(%error, "the next start removes it");
            }
        })?;
        let highest_member = highest_member(&database).map_err(|error| bad(error.to_string()))?;
        // Whether the pointer has moved is unknown after an error; writing on would be lost if it has.
        state_directory::switch(&self.root, number).map_err(|error| {
            self.stop(&mut position, Cause::Failed(format!("state: pointer to a snapshot: {error}")))
        })?;
        let old = self.reader.replace(database);
        old.replaced();
        self.highest_member.store(highest_member, Ordering::Release);
        position.applied = manifest.applied;
        position.membership = manifest.membership.clone();
        position.number = number;
        tracing::info!(number, applied = ?position.applied, "snapshot installed");
        Ok(manifest)
    }

    fn open_installed(&self, manifest: &SnapshotManifest, target: PathBuf) -> Result<Database, Error> {
        let database = Database::open(target, self.options.memtable_bytes, &self.options.buffers)
            .map_err(|error| bad(error.to_string()))?;
        let (applied, membership) = contents(&database).map_err(|error| bad(error.to_string()))?;
        if (applied, &membership) != (manifest.applied, &manifest.membership) {
            return Err(bad("its rows stand for something else than its manifest says".into()));
        }
        Ok(database)
    }

    /// Gives rows that came from elsewhere to other members: whoever was one before means nothing any more, and every id
    /// but theirs is free. Durable when it returns. For rows that nobody writes.
    ///
    /// # Errors
    /// [`Error::Refused`] when there are no rows; [`Error::Stopped`] after a failed write or flush.
    pub fn adopt(&self, membership: &StoredMembership) -> Result<(), Error> {
        let mut position = self.lock();
        position.check()?;
        if position.applied.is_none() {
            return Err(Error::Refused("there are no rows to be given to anybody".into()));
        }
        let database = self.reader.database();
        let highest_member = highest_of(Some(membership), 0);
        let mut batch = WriteBatch::default();
        batch.put_cf(database.family(META), MEMBERSHIP, codec::encode_plain(membership));
        batch.put_cf(database.family(META), HIGHEST_MEMBER, codec::encode_plain(&highest_member));
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        let written = database.db.write_opt(batch, &options);
        written.map_err(|error| self.stop(&mut position, database.cause("rows", &error)))?;
        position.membership = membership.clone();
        self.highest_member.store(highest_member, Ordering::Release);
        drop(position);
        self.flush().map(drop)
    }

    /// Ends the rows: the outcome of a write is unknown.
    fn stop(&self, position: &mut Position, cause: Cause) -> Error {
        let why = cause.to_string();
        self.options.fatal.raise_as(cause);
        position.failure = Some(why.clone());
        Error::Stopped(why)
    }

    /// The lock guards plain data that no statement leaves half changed, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Position> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Position {
    fn check(&self) -> Result<(), Error> {
        match &self.failure {
            None => Ok(()),
            Some(failure) => Err(Error::Stopped(failure.clone())),
        }
    }
}

impl Write {
    fn space(&self) -> Space {
        match self {
            Self::Put { space, .. } | Self::Delete { space, .. } | Self::DeleteRange { space, .. } => *space,
        }
    }

    /// At most what it takes in a batch.
    fn bytes(&self) -> usize {
        const FRAME: usize = 16;
        FRAME
            + match self {
                Self::Put { key, value, .. } => key.len() + value.len(),
                Self::Delete { key, .. } => key.len(),
                Self::DeleteRange { from, to, .. } => from.len() + to.len(),
            }
    }

    fn add_to(&self, batch: &mut WriteBatch, family: &ColumnFamily) {
        match self {
            Self::Put { key, value, .. } => batch.put_cf(family, key, value),
            Self::Delete { key, .. } => batch.delete_cf(family, key),
            Self::DeleteRange { from, to, .. } => batch.delete_range_cf(family, from, to),
        }
    }
}

fn contents(database: &Database) -> Result<(Option<LogId>, StoredMembership), Error> {
    let applied = database.meta_value(APPLIED)?;
    let membership = database.meta_value(MEMBERSHIP)?.unwrap_or_default();
    Ok((applied, membership))
}

fn highest_member(database: &Database) -> Result<u64, Error> {
    Ok(database.meta_value(HIGHEST_MEMBER)?.unwrap_or_default())
}

/// The same with the members of a new membership.
fn highest_of(membership: Option<&StoredMembership>, before: u64) -> u64 {
    let ids = membership.iter().flat_map(|membership| membership.nodes()).map(|(id, _)| *id);
    ids.fold(before, u64::max)
}

/// Sees a live row: key and value.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) + 'a;

/// What a checkpoint stands for. Writes went on while it was made, so only its own files know. Reads all of them.
fn checkpoint_contents(rows: &Path, visit: &mut Visit<'_>) -> Result<(Option<LogId>, StoredMembership), Error> {
    let damaged = |why: String| Error::DamagedState { dir: rows.to_path_buf(), why };
    let (applied, membership) = {
        let refused = |error: rocksdb::Error| match error.kind() {
            ErrorKind::Corruption => damaged(error.to_string()),
            _ => Error::io("cannot read a checkpoint")(std::io::Error::other(error)),
        };
        let db = DB::open_cf_for_read_only(&Options::default(), rows, [LIVE, BULK, META], false).map_err(refused)?;
        read_all(&db, LIVE, visit).map_err(refused)?;
        read_all(&db, BULK, &mut |_, _| {}).map_err(refused)?;
        let meta = db.cf_handle(META).ok_or_else(|| damaged("no meta family".into()))?;
        let read = |key| db.get_cf(meta, key).map_err(refused);
        let decoded = |error: codec::CodecError| damaged(error.to_string());
        let applied = read(APPLIED)?.map(|bytes| codec::decode_plain(&bytes)).transpose().map_err(decoded)?;
        let membership = read(MEMBERSHIP)?.map(|bytes| codec::decode_plain(&bytes)).transpose().map_err(decoded)?;
        (applied, membership.unwrap_or_default())
    };
    // Opening it left a diary behind, which is no part of the snapshot.
    for name in files::names(rows)?.iter().filter(|name| name.starts_with("LOG") || *name == "LOCK") {
        let path = rows.join(name);
        std::fs::remove_file(&path).map_err(Error::io(format!("cannot remove {}", path.display())))?;
    }
    Ok((applied, membership))
}

/// Reads every row of a family for the checksums of the blocks they lie in.
fn read_all(db: &DB, name: &str, visit: &mut Visit<'_>) -> Result<(), rocksdb::Error> {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options.set_readahead_size(READ_AHEAD_BYTES);
    let family = db.cf_handle(name).expect("opened with this column family");
    let mut rows = db.raw_iterator_cf_opt(family, options);
    rows.seek_to_first();
    while let Some((key, value)) = rows.item() {
        visit(key, value);
        rows.next();
    }
    rows.status()
}

struct LiveRows {
    reader: RowReader,
    /// Where the next page starts; `None` behind the last.
    from: Option<Vec<u8>>,
    page: std::vec::IntoIter<(Bytes, Bytes)>,
}

impl Iterator for LiveRows {
    type Item = Result<(Bytes, Bytes), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.len() == 0 {
            let from = self.from.take()?;
            let page = match self.reader.scan(Space::Live, &from, &[], SCAN_ROWS) {
                Ok(page) => page,
                Err(error) => return Some(Err(error)),
            };
            if page.len() == SCAN_ROWS {
                // The smallest key behind the last one.
                self.from = page.last().map(|(key, _)| [key, &b"\0"[..]].concat());
            }
            self.page = page.into_iter();
        }
        self.page.next().map(Ok)
    }
}
