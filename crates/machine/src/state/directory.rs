//! The object directory: which node of the object cache has which object, in which version. The bytes themselves are with
//! those nodes.
//!
//! All nodes that an entry names have its version: who has an older one is no holder. A node whose lease ran out keeps its
//! places, which count for nothing until it is back; so losing a node costs one row, however much it had.
//!
//! **Invariant:** a version is recorded once: an entry takes a higher one only.
//!
//! **Invariant:** every place names a node that is known.

use std::collections::{BTreeMap, BTreeSet};

use flame_types::{CacheKey, NodeName, ObjectApp, ObjectKey};

use super::{Cache, DoomedRow, ObjectRow};

/// What the objects of an application take, those that are lost included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsedByApp {
    /// How many there are.
    pub objects: u64,
    /// Their bytes, each object counted once.
    pub bytes: u64,
}

/// Nodes of the object cache and what they have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    pub(crate) caches: BTreeMap<CacheKey, Cache>,
    pub(crate) entries: BTreeMap<ObjectKey, ObjectRow>,
    /// Objects that are deleted and whose entries are still there, by the beginning of their keys.
    pub(crate) doomed: BTreeMap<String, DoomedRow>,

    // ── derived ─────────────────────────────────────────────────────────────────────────────────────────────────
    /// Cache nodes by name.
    pub(crate) names: BTreeMap<NodeName, CacheKey>,
    /// What each application uses; none is empty.
    pub(crate) apps: BTreeMap<ObjectApp, UsedByApp>,
    /// Objects of which several copies are wanted.
    pub(crate) copied: BTreeSet<ObjectKey>,
    /// Those of them that have fewer places than that, live or not.
    pub(crate) short: BTreeSet<ObjectKey>,
}

impl Directory {
    /// Cache nodes.
    #[must_use]
    pub fn caches(&self) -> &BTreeMap<CacheKey, Cache> {
        &self.caches
    }

    /// Every entry, of deleted objects too.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<ObjectKey, ObjectRow> {
        &self.entries
    }

    /// What each application uses.
    #[must_use]
    pub fn apps(&self) -> &BTreeMap<ObjectApp, UsedByApp> {
        &self.apps
    }

    /// Deleted objects whose entries are still there.
    #[must_use]
    pub fn doomed(&self) -> &BTreeMap<String, DoomedRow> {
        &self.doomed
    }

    /// The cache node of this name.
    #[must_use]
    pub fn cache(&self, name: &str) -> Option<&Cache> {
        self.caches.get(self.names.get(name)?)
    }

    /// The entry of an object that is not deleted.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&ObjectRow> {
        self.entries.get(key).filter(|row| !self.is_doomed(key, row))
    }

    /// Whether an object is deleted although its entry is still there.
    #[must_use]
    pub fn is_doomed(&self, key: &str, row: &ObjectRow) -> bool {
        // The texts with which the keys of its application and of its session begin.
        let beginnings = || key.match_indices('/').map(|(at, _)| &key[..=at]);
        !self.doomed.is_empty()
            && beginnings().any(|text| self.doomed.get(text).is_some_and(|doomed| row.number < doomed.below))
    }

    /// Bytes of the objects of an application.
    #[must_use]
    pub fn used_bytes(&self, app: &str) -> u64 {
        self.apps.get(app).map_or(0, |used| used.bytes)
    }

    /// Places of an entry whose nodes are live, in their order.
    pub fn live_places<'d>(&'d self, row: &'d ObjectRow) -> impl Iterator<Item = &'d Cache> {
        row.places.iter().filter_map(|place| self.caches.get(place)).filter(|cache| cache.is_live())
    }

    /// Sets an entry, or removes it; returns what was there.
    pub(crate) fn set(&mut self, key: &ObjectKey, row: Option<ObjectRow>) -> Option<ObjectRow> {
        let old = self.entries.remove(key);
        if let Some(old) = &old {
            self.unindex(key, old);
        }
        if let Some(row) = row {
            self.index(key, &row);
            self.entries.insert(key.clone(), row);
        }
        old
    }

    fn index(&mut self, key: &ObjectKey, row: &ObjectRow) {
        if !self.apps.contains_key(key.app()) {
            self.apps.insert(key.object_app(), UsedByApp::default());
        }
        let used = self.apps.get_mut(key.app()).expect("it was made above if it was not there");
        used.objects += 1;
        used.bytes += row.size;
        for place in &row.places {
            if let Some(cache) = self.caches.get_mut(place) {
                cache.objects.insert(key.clone());
                cache.bytes += row.size;
            }
        }
        if row.copies > 1 {
            self.copied.insert(key.clone());
            if row.places.len() < row.copies as usize {
                self.short.insert(key.clone());
            }
        }
    }

    fn unindex(&mut self, key: &ObjectKey, row: &ObjectRow) {
        if let Some(used) = self.apps.get_mut(key.app()) {
            used.objects -= 1;
            used.bytes -= row.size;
            if used.objects == 0 {
                self.apps.remove(key.app());
            }
        }
        for place in &row.places {
            if let Some(cache) = self.caches.get_mut(place) {
                cache.objects.remove(key);
                cache.bytes -= row.size;
            }
        }
        self.copied.remove(key);
        self.short.remove(key);
    }
}
