//! What cache nodes have.
//!
//! A node makes the versions of the objects that it writes, and tells the directory afterwards, or before it answers its
//! client. So two nodes may have made the same version, each believing to be the one that writes: whoever is recorded
//! first has made it, and the other is told to drop its own.

use std::collections::BTreeMap;

use flame_types::{CacheKey, ObjectKey, ObjectVersion, limits};

use super::batch::{Apply, Outcome};
use crate::command::{HeldObject, ObjectsChanged};
use crate::effect::CacheOrder;
use crate::refusal::{ObjectRefusal, Refusal};
use crate::reply::Reply;
use crate::state::ObjectRow;

/// What cache nodes are to drop, each with the highest version that is meant.
pub(super) type Drops = BTreeMap<CacheKey, Vec<(ObjectKey, ObjectVersion)>>;

impl Apply<'_> {
    pub(super) fn objects_changed(&mut self, report: ObjectsChanged) -> Outcome {
        let node = self.check_cache_epoch(&report.cache, report.epoch)?;
        // Nobody was told the epoch that a lease which is over got.
        if !self.state.directory.caches[&node].is_live() {
            return Err(Refusal::StaleEpoch { node: report.cache.to_string(), epoch: report.epoch.0 });
        }
        if report.held.len() + report.gone.len() > limits::OBJECTS_PER_REPORT_MAX {
            let limit = limits::OBJECTS_PER_REPORT_MAX as u64;
            return Err(Refusal::Limit { name: "objects of one report".into(), limit });
        }
        let mut drops = Drops::new();
        for (key, version) in &report.gone {
            self.object_gone(node, key, *version);
        }
        let mut refused = Vec::new();
        for (at, held) in (0..).zip(report.held) {
            if let Err(why) = self.object_held(node, held, &mut drops) {
                refused.push((at, why));
            }
        }
        self.order_drops(drops);
        Ok(Reply::Objects { refused })
    }

    /// Sets the entry of an object, or removes it, and tells everybody when the quota of its application is used up by
    /// that, or is not any more.
    pub(super) fn set_object(&mut self, key: &ObjectKey, row: Option<ObjectRow>) {
        let limit = self.state.cluster.config.objects.app_bytes_max;
        let was_full = self.state.directory.used_bytes(key.app()) >= limit;
        let places = row.as_ref().map(|row| row.places.clone()).unwrap_or_default();
        let old = self.state.directory.set(key, row);
        self.changes.objects.insert(key.clone());
        let is_full = self.state.directory.used_bytes(key.app()) >= limit;
        if was_full != is_full {
            self.tell_quota(key, is_full);
        }
        for place in old.into_iter().flat_map(|old| old.places).filter(|place| !places.contains(place)) {
            self.forget_cache_if_empty(place);
        }
        self.directory_dirty |= self.state.directory.short.contains(key);
    }

    /// Tells cache nodes what to drop.
    pub(super) fn order_drops(&mut self, drops: Drops) {
        for (cache, objects) in drops {
            self.cache_order(cache, CacheOrder::Drop { objects });
        }
    }

    /// Removes the entry of an object, and says to those who have it that it is to be dropped.
    pub(super) fn remove_object(&mut self, key: &ObjectKey, drops: &mut Drops) {
        let Some(row) = self.state.directory.entries.get(key) else { return };
        for place in &row.places {
            drops.entry(*place).or_default().push((key.clone(), row.version));
        }
        self.set_object(key, None);
    }

    /// The quota is another one: tells of those applications for which that makes a difference.
    pub(super) fn quota_changed(&mut self, before: u64) {
        let limit = self.state.cluster.config.objects.app_bytes_max;
        let differs = |bytes: u64| (bytes >= before) != (bytes >= limit);
        let apps = self.state.directory.apps.iter().filter(|(_, used)| differs(used.bytes));
        let apps: Vec<_> = apps.map(|(app, used)| (app.clone(), used.bytes >= limit)).collect();
        let caches: Vec<CacheKey> = self.state.directory.caches.keys().copied().collect();
        for (app, full) in apps {
            for cache in &caches {
                self.cache_order(*cache, CacheOrder::Quota { app: app.clone(), full });
            }
        }
    }

    fn object_held(&mut self, node: CacheKey, held: HeldObject, drops: &mut Drops) -> Result<(), ObjectRefusal> {
        let recorded = held.recorded == Some(self.state.cluster.generation);
        let Some(row) = self.state.directory.entry(held.key.as_str()) else {
            if recorded {
                return Err(ObjectRefusal::Deleted);
            }
            return self.new_object(node, held, drops);
        };
        let is_place = row.places.contains(&node);
        match held.version.cmp(&row.version) {
            std::cmp::Ordering::Equal if is_place => Ok(()),
            std::cmp::Ordering::Equal if recorded => self.new_copy(node, &held),
            std::cmp::Ordering::Greater if !recorded => self.new_version(node, held, drops),
            // What is ahead of the directory although it was recorded is of an object that was deleted and made anew.
            _ => Err(ObjectRefusal::Stale { present: row.version }),
        }
    }

    fn new_object(&mut self, node: CacheKey, held: HeldObject, drops: &mut Drops) -> Result<(), ObjectRefusal> {
        self.check_object(&held, 0)?;
        // Its entry is still there if it was deleted and is made anew.
        self.remove_object(&held.key, drops);
        let limit = limits::OBJECTS_MAX;
        if self.state.directory.entries.len() >= limit {
            return Err(ObjectRefusal::Limit { name: "objects".into(), limit: limit as u64 });
        }
        let number = self.state.cluster.next_object;
        self.state.cluster.next_object += 1;
        self.changes.cluster = true;
        let copies = self.copies_of(&held);
        let HeldObject { key, version, size, data_type, created, .. } = held;
        let row = ObjectRow { number, version, size, data_type, created, copies, places: vec![node] };
        self.set_object(&key, Some(row));
        Ok(())
    }

    /// Whoever has the version before is no holder any more.
    fn new_version(&mut self, node: CacheKey, held: HeldObject, drops: &mut Drops) -> Result<(), ObjectRefusal> {
        let old = &self.state.directory.entries[&held.key];
        self.check_object(&held, old.size)?;
        for place in old.places.iter().filter(|place| **place != node) {
            drops.entry(*place).or_default().push((held.key.clone(), old.version));
        }
        let number = old.number;
        let copies = self.copies_of(&held);
        let HeldObject { key, version, size, data_type, created, .. } = held;
        let row = ObjectRow { number, version, size, data_type, created, copies, places: vec![node] };
        self.set_object(&key, Some(row));
        Ok(())
    }

    /// One more has the present version. Those who are away are no holders any more once there are enough others.
    fn new_copy(&mut self, node: CacheKey, held: &HeldObject) -> Result<(), ObjectRefusal> {
        let directory = &self.state.directory;
        let row = &directory.entries[&held.key];
        let wanted = row.copies as usize;
        if directory.live_places(row).count() >= wanted {
            return Err(ObjectRefusal::Surplus);
        }
        let mut row = row.clone();
        row.places.push(node);
        if directory.live_places(&row).count() >= wanted {
            row.places.retain(|place| directory.caches[place].is_live());
        }
        let copies = u32::try_from(directory.live_places(&row).count()).unwrap_or(u32::MAX);
        let first = directory.live_places(&row).next().map(|cache| cache.row.key);
        let (key, version) = (held.key.clone(), row.version);
        self.set_object(&key, Some(row));
        if let Some(first) = first {
            self.cache_order(first, CacheOrder::Copied { key, version, copies });
        }
        Ok(())
    }

    /// The entry stays, even with nobody left who has it: a reader is told that the object is lost.
    fn object_gone(&mut self, node: CacheKey, key: &ObjectKey, version: ObjectVersion) {
        let Some(row) = self.state.directory.entries.get(key) else { return };
        if row.version > version || !row.places.contains(&node) {
            return;
        }
        let mut row = row.clone();
        row.places.retain(|place| *place != node);
        self.set_object(key, Some(row));
    }

    /// `before`: bytes of the version that it replaces.
    fn check_object(&self, held: &HeldObject, before: u64) -> Result<(), ObjectRefusal> {
        if held.version == ObjectVersion(0) {
            return Err(ObjectRefusal::Invalid("versions of objects begin at 1".into()));
        }
        if held.size > limits::OBJECT_BYTES_MAX {
            let max = limits::OBJECT_BYTES_MAX;
            return Err(ObjectRefusal::Invalid(format!("an object has at most {max} bytes, not {}", held.size)));
        }
        if held.acknowledged {
            return Ok(());
        }
        if self.state.cluster.disk_short {
            return Err(ObjectRefusal::DiskShort);
        }
        let limit = self.state.cluster.config.objects.app_bytes_max;
        let bytes = self.state.directory.used_bytes(held.key.app()) - before + held.size;
        if held.size > before && bytes > limit {
            return Err(ObjectRefusal::Quota { app: held.key.app().into(), limit, bytes });
        }
        Ok(())
    }

    fn copies_of(&self, held: &HeldObject) -> u32 {
        let config = &self.state.cluster.config.objects;
        let usual = if held.key.is_durable() { config.copies } else { config.session_copies };
        let asked = if held.copies == 0 { usual } else { held.copies };
        asked.clamp(1, limits::OBJECT_COPIES_MAX)
    }

    fn tell_quota(&mut self, key: &ObjectKey, full: bool) {
        let app = key.object_app();
        let caches: Vec<CacheKey> = self.state.directory.caches.keys().copied().collect();
        for cache in caches {
            self.cache_order(cache, CacheOrder::Quota { app: app.clone(), full });
        }
    }
}
