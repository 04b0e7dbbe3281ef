//! What nodes of the object cache say.

use flame_types::{DataType, Epoch, Generation, HelloNo, Incarnation, NodeName, ObjectKey, ObjectVersion, WallMs};
use serde::{Deserialize, Serialize};

use super::Host;

/// A cache node's first message on a stream: who it is and how it is reached. What it holds follows in reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheHello {
    /// Its configured name.
    pub cache: NodeName,
    /// This life of the process.
    pub incarnation: Incarnation,
    /// Grows with every Hello of an incarnation.
    pub hello: HelloNo,
    /// Host name and boot id: the same process host may take its name over from a predecessor at once.
    pub host: Host,
    /// Where clients and other cache nodes reach it.
    pub endpoint: String,
    /// Bytes of objects that it keeps in memory.
    pub memory_bytes: u64,
    /// Bytes of objects that it keeps on disk; 0 when it keeps none there.
    pub disk_bytes: u64,
}

/// What a cache node has and what it has no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectsChanged {
    /// The node.
    pub cache: NodeName,
    /// Its lease.
    pub epoch: Epoch,
    /// Objects that it has.
    pub held: Vec<HeldObject>,
    /// Objects that it had in these versions and has no more.
    pub gone: Vec<(ObjectKey, ObjectVersion)>,
}

/// An object that a cache node has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldObject {
    /// Its key.
    pub key: ObjectKey,
    /// Its version.
    pub version: ObjectVersion,
    /// Bytes of it.
    pub size: u64,
    /// What it is said to hold.
    pub data_type: DataType,
    /// When this node made it, or fetched it; for display.
    pub created: WallMs,
    /// The generation in which the directory acknowledged this very version; `None` when it never did. What was
    /// acknowledged before the cluster was restored may be news to the directory of today.
    pub recorded: Option<Generation>,
    /// The client has been told that it is there: it must be taken, whatever the quota says.
    pub acknowledged: bool,
    /// How many copies are wanted; 0: as the cluster says.
    pub copies: u32,
}
