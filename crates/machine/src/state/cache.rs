//! A node of the object cache.

use std::collections::BTreeSet;

use flame_types::{CacheKey, ClusterMs, Epoch, HelloNo, Incarnation, NodeName, ObjectKey, WallMs};
use serde::{Deserialize, Serialize};

use crate::command::Host;

/// A node of the object cache as it lies on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheRow {
    /// How entries of the directory name it.
    pub key: CacheKey,
    /// Its configured name.
    pub name: NodeName,
    /// The life of the process that spoke last.
    pub incarnation: Incarnation,
    /// The number of its last Hello.
    pub hello: HelloNo,
    /// The machine it runs on.
    pub host: Host,
    /// Where clients and other cache nodes reach it.
    pub endpoint: String,
    /// Bytes of objects that it keeps in memory.
    pub memory_bytes: u64,
    /// Bytes of objects that it keeps on disk.
    pub disk_bytes: u64,
    /// Lease epoch: reports from an earlier one are refused.
    pub epoch: Epoch,
    /// Whether its stream stands.
    pub attached: bool,
    /// When its lease ran out, if it did.
    pub expired: Option<ClusterMs>,
    /// When it said its last Hello.
    pub seen: WallMs,
}

/// A node of the object cache in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// What lies on disk.
    pub row: CacheRow,
    /// The objects of which it has a copy. Derived.
    pub objects: BTreeSet<ObjectKey>,
    /// Bytes of them. Derived.
    pub bytes: u64,
}

impl Cache {
    /// A node that has nothing.
    #[must_use]
    pub fn new(row: CacheRow) -> Self {
        Self { row, objects: BTreeSet::new(), bytes: 0 }
    }

    /// Whether its copies count.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.row.expired.is_none()
    }
}
