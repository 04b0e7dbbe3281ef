//! A cached object, and objects that are deleted.

use flame_types::{CacheKey, DataType, ObjectTarget, ObjectVersion, WallMs};
use serde::{Deserialize, Serialize};

/// An entry of the directory as it lies on disk. Its key is that of the row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRow {
    /// Names this entry among all that its key ever had: one that is made after a deletion has a higher number.
    pub number: u64,
    /// The latest version that is recorded.
    pub version: ObjectVersion,
    /// Bytes of it.
    pub size: u64,
    /// What it is said to hold.
    pub data_type: DataType,
    /// When its present version was made, for display.
    pub created: WallMs,
    /// How many copies are wanted.
    pub copies: u32,
    /// Who has this version; the first one that is live writes the next. Empty: it is lost.
    pub places: Vec<CacheKey>,
}

/// Objects that are deleted and whose entries leave in pieces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoomedRow {
    /// Which objects.
    pub target: ObjectTarget,
    /// Those of lower numbers: what is put under their keys afterwards stays.
    pub below: u64,
    /// All entries before this key have been looked at.
    pub next: String,
}
