//! Which objects should be copied to which cache nodes: what is wanted and is not there.
//!
//! Nothing of it is kept in the state. The leader asks, orders the nodes to fetch, and asks again; a node that has fetched
//! reports so, and then nothing is missing any more. An order that is lost is found missing at the next look.

use std::ops::Bound;

use flame_types::{CacheKey, Epoch, NodeName, ObjectKey, ObjectVersion};

use crate::state::{Cache, ObjectRow, State};

/// A cache node that should have a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copying {
    /// The node.
    pub cache: NodeName,
    /// Its lease.
    pub epoch: Epoch,
    /// The object.
    pub key: ObjectKey,
    /// The version that it should have.
    pub version: ObjectVersion,
    /// Bytes of it.
    pub size: u64,
    /// Where it can be fetched from, the node that writes it first.
    pub from: Vec<String>,
}

/// What is missing of objects that were written lately, as far as `limit` of them tell.
#[must_use]
pub fn fresh(state: &State, limit: usize) -> Vec<Copying> {
    if !can_copy(state) {
        return Vec::new();
    }
    state.directory.short.iter().take(limit).flat_map(|key| missing(state, key)).collect()
}

/// What is missing of the next `limit` objects after a key, nodes that are away counted as not having any; and where the
/// next page begins, `None` at the end.
#[must_use]
pub fn page(state: &State, after: Option<&ObjectKey>, limit: usize) -> (Vec<Copying>, Option<ObjectKey>) {
    if !can_copy(state) {
        return (Vec::new(), None);
    }
    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
    let keys: Vec<&ObjectKey> =
        state.directory.copied.range::<ObjectKey, _>((start, Bound::Unbounded)).take(limit).collect();
    let next = if keys.len() < limit { None } else { keys.last().map(|key| (*key).clone()) };
    (keys.into_iter().flat_map(|key| missing(state, key)).collect(), next)
}

/// Whether a node that was ordered to fetch a copy should still do so.
#[must_use]
pub fn is_missing(state: &State, copying: &Copying) -> bool {
    let row = state.directory.entry(copying.key.as_str());
    let cache = state.directory.cache(copying.cache.as_str());
    row.zip(cache).is_some_and(|(row, cache)| {
        row.version == copying.version
            && cache.row.epoch == copying.epoch
            && !row.places.contains(&cache.row.key)
            && state.directory.live_places(row).count() < row.copies as usize
    })
}

/// One node alone has nobody to copy to.
fn can_copy(state: &State) -> bool {
    state.directory.caches.values().filter(|cache| cache.row.attached).nth(1).is_some()
}

fn missing(state: &State, key: &ObjectKey) -> Vec<Copying> {
    let Some(row) = state.directory.entry(key.as_str()) else { return Vec::new() };
    let from: Vec<String> = holders(state, row).map(|cache| cache.row.endpoint.clone()).collect();
    let wanted = (row.copies as usize).saturating_sub(state.directory.live_places(row).count());
    if from.is_empty() || wanted == 0 {
        return Vec::new();
    }
    let others = state.directory.caches.values().filter(|cache| cache.row.attached);
    let mut others: Vec<(u64, CacheKey)> = others
        .filter(|cache| !row.places.contains(&cache.row.key) && has_room(cache, row))
        .map(|cache| (cache.bytes, cache.row.key))
        .collect();
    others.sort_unstable();
    let copying = |(_, cache): (u64, CacheKey)| {
        let cache = &state.directory.caches[&cache].row;
        Copying {
            cache: cache.name.clone(),
            epoch: cache.epoch,
            key: key.clone(),
            version: row.version,
            size: row.size,
            from: from.clone(),
        }
    };
    others.into_iter().take(wanted).map(copying).collect()
}

/// Those who have it and can be asked.
fn holders<'s>(state: &'s State, row: &'s ObjectRow) -> impl Iterator<Item = &'s Cache> {
    state.directory.live_places(row).filter(|cache| cache.row.attached)
}

/// Whether a node could keep an object of this size beside what is known to be there.
fn has_room(cache: &Cache, row: &ObjectRow) -> bool {
    let capacity = cache.row.memory_bytes.max(cache.row.disk_bytes);
    cache.bytes.saturating_add(row.size) <= capacity
}
