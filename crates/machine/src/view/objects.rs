//! The object directory.

use std::ops::Bound;

use flame_types::{DataType, NodeName, ObjectKey, ObjectTarget, ObjectVersion, WallMs};

use crate::command::Host;
use crate::state::{Cache, ObjectRow, State};

/// A cached object and who has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectView {
    /// Its key.
    pub key: ObjectKey,
    /// The latest version that is recorded.
    pub version: ObjectVersion,
    /// Bytes of it.
    pub size: u64,
    /// What it is said to hold.
    pub data_type: DataType,
    /// When this version was made.
    pub created: WallMs,
    /// How many copies are wanted.
    pub copies: u32,
    /// Who has it. The first one that is not away writes the next version.
    pub places: Vec<PlaceView>,
}

impl ObjectView {
    /// Whether nobody has it who is there.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.places.iter().all(|place| place.is_away)
    }
}

/// A cache node that has an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceView {
    /// The node.
    pub cache: NodeName,
    /// Where it is reached.
    pub endpoint: String,
    /// Its stream to the leader stands.
    pub attached: bool,
    /// Its lease is over: it counts for nothing until it is back.
    pub is_away: bool,
}

/// A node of the object cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheView {
    /// Its name.
    pub name: NodeName,
    /// Where clients and other cache nodes reach it.
    pub endpoint: String,
    /// The machine it runs on.
    pub host: Host,
    /// Its stream stands.
    pub attached: bool,
    /// Its lease is over.
    pub is_away: bool,
    /// Objects of which it has a copy.
    pub objects: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes of objects that it keeps in memory.
    pub memory_bytes: u64,
    /// Bytes of objects that it keeps on disk.
    pub disk_bytes: u64,
    /// When it said its last Hello.
    pub seen: WallMs,
}

/// The object of this key.
#[must_use]
pub fn object(state: &State, key: &ObjectKey) -> Option<ObjectView> {
    state.directory.entry(key.as_str()).map(|row| object_view(state, key, row))
}

/// A page of objects by key: of a target, or of all. Entries of deleted objects count to the limit of what is looked at,
/// so a page may be short: the second value is where the next one begins, `None` at the end.
#[must_use]
pub fn objects(
    state: &State,
    target: Option<&ObjectTarget>,
    after: Option<&ObjectKey>,
    limit: usize,
) -> (Vec<ObjectView>, Option<ObjectKey>) {
    let range = target.map(ObjectTarget::range);
    let to = range.as_ref().map_or(Bound::Unbounded, |(_, to)| Bound::Excluded(to.as_str()));
    let from = range.as_ref().map(|(from, _)| from.as_str());
    let start = match (after.map(ObjectKey::as_str), from) {
        (Some(after), from) if from.is_none_or(|from| from <= after) => Bound::Excluded(after),
        (_, Some(from)) => Bound::Included(from),
        (_, None) => Bound::Unbounded,
    };
    // Whoever goes on after the end of a target finds nothing more there.
    if let (Bound::Excluded(start), Bound::Excluded(to)) = (start, to)
        && start >= to
    {
        return (Vec::new(), None);
    }
    let page: Vec<_> = state.directory.entries.range::<str, _>((start, to)).take(limit).collect();
    let next = if page.len() < limit { None } else { page.last().map(|(key, _)| (*key).clone()) };
    let present = page.into_iter().filter(|(key, row)| !state.directory.is_doomed(key.as_str(), row));
    (present.map(|(key, row)| object_view(state, key, row)).collect(), next)
}

/// All nodes of the object cache by name; there are few.
#[must_use]
pub fn caches(state: &State) -> Vec<CacheView> {
    let caches = state.directory.names.values().filter_map(|key| state.directory.caches.get(key));
    caches.map(cache_view).collect()
}

fn object_view(state: &State, key: &ObjectKey, row: &ObjectRow) -> ObjectView {
    let places = row.places.iter().filter_map(|place| state.directory.caches.get(place));
    let place = |cache: &Cache| PlaceView {
        cache: cache.row.name.clone(),
        endpoint: cache.row.endpoint.clone(),
        attached: cache.row.attached,
        is_away: !cache.is_live(),
    };
    ObjectView {
        key: key.clone(),
        version: row.version,
        size: row.size,
        data_type: row.data_type.clone(),
        created: row.created,
        copies: row.copies,
        places: places.map(place).collect(),
    }
}

fn cache_view(cache: &Cache) -> CacheView {
    CacheView {
        name: cache.row.name.clone(),
        endpoint: cache.row.endpoint.clone(),
        host: cache.row.host.clone(),
        attached: cache.row.attached,
        is_away: !cache.is_live(),
        objects: cache.objects.len() as u64,
        bytes: cache.bytes,
        memory_bytes: cache.row.memory_bytes,
        disk_bytes: cache.row.disk_bytes,
        seen: cache.row.seen,
    }
}
