//! Memory and disk together.
//!
//! Writing goes in steps that the caller takes under the lock of the object: room in memory first (before the lock), then
//! the file where there must be one, then whatever else must be done before others see it, then [`Store::publish`].

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use flame_config::Eviction;
use flame_types::{ObjectKey, ObjectTarget};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::{Instant, timeout_at};

use crate::error::Refusal;
use crate::limits::PAGE_MAX;
use crate::metrics::StoreMetrics;
use crate::model::{Content, Info, Object, Part};
use crate::store::disk::{Disk, OnDisk, OpenError, Sync};
use crate::store::file::Damage;
use crate::store::index::{Arrival, Bounds, Entry, Held, Index, Reservation};

/// Locks that objects are spread over. Two objects that share one wait for each other, which costs little and needs no
/// list of locks that would have to be kept clean. One half is for durable objects: those wait for the directory, and no
/// others should wait with them.
const LOCKS: usize = 512;

/// How many of the coldest objects are looked at for one that nobody is at work on.
const VICTIMS: usize = 16;

/// Longest wait for room that others have for what is on its way.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(5);

/// What a store must know.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The folder of all files; `None`: memory only.
    pub folder: Option<PathBuf>,
    /// How much there may be.
    pub bounds: Bounds,
    /// What becomes of objects when memory is full.
    pub eviction: Eviction,
}

/// All objects of this cache. A handle: clones are of the same.
#[derive(Clone)]
pub struct Store {
    index: Index,
    disk: Option<Arc<Disk>>,
    eviction: Eviction,
    locks: Arc<[Arc<Mutex<()>>]>,
    /// Held by whoever makes room: two would push out more than is needed.
    making_room: Arc<Mutex<()>>,
    on_loss: Arc<OnceLock<OnLoss>>,
    metrics: StoreMetrics,
}

/// Hears of objects that are here no more although nobody has deleted them.
type OnLoss = Box<dyn Fn(&ObjectKey, u64) + Send + std::marker::Sync>;

/// Where an object comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was written here, just now: this cache is the one to write the next version.
    Here,
    /// It is a copy of what another cache has written and the directory knows.
    Elsewhere {
        /// The generation of the cluster.
        generation: u32,
    },
}

/// The right to change one object. Nobody else does as long as it is held.
#[derive(Debug)]
pub struct Lock {
    key: ObjectKey,
    _held: OwnedMutexGuard<()>,
}

impl Lock {
    /// The object.
    #[must_use]
    pub fn key(&self) -> &ObjectKey {
        &self.key
    }
}

impl Store {
    /// Opens the folder and looks at what is there.
    ///
    /// # Errors
    /// [`OpenError`] when the folder cannot be used.
    pub fn open(options: &StoreOptions, metrics: StoreMetrics) -> Result<Self, OpenError> {
        let index = Index::new(options.bounds);
        let disk = match &options.folder {
            None => None,
            Some(folder) => {
                let disk = Disk::open(folder)?;
                let mut superseded = Vec::new();
                let failed = |source| OpenError::Io { path: folder.clone(), source };
                disk.scan(|file, scanned| superseded.extend(index.found(scanned.info, file, scanned.recorded)))
                    .map_err(failed)?;
                for file in superseded {
                    disk.remove(file, Sync::Never).map_err(failed)?;
                }
                Some(Arc::new(disk))
            }
        };
        let locks = (0..LOCKS).map(|_| Arc::default()).collect();
        let (making_room, on_loss) = (Arc::default(), Arc::default());
        Ok(Self { index, disk, eviction: options.eviction, locks, making_room, on_loss, metrics })
    }

    /// Says who is to hear of objects that are lost: by damage, or because they left memory and there is no disk. Only the
    /// first one that is given does.
    pub fn tell_losses(&self, on_loss: impl Fn(&ObjectKey, u64) + Send + std::marker::Sync + 'static) {
        self.on_loss.get_or_init(|| Box::new(on_loss));
    }

    fn lose(&self, key: &ObjectKey, version: u64) {
        if let Some(on_loss) = self.on_loss.get() {
            on_loss(key, version);
        }
    }

    /// How much there is.
    #[must_use]
    pub fn held(&self) -> Held {
        self.index.held()
    }

    /// Whether objects can be on disk.
    #[must_use]
    pub fn has_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// Room for nothing yet.
    #[must_use]
    pub fn nothing(&self) -> Reservation {
        self.index.nothing()
    }

    /// Room in memory for so many bytes; others leave it if they must.
    ///
    /// # Errors
    /// [`Refusal::NoRoom`] when nobody may leave, or has nowhere to go.
    pub async fn reserve(&self, bytes: u64) -> Result<Reservation, Refusal> {
        if let Some(room) = self.index.try_reserve(bytes) {
            return Ok(room);
        }
        let _alone = self.making_room.lock().await;
        let deadline = Instant::now() + ROOM_WAIT_MAX;
        loop {
            let freed = self.index.freed();
            if let Some(room) = self.index.try_reserve(bytes) {
                return Ok(room);
            }
            let victims = self.index.coldest(VICTIMS);
            if self.eviction == Eviction::Never || victims.is_empty() {
                // Others have room that they may give back soon. They may wait for the same: then somebody gives up.
                let is_hopeful = self.held().reserved > 0 && bytes <= self.index.bounds().memory;
                if is_hopeful && timeout_at(deadline, freed).await.is_ok() {
                    continue;
                }
                return Err(self.no_room(bytes));
            }
            let free = victims.iter().find_map(|key| self.try_lock(key));
            let lock = match free {
                Some(lock) => lock,
                None => self.lock(&victims[0]).await,
            };
            self.evict(&lock).await?;
        }
    }

    fn no_room(&self, bytes: u64) -> Refusal {
        let held = self.held();
        Refusal::NoRoom(format!(
            "there is no room for {bytes} bytes: {} objects of {} bytes are in memory and {} bytes are on their way, and \
             cache.eviction.max_memory is {}, max_objects {}. Delete objects, or raise these",
            held.resident,
            held.memory,
            held.reserved,
            self.index.bounds().memory,
            self.index.bounds().resident
        ))
    }

    /// Waits until nobody else is changing the object.
    pub async fn lock(&self, key: &ObjectKey) -> Lock {
        let held = self.locks[Self::place(key)].clone().lock_owned().await;
        Lock { key: key.clone(), _held: held }
    }

    fn try_lock(&self, key: &ObjectKey) -> Option<Lock> {
        let held = self.locks[Self::place(key)].clone().try_lock_owned().ok()?;
        Some(Lock { key: key.clone(), _held: held })
    }

    fn place(key: &ObjectKey) -> usize {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let half = LOCKS / 2;
        let among = (hasher.finish() % half as u64) as usize;
        if key.is_durable() { half + among } else { among }
    }

    /// What is known of an object, whether or not its bytes are here.
    #[must_use]
    pub fn known(&self, key: &ObjectKey) -> Option<Entry> {
        self.index.peek(key)
    }

    /// Whether the object of this key may become as large as that.
    ///
    /// # Errors
    /// [`Refusal::NoRoom`] names the limit.
    pub fn admit(&self, key: &ObjectKey, size: u64) -> Result<(), Refusal> {
        self.index.admit(key, size)
    }

    /// The object, from memory or from disk. `None`: this cache does not know it. An entry without its bytes: it did.
    ///
    /// # Errors
    /// The disk failed, or there is no room to read it into.
    pub async fn get(&self, key: &ObjectKey) -> Result<Option<Result<Arc<Object>, Entry>>, Refusal> {
        loop {
            let Some(entry) = self.index.touch(key) else { return Ok(None) };
            if let Some(object) = entry.object {
                self.metrics.hit();
                return Ok(Some(Ok(object)));
            }
            let Some(file) = entry.file else { return Ok(Some(Err(entry))) };
            // Room first: making it may need the lock of another object that shares this one's.
            let room = self.reserve(file.bytes).await?;
            let lock = self.lock(key).await;
            let now = self.index.peek(key);
            let is_as_before = now.is_some_and(|now| now.object.is_none() && now.file == Some(file));
            if is_as_before && let Some(object) = self.load(&lock, file, room).await? {
                self.metrics.loaded();
                return Ok(Some(Ok(object)));
            }
        }
    }

    /// Reads an object from disk. `None`: the file was damaged, and the object is known no more.
    async fn load(&self, lock: &Lock, file: OnDisk, room: Reservation) -> Result<Option<Arc<Object>>, Refusal> {
        let Some(disk) = self.disk.clone() else { return Ok(None) };
        match blocking(move || disk.read(file)).await {
            Ok(object) if object.key == *lock.key() => {
                let object = Arc::new(object);
                let resident = object.clone();
                self.index.change(lock.key(), object.version(), |entry| entry.object = Some(resident));
                drop(room);
                Ok(Some(object))
            }
            Ok(_) => {
                tracing::error!(key = %lock.key(), "the file of this object has another one");
                self.index.remove(lock.key());
                self.lose(lock.key(), file.version);
                Ok(None)
            }
            Err(Damage::Content(_)) => {
                self.index.remove(lock.key());
                self.lose(lock.key(), file.version);
                self.metrics.damaged();
                Ok(None)
            }
            Err(Damage::Io(error)) => Err(error.into()),
        }
    }

    /// Writes the file of an object that nobody sees yet; `None` where there is no disk.
    ///
    /// # Errors
    /// The disk failed, or is full.
    pub async fn write(&self, object: &Arc<Object>, sync: Sync) -> Result<Option<OnDisk>, Refusal> {
        let Some(disk) = self.disk.clone() else { return Ok(None) };
        self.index.admit_to_disk(object.size())?;
        let object = object.clone();
        self.metrics.written(object.size());
        Ok(Some(blocking(move || disk.write(&object, sync)).await?))
    }

    /// Writes what the file of an object does not have yet behind it; as a file of its own where that cannot be.
    ///
    /// # Errors
    /// The disk failed, or is full.
    pub async fn write_on(
        &self,
        before: Option<OnDisk>,
        object: &Arc<Object>,
        sync: Sync,
    ) -> Result<Option<OnDisk>, Refusal> {
        let (Some(disk), Some(before), Content::Opaque(_)) = (self.disk.clone(), before, &object.content) else {
            return self.write(object, sync).await;
        };
        if before.base_version != object.base_version {
            return self.write(object, sync).await;
        }
        let parts: Vec<Arc<Part>> = object.parts_after(before.version).to_vec();
        let bytes = parts.iter().map(|part| part.data.len()).sum();
        self.index.admit_to_disk(bytes)?;
        self.metrics.written(bytes);
        Ok(Some(blocking(move || disk.append(before, &parts, sync)).await?))
    }

    /// Deletes a file that was written for an object that did not come to be.
    pub async fn discard(&self, file: Option<OnDisk>, before: Option<OnDisk>) {
        let Some(file) = file else { return };
        if before.is_some_and(|before| before.is_same_file(&file)) {
            // What lies behind the bytes that count is written over by the next patch, or cut off at the next start.
            return;
        }
        self.delete_file(file, Sync::Never).await;
    }

    /// Shows an object to everybody: its file is the one given, and the room that was made for it is used up.
    pub async fn publish(
        &self,
        lock: &Lock,
        object: Arc<Object>,
        file: Option<OnDisk>,
        origin: Origin,
        room: Reservation,
    ) {
        assert!(*lock.key() == object.key, "the lock is that of another object");
        let (recorded, is_written_here) = match origin {
            Origin::Here => (None, true),
            Origin::Elsewhere { generation } => (Some(generation), false),
        };
        if let Some(generation) = recorded {
            self.mark(lock.key(), file, generation).await;
        }
        let superseded = self.index.put(Arrival { object, file, recorded, is_written_here });
        drop(room);
        if let Some(superseded) = superseded {
            self.delete_file(superseded, Sync::Never).await;
        }
    }

    /// The directory has heard of this version, in this generation of the cluster.
    pub async fn recorded(&self, info: &Info, generation: u32) {
        let mut file = None;
        self.index.change(&info.key, info.version, |entry| {
            if entry.recorded != Some(generation) {
                entry.recorded = Some(generation);
                file = entry.file.filter(|file| file.version == info.version);
            }
        });
        self.mark(&info.key, file, generation).await;
    }

    /// Notes in a file that the directory has heard of what is in it.
    async fn mark(&self, key: &ObjectKey, file: Option<OnDisk>, generation: u32) {
        if let (Some(disk), Some(file)) = (self.disk.clone(), file)
            && let Err(error) = blocking(move || disk.mark_recorded(file, generation)).await
        {
            tracing::warn!(%error, %key, "cannot note that the directory knows the object");
        }
    }

    /// Forgets an object up to this version, as if it had never been here. Says whether it was here.
    ///
    /// # Errors
    /// The disk failed.
    pub async fn drop_version(&self, key: &ObjectKey, version: u64) -> Result<bool, Refusal> {
        let lock = self.lock(key).await;
        if self.index.peek(lock.key()).is_none_or(|entry| entry.info.version > version) {
            return Ok(false);
        }
        self.remove(&lock).await
    }

    /// Forgets an object, as if it had never been here.
    ///
    /// # Errors
    /// The disk failed.
    pub async fn forget(&self, lock: &Lock) -> Result<(), Refusal> {
        self.remove(lock).await.map(drop)
    }

    /// Another cache may be the writer of this object now.
    pub fn disown(&self, key: &ObjectKey) {
        if let Some(entry) = self.index.peek(key) {
            self.index.change(key, entry.info.version, |entry| entry.is_written_here = false);
        }
    }

    /// What is here, in the order of the keys after this one, and in which generation the directory has heard of it.
    #[must_use]
    pub fn inventory(&self, after: &str, limit: usize) -> Vec<(Info, Option<u32>)> {
        self.index.inventory(after, limit)
    }

    /// Takes an object out, and says whether it was here.
    async fn remove(&self, lock: &Lock) -> Result<bool, Refusal> {
        let Some(entry) = self.index.remove(lock.key()) else { return Ok(false) };
        if let (Some(disk), Some(file)) = (self.disk.clone(), entry.file) {
            let sync = if lock.key().is_durable() { Sync::Now } else { Sync::Never };
            blocking(move || disk.remove(file, sync)).await?;
        }
        Ok(entry.is_here())
    }

    /// What is known of what is meant, each object looked at while nobody changes it.
    pub async fn versions(&self, target: &ObjectTarget) -> Vec<(ObjectKey, u64)> {
        let mut found = Vec::new();
        let mut after = String::new();
        loop {
            let keys = self.index.keys(Some(target), &after, PAGE_MAX);
            let Some(last) = keys.last() else { return found };
            after = last.to_string();
            for key in keys {
                let lock = self.lock(&key).await;
                let known = self.index.peek(lock.key());
                found.extend(known.map(|entry| (key, entry.info.version)));
            }
        }
    }

    /// What is known of what is meant, in the order of the keys after this one; whether there is more.
    #[must_use]
    pub fn list(&self, target: Option<&ObjectTarget>, after: &str, limit: usize) -> (Vec<Info>, bool) {
        let mut found = self.index.list(target, after, limit + 1);
        let has_more = found.len() > limit;
        found.truncate(limit);
        (found, has_more)
    }

    /// The objects in the arena that nobody has used for longest, and that may leave it.
    #[must_use]
    pub fn coldest_shared(&self, count: usize) -> Vec<ObjectKey> {
        self.index.coldest_shared(count)
    }

    /// Moves an object out of the arena into ordinary memory, and says whether it was there.
    pub async fn unshare(&self, key: &ObjectKey) -> bool {
        let object = self.index.peek(key).and_then(|entry| entry.object);
        let Some(object) = object.filter(|object| object.is_shared() && !object.is_pinned()) else { return false };
        let (before, settled) = blocking(move || {
            let settled = Arc::new(object.settled());
            (object, settled)
        })
        .await;
        self.exchange(&before, &settled)
    }

    /// Puts the same version of an object, elsewhere in memory, in the place of this one; says whether that was still there.
    pub fn exchange(&self, before: &Arc<Object>, after: &Arc<Object>) -> bool {
        let mut is_there = false;
        self.index.change(&after.key, after.version(), |entry| {
            is_there = entry.object.as_ref().is_some_and(|object| Arc::ptr_eq(object, before));
            if is_there {
                entry.object = Some(after.clone());
            }
        });
        is_there
    }

    /// Whoever waits for room looks again: something that could not leave memory may leave it now.
    pub fn look_again(&self) {
        self.index.look_again();
    }

    /// Writes everything that is in memory only to disk, if there is one: what a cache does before it ends.
    ///
    /// # Errors
    /// The disk failed, or is full.
    pub async fn flush(&self) -> Result<(), Refusal> {
        let mut after = String::new();
        loop {
            let keys = self.index.keys(None, &after, PAGE_MAX);
            let Some(last) = keys.last() else { return Ok(()) };
            after = last.to_string();
            for key in keys {
                let lock = self.lock(&key).await;
                self.write_back(&lock).await?;
            }
        }
    }

    /// Makes an object leave memory, if it is still there.
    async fn evict(&self, lock: &Lock) -> Result<(), Refusal> {
        let Some(version) = self.write_back(lock).await? else { return Ok(()) };
        self.index.change(lock.key(), version, |entry| entry.object = None);
        self.metrics.evicted();
        if self.disk.is_none() {
            self.lose(lock.key(), version);
        }
        Ok(())
    }

    /// Makes the file of an object that is in memory have all of it, where there is a disk. Gives its version.
    async fn write_back(&self, lock: &Lock) -> Result<Option<u64>, Refusal> {
        let Some(entry) = self.index.peek(lock.key()) else { return Ok(None) };
        let Some(object) = entry.object.clone() else { return Ok(None) };
        let version = entry.info.version;
        if self.disk.is_none() || entry.is_on_disk() {
            return Ok(Some(version));
        }
        let sync = if lock.key().is_durable() { Sync::Now } else { Sync::Never };
        let file = self.write_on(entry.file, &object, sync).await?;
        self.index.change(lock.key(), version, |entry| entry.file = file);
        if let Some(generation) = entry.recorded {
            self.mark(lock.key(), file, generation).await;
        }
        let superseded = entry.file.filter(|before| !file.is_some_and(|file| file.is_same_file(before)));
        if let Some(superseded) = superseded {
            self.delete_file(superseded, Sync::Never).await;
        }
        Ok(Some(version))
    }

    async fn delete_file(&self, file: OnDisk, sync: Sync) {
        let Some(disk) = self.disk.clone() else { return };
        if let Err(error) = blocking(move || disk.remove(file, sync)).await {
            tracing::warn!(%error, "cannot delete a file that is no longer needed; the next start does");
        }
    }
}

/// Runs what waits for the disk where nobody else waits.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
#[path = "tiers_tests.rs"]
mod tests;
