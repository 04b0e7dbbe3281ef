//! Nodes of the object cache come and go.

use flame_types::{CacheKey, Epoch, NodeName, ObjectKey, limits};

use super::batch::{Apply, Outcome};
use crate::cluster_event::{ClusterEvent, WorkerLife};
use crate::command::{CacheHello, LeaseEnd};
use crate::effect::{CacheEffect, CacheOrder};
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::state::{Cache, CacheRow};

/// Most that one node may claim to keep: the sum over all of them still fits its type.
const CAPACITY_BYTES_MAX: u64 = 1 << 50;

/// Most places of a removed node that one command takes off.
const REMOVED_AT_ONCE_MAX: usize = 512;

impl Apply<'_> {
    /// What it has is told afterwards, in reports: until then its places count as they were.
    pub(super) fn cache_hello(&mut self, hello: CacheHello) -> Outcome {
        self.check_cache_hello(&hello)?;
        let known = self.state.directory.cache(hello.cache.as_str());
        let life = match known {
            None => WorkerLife::New,
            Some(cache) if cache.row.incarnation == hello.incarnation => WorkerLife::Same,
            Some(cache) if cache.row.attached => WorkerLife::Superseding,
            Some(_) => WorkerLife::Restarted,
        };
        let next = || self.state.directory.caches.last_key_value().map_or(CacheKey(1), |(last, _)| last.next());
        let key = known.map_or_else(next, |cache| cache.row.key);
        let epoch = self.state.cluster.next_epoch;
        self.state.cluster.next_epoch = epoch.next();
        self.changes.cluster = true;
        let CacheHello { cache: name, incarnation, hello, host, endpoint, memory_bytes, disk_bytes } = hello;
        let row = CacheRow {
            key,
            name: name.clone(),
            incarnation,
            hello,
            host,
            endpoint,
            memory_bytes,
            disk_bytes,
            epoch,
            attached: true,
            expired: None,
            seen: self.wall,
        };
        let directory = &mut self.state.directory;
        directory.names.insert(name.clone(), key);
        match directory.caches.get_mut(&key) {
            Some(cache) => cache.row = row,
            None => drop(directory.caches.insert(key, Cache::new(row))),
        }
        self.changes.caches.insert(name.clone());
        let limit = self.state.cluster.config.objects.app_bytes_max;
        let full = self.state.directory.apps.iter().filter(|(_, used)| used.bytes >= limit);
        let full = full.map(|(app, _)| app.clone()).collect();
        let generation = self.state.cluster.generation;
        self.cache_order(key, CacheOrder::Welcome { generation, full });
        self.directory_dirty = true;
        self.happened(ClusterEvent::CacheAttached { cache: name, life });
        Ok(Reply::Attached { epoch })
    }

    pub(super) fn detach_cache(&mut self, name: &NodeName, epoch: Epoch) -> Outcome {
        let key = self.check_cache_epoch(name, epoch)?;
        if self.state.directory.caches[&key].row.attached {
            self.set_cache_detached(key);
            self.happened(ClusterEvent::CacheDetached { cache: name.clone() });
        }
        Ok(Reply::Done)
    }

    pub(super) fn expire_cache(&mut self, name: &NodeName, epoch: Epoch, end: LeaseEnd) -> Outcome {
        let key = self.check_cache_epoch(name, epoch)?;
        if self.state.directory.caches[&key].is_live() {
            self.end_cache_lease(key);
            self.happened(ClusterEvent::CacheExpired { cache: name.clone(), end });
        }
        Ok(Reply::Done)
    }

    /// Its copies count no more, and its reports are refused from now on. Its places stay, for it may come back.
    pub(super) fn end_cache_lease(&mut self, key: CacheKey) {
        let (now, epoch) = (self.state.cluster.time, self.state.cluster.next_epoch);
        self.state.cluster.next_epoch = epoch.next();
        self.changes.cluster = true;
        let cache = self.state.directory.caches.get_mut(&key).expect("the caller has found it");
        cache.row.attached = false;
        cache.row.expired = Some(now);
        cache.row.epoch = epoch;
        self.changes.caches.insert(cache.row.name.clone());
        self.directory_dirty = true;
        self.forget_cache_if_empty(key);
    }

    /// A new leader has no streams of cache nodes.
    pub(super) fn detach_caches(&mut self) {
        let attached = self.state.directory.caches.values().filter(|cache| cache.row.attached);
        let attached: Vec<CacheKey> = attached.map(|cache| cache.row.key).collect();
        for key in attached {
            self.set_cache_detached(key);
        }
    }

    /// A node whose lease is over and that had nothing is nobody's business any more.
    pub(super) fn forget_cache_if_empty(&mut self, key: CacheKey) {
        let directory = &mut self.state.directory;
        let gone = directory.caches.get(&key).filter(|cache| !cache.is_live() && cache.objects.is_empty());
        if let Some(name) = gone.map(|cache| cache.row.name.clone()) {
            directory.caches.remove(&key);
            directory.names.remove(&name);
            self.changes.caches.insert(name);
        }
    }

    /// Takes places of a node that is gone off their entries, and forgets it with the last of them.
    pub(super) fn remove_cache(&mut self, name: &NodeName) -> Outcome {
        let cache = self.state.directory.cache(name.as_str());
        let cache = cache.ok_or_else(|| Refusal::NodeNotFound(name.to_string()))?;
        if cache.is_live() {
            return Err(Refusal::CacheLive(name.to_string()));
        }
        let node = cache.row.key;
        let held: Vec<ObjectKey> = cache.objects.iter().take(REMOVED_AT_ONCE_MAX).cloned().collect();
        for key in held {
            let mut row = self.state.directory.entries[&key].clone();
            row.places.retain(|place| *place != node);
            self.set_object(&key, Some(row));
        }
        self.forget_cache_if_empty(node);
        if self.state.directory.cache(name.as_str()).is_none() {
            self.happened(ClusterEvent::CacheRemoved { cache: name.clone() });
        }
        Ok(Reply::Done)
    }

    /// Tells a cache node something, under its present lease.
    pub(super) fn cache_order(&mut self, key: CacheKey, order: CacheOrder) {
        if let Some(cache) = self.state.directory.caches.get(&key).filter(|cache| cache.row.attached) {
            let (cache, epoch) = (cache.row.name.clone(), cache.row.epoch);
            self.cache_effects.push(CacheEffect { cache, epoch, order });
        }
    }

    /// The node of a report, if the report belongs to its present lease.
    pub(super) fn check_cache_epoch(&self, name: &NodeName, epoch: Epoch) -> Result<CacheKey, Refusal> {
        let cache = self.state.directory.cache(name.as_str());
        let row = &cache.ok_or_else(|| Refusal::NodeNotFound(name.to_string()))?.row;
        match row.epoch == epoch {
            true => Ok(row.key),
            false => Err(Refusal::StaleEpoch { node: name.to_string(), epoch: row.epoch.0 }),
        }
    }

    fn set_cache_detached(&mut self, key: CacheKey) {
        let cache = self.state.directory.caches.get_mut(&key).expect("the caller has found it");
        cache.row.attached = false;
        self.changes.caches.insert(cache.row.name.clone());
    }

    fn check_cache_hello(&self, hello: &CacheHello) -> Result<(), Refusal> {
        if hello.endpoint.is_empty() || hello.endpoint.len() > limits::ENDPOINT_BYTES_MAX {
            let max = limits::ENDPOINT_BYTES_MAX;
            return Err(Refusal::InvalidSpec(format!("the endpoint of a cache node has 1 to {max} bytes")));
        }
        if hello.memory_bytes > CAPACITY_BYTES_MAX || hello.disk_bytes > CAPACITY_BYTES_MAX {
            return Err(Refusal::InvalidSpec(format!("a cache node keeps at most {CAPACITY_BYTES_MAX} bytes")));
        }
        let name = hello.cache.to_string();
        let Some(Cache { row, .. }) = self.state.directory.cache(hello.cache.as_str()) else {
            // Nodes that are gone and had nothing are forgotten, so all of these have something.
            let limit = limits::CACHES_MAX;
            return match self.state.directory.caches.len() < limit {
                true => Ok(()),
                false => Err(Refusal::Limit { name: "cache nodes".into(), limit: limit as u64 }),
            };
        };
        if hello.incarnation < row.incarnation {
            return Err(Refusal::Superseded(name));
        }
        if hello.incarnation == row.incarnation {
            return if hello.hello > row.hello { Ok(()) } else { Err(Refusal::StaleHello(name)) };
        }
        let same_host = hello.host.name == row.host.name && hello.host.boot_id == row.host.boot_id;
        if row.attached && !same_host {
            return Err(Refusal::NameInUse(name));
        }
        Ok(())
    }
}
