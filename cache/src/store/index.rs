//! Every object that this cache knows: what is in memory, what is on disk, who used it last, and how much all of it is.
//!
//! **Invariant:** the sums (bytes in memory, on disk, of each application) are those of the entries.
//! **Invariant:** an object that left memory and has no file is still known with its version, so that versions go on and
//! do not begin anew.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flame_types::{ObjectApp, ObjectKey, ObjectTarget};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::error::Refusal;
use crate::limits::OBJECTS_MAX;
use crate::model::{Info, Object};
use crate::store::disk::OnDisk;

/// How much there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of objects in memory.
    pub memory: u64,
    /// Bytes of objects on disk.
    pub disk: u64,
    /// Objects in memory.
    pub resident: u64,
    /// Bytes of the objects of one application.
    pub quota: Option<u64>,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Bytes of objects in memory.
    pub memory: u64,
    /// Bytes on their way into memory.
    pub reserved: u64,
    /// Bytes of files.
    pub disk: u64,
    /// Objects that are known.
    pub objects: u64,
    /// Objects in memory.
    pub resident: u64,
}

/// One object.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What is known of it.
    pub info: Info,
    /// The object, while it is in memory.
    pub object: Option<Arc<Object>>,
    /// Its file, which may be of an earlier version.
    pub file: Option<OnDisk>,
    /// In which generation of the cluster the directory has heard of this version, if it has.
    pub recorded: Option<u32>,
    /// Whether this process has written this version: then it is the one to write the next.
    pub is_written_here: bool,
    /// When it was last used, as the index counts.
    touched: u64,
}

impl Entry {
    /// Whether its bytes are anywhere here.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.object.is_some() || self.file.is_some()
    }

    /// Whether the file has all of it.
    #[must_use]
    pub fn is_on_disk(&self) -> bool {
        self.file.is_some_and(|file| file.version == self.info.version)
    }

    fn is_shared(&self) -> bool {
        self.object.as_ref().is_some_and(|object| object.is_shared())
    }

    fn is_pinned(&self) -> bool {
        self.object.as_ref().is_some_and(|object| object.is_pinned())
    }

    fn resident_bytes(&self) -> u64 {
        if self.object.is_some() { self.info.size } else { 0 }
    }

    fn counted_bytes(&self) -> u64 {
        if self.is_here() { self.info.size } else { 0 }
    }
}

/// What comes into the index.
#[derive(Debug)]
pub struct Arrival {
    /// The object.
    pub object: Arc<Object>,
    /// Its file, if it has one.
    pub file: Option<OnDisk>,
    /// In which generation of the cluster the directory has heard of this version, if it has.
    pub recorded: Option<u32>,
    /// Whether this cache has written this version.
    pub is_written_here: bool,
}

/// The index. A handle: clones are of the same.
#[derive(Clone, Debug)]
pub struct Index {
    bounds: Bounds,
    inner: Arc<Mutex<Inner>>,
    /// Somebody has given room back.
    freed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: BTreeMap<ObjectKey, Entry>,
    /// Objects in memory, in the order in which they were used.
    used: BTreeMap<u64, ObjectKey>,
    /// Those of them that are in the arena.
    shared: BTreeMap<u64, ObjectKey>,
    apps: BTreeMap<ObjectApp, u64>,
    held: Held,
    clock: u64,
}

/// Room in memory for what is on its way. Given back when it is dropped.
#[derive(Debug)]
pub struct Reservation {
    index: Index,
    bytes: u64,
}

impl Reservation {
    /// How much room it is.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Some of it, or all where it is less.
    #[must_use]
    pub fn split(&mut self, bytes: u64) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { index: self.index.clone(), bytes }
    }

    /// Takes another one in.
    pub fn join(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.index.lock().held.reserved -= self.bytes;
            self.index.freed.notify_waiters();
        }
    }
}

impl Index {
    /// An index of nothing.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, inner: Arc::default(), freed: Arc::default() }
    }

    /// How much there may be.
    #[must_use]
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// How much there is.
    #[must_use]
    pub fn held(&self) -> Held {
        self.lock().held
    }

    // Nothing that is done under the lock can fail halfway.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No room: an empty reservation to begin with.
    #[must_use]
    pub fn nothing(&self) -> Reservation {
        Reservation { index: self.clone(), bytes: 0 }
    }

    /// Room for so many bytes, if there is.
    #[must_use]
    pub fn try_reserve(&self, bytes: u64) -> Option<Reservation> {
        let mut inner = self.lock();
        let taken = inner.held.memory + inner.held.reserved;
        if taken.checked_add(bytes)? > self.bounds.memory || inner.held.resident >= self.bounds.resident {
            return None;
        }
        inner.held.reserved += bytes;
        drop(inner);
        Some(Reservation { index: self.clone(), bytes })
    }

    /// Over when somebody gives room back from now on.
    pub fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }

    /// Whoever waits for room looks again.
    pub fn look_again(&self) {
        self.freed.notify_waiters();
    }

    /// The objects in memory that nobody has used for longest, and that would free memory if they left it.
    #[must_use]
    pub fn coldest(&self, count: usize) -> Vec<ObjectKey> {
        let inner = self.lock();
        inner.used.values().filter(|key| inner.may_leave(key)).take(count).cloned().collect()
    }

    /// The same of those in the arena.
    #[must_use]
    pub fn coldest_shared(&self, count: usize) -> Vec<ObjectKey> {
        let inner = self.lock();
        inner.shared.values().filter(|key| inner.may_leave(key)).take(count).cloned().collect()
    }

    /// What is known of an object; it counts as used.
    #[must_use]
    pub fn touch(&self, key: &ObjectKey) -> Option<Entry> {
        let mut inner = self.lock();
        inner.clock += 1;
        let now = inner.clock;
        let inner = &mut *inner;
        let entry = inner.entries.get_mut(key)?;
        if entry.object.is_some() {
            inner.used.remove(&entry.touched);
            inner.used.insert(now, key.clone());
            if inner.shared.remove(&entry.touched).is_some() {
                inner.shared.insert(now, key.clone());
            }
        }
        entry.touched = now;
        Some(entry.clone())
    }

    /// The same without counting as a use.
    #[must_use]
    pub fn peek(&self, key: &ObjectKey) -> Option<Entry> {
        self.lock().entries.get(key).cloned()
    }

    /// Whether the object of this key may become as large as that.
    ///
    /// # Errors
    /// [`Refusal::NoRoom`] names the limit.
    pub fn admit(&self, key: &ObjectKey, size: u64) -> Result<(), Refusal> {
        let inner = self.lock();
        let before = inner.entries.get(key);
        if before.is_none() && inner.held.objects >= OBJECTS_MAX {
            return Err(Refusal::NoRoom(format!(
                "the cache knows {OBJECTS_MAX} objects, and takes no more; delete some"
            )));
        }
        if let Some(quota) = self.bounds.quota {
            let app = key.object_app();
            let others = inner.apps.get(&app).copied().unwrap_or_default() - before.map_or(0, Entry::counted_bytes);
            if others.saturating_add(size) > quota {
                return Err(Refusal::NoRoom(format!(
                    "application {app} has {others} bytes of other objects here; with these {size} it would be over its \
                     quota of {quota} (cache.quota). Delete some"
                )));
            }
        }
        Ok(())
    }

    /// Whether so many bytes more fit on the disk.
    ///
    /// # Errors
    /// [`Refusal::NoRoom`] names the limit.
    pub fn admit_to_disk(&self, bytes: u64) -> Result<(), Refusal> {
        let held = self.lock().held.disk;
        if held.saturating_add(bytes) > self.bounds.disk {
            return Err(Refusal::NoRoom(format!(
                "the cache has {held} bytes on disk; with these {bytes} it would be more than cache.disk_max ({}). Delete \
                 objects, or raise it",
                self.bounds.disk
            )));
        }
        Ok(())
    }

    /// Puts an object in the place of what was there, and gives the file that is no longer needed.
    pub fn put(&self, arrival: Arrival) -> Option<OnDisk> {
        let Arrival { object, file, recorded, is_written_here } = arrival;
        let mut inner = self.lock();
        let before = inner.take(&object.key);
        inner.clock += 1;
        let touched = inner.clock;
        inner.add(Entry { info: object.info(), object: Some(object), file, recorded, is_written_here, touched });
        before.and_then(|entry| entry.file).filter(|old| !file.is_some_and(|new| new.is_same_file(old)))
    }

    /// An object that was found on disk, and is not in memory. What is left of two of the same key is the later one; the
    /// file of the other is given.
    pub fn found(&self, info: Info, file: OnDisk, recorded: Option<u32>) -> Option<OnDisk> {
        let mut inner = self.lock();
        let entry = Entry { info, object: None, file: Some(file), recorded, is_written_here: false, touched: 0 };
        let Some(before) = inner.take(&entry.info.key) else {
            inner.add(entry);
            return None;
        };
        let (later, earlier) = if before.info.version > entry.info.version { (before, entry) } else { (entry, before) };
        inner.add(later);
        earlier.file
    }

    /// Changes an entry if it still has this version. Says whether it had.
    pub fn change(&self, key: &ObjectKey, version: u64, change: impl FnOnce(&mut Entry)) -> bool {
        let mut inner = self.lock();
        let Some(mut entry) = inner.take(key) else { return false };
        let is_the_same = entry.info.version == version;
        if is_the_same {
            change(&mut entry);
        }
        inner.add(entry);
        is_the_same
    }

    /// Takes an object out.
    pub fn remove(&self, key: &ObjectKey) -> Option<Entry> {
        self.lock().take(key)
    }

    /// Keys that are meant, in their order, after this one, at most so many.
    #[must_use]
    pub fn keys(&self, target: Option<&ObjectTarget>, after: &str, count: usize) -> Vec<ObjectKey> {
        let inner = self.lock();
        let found = range(&inner.entries, target, after);
        found.map(|(key, _)| key.clone()).take(count).collect()
    }

    /// Those that are here, and in which generation the directory has heard of them.
    #[must_use]
    pub fn inventory(&self, after: &str, count: usize) -> Vec<(Info, Option<u32>)> {
        let inner = self.lock();
        let found = range(&inner.entries, None, after).filter(|(_, entry)| entry.is_here());
        found.map(|(_, entry)| (entry.info.clone(), entry.recorded)).take(count).collect()
    }

    /// The same with what is known of them, of those that are here.
    #[must_use]
    pub fn list(&self, target: Option<&ObjectTarget>, after: &str, count: usize) -> Vec<Info> {
        let inner = self.lock();
        let found = range(&inner.entries, target, after).filter(|(_, entry)| entry.is_here());
        found.map(|(_, entry)| entry.info.clone()).take(count).collect()
    }
}

/// What is meant, after this key, at most so many.
fn range<'a>(
    entries: &'a BTreeMap<ObjectKey, Entry>,
    target: Option<&ObjectTarget>,
    after: &str,
) -> impl Iterator<Item = (&'a ObjectKey, &'a Entry)> {
    let (from, to) = target.map(ObjectTarget::range).unzip();
    let from = from.unwrap_or_default();
    let start = if after < from.as_str() { Bound::Included(from.as_str()) } else { Bound::Excluded(after) };
    let is_within = move |key: &ObjectKey| to.as_ref().is_none_or(|to| key.as_str() < to.as_str());
    entries
        .range::<str, (Bound<&str>, Bound<&str>)>((start, Bound::Unbounded))
        .take_while(move |(key, _)| is_within(key))
}

impl Inner {
    fn may_leave(&self, key: &ObjectKey) -> bool {
        self.entries.get(key).is_some_and(|entry| !entry.is_pinned())
    }

    fn take(&mut self, key: &ObjectKey) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.held.objects -= 1;
        self.held.memory -= entry.resident_bytes();
        self.held.disk -= entry.file.map_or(0, |file| file.bytes);
        if entry.object.is_some() {
            self.held.resident -= 1;
            self.used.remove(&entry.touched);
            self.shared.remove(&entry.touched);
        }
        let app = key.object_app();
        if let Some(bytes) = self.apps.get_mut(&app) {
            *bytes -= entry.counted_bytes();
            if *bytes == 0 {
                self.apps.remove(&app);
            }
        }
        Some(entry)
    }

    fn add(&mut self, entry: Entry) {
        let key = entry.info.key.clone();
        self.held.objects += 1;
        self.held.memory += entry.resident_bytes();
        self.held.disk += entry.file.map_or(0, |file| file.bytes);
        if entry.object.is_some() {
            self.held.resident += 1;
            self.used.insert(entry.touched, key.clone());
        }
        if entry.is_shared() {
            self.shared.insert(entry.touched, key.clone());
        }
        if entry.counted_bytes() > 0 {
            *self.apps.entry(key.object_app()).or_default() += entry.counted_bytes();
        }
        self.entries.insert(key, entry);
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
