//! Where cached objects lie, and the nodes that have them.

use flame_proto::ha;
use serde::Serialize;

/// A cached object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectEntry {
    /// `application/session/object`.
    pub key: String,
    /// Its latest version that is recorded.
    pub version: u64,
    /// Bytes of it.
    pub size: u64,
    /// What it is said to hold.
    pub data_type: String,
    /// When this version was made, in milliseconds since 1970.
    pub creation_time: i64,
    /// How many copies are wanted.
    pub copies: u32,
    /// Nobody has it who is there.
    pub lost: bool,
    /// Who has it. The first one that is not away writes the next version.
    pub places: Vec<ObjectPlace>,
}

impl ObjectEntry {
    /// Whether nobody has it who is there.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost
    }
}

/// A node of the object cache that has an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectPlace {
    /// Its name.
    pub node: String,
    /// Where it is reached.
    pub endpoint: String,
    /// Its stream to the leader stands.
    pub attached: bool,
    /// Its lease is over: what it has counts for nothing until it is back.
    pub away: bool,
}

/// A node of the object cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CacheNode {
    /// Its name.
    pub name: String,
    /// Where it is reached.
    pub endpoint: String,
    /// Its host.
    pub hostname: String,
    /// Its stream to the leader stands.
    pub attached: bool,
    /// Its lease is over.
    pub away: bool,
    /// Objects of which it has a copy.
    pub objects: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes of objects that it keeps in memory.
    pub memory_bytes: u64,
    /// Bytes of objects that it keeps on disk; 0: none.
    pub disk_bytes: u64,
    /// When it attached last, in milliseconds since 1970.
    pub last_hello: i64,
}

impl From<ha::DirectoryEntry> for ObjectEntry {
    fn from(entry: ha::DirectoryEntry) -> Self {
        let places: Vec<ObjectPlace> = entry.places.into_iter().map(ObjectPlace::from).collect();
        Self {
            key: entry.key,
            version: entry.version,
            size: entry.size,
            data_type: entry.data_type,
            creation_time: entry.created_ms,
            copies: entry.copies,
            lost: places.iter().all(|place| place.away),
            places,
        }
    }
}

impl From<ha::ObjectPlace> for ObjectPlace {
    fn from(place: ha::ObjectPlace) -> Self {
        Self { node: place.cache, endpoint: place.endpoint, attached: place.attached, away: place.away }
    }
}

impl From<ha::CacheNode> for CacheNode {
    fn from(node: ha::CacheNode) -> Self {
        Self {
            name: node.name,
            endpoint: node.endpoint,
            hostname: node.hostname,
            attached: node.attached,
            away: node.away,
            objects: node.objects,
            bytes: node.bytes,
            memory_bytes: node.memory_bytes,
            disk_bytes: node.disk_bytes,
            last_hello: node.last_hello,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_lost_when_everybody_who_has_it_is_away() {
        let place = |away| ha::ObjectPlace { cache: "c".into(), away, ..ha::ObjectPlace::default() };
        let lost = |places| ObjectEntry::from(ha::DirectoryEntry { places, ..ha::DirectoryEntry::default() }).is_lost();
        assert!(!lost(vec![place(true), place(false)]));
        assert!(lost(vec![place(true), place(true)]));
        assert!(lost(Vec::new()));
    }
}
