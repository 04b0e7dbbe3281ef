//! Every column family and key of the two databases.
//!
//! **Invariant:** names and keys never change meaning. A new meaning gets a new name.

/// Log database: entries, keyed by index (8 bytes, big-endian, so that key order is log order).
pub const LOG: &str = "log";

/// Either database: what is not an entry and not a row.
pub const META: &str = "meta";

/// State database: rows that are kept in memory while the node runs.
pub const LIVE: &str = "live";

/// State database: rows that are on disk only, such as inputs and finished tasks.
pub const BULK: &str = "bulk";

/// Both: the format of the database, see [`crate::on_disk_version`].
pub const FORMAT: &[u8] = b"format";

/// Log meta: the vote.
pub const VOTE: &[u8] = b"vote";

/// Log meta: the last purged log id.
pub const PURGED: &[u8] = b"purged";

/// Log meta: the last log id known to be committed.
pub const COMMITTED: &[u8] = b"committed";

/// State meta: the log id the rows stand for.
pub const APPLIED: &[u8] = b"applied";

/// State meta: the membership at that log id.
pub const MEMBERSHIP: &[u8] = b"membership";

/// State meta: the highest id that any member has ever had, up to that log id.
pub const HIGHEST_MEMBER: &[u8] = b"highest-member";

/// Key of an entry.
#[must_use]
pub fn entry_key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

/// Index of an entry's key, if it is one.
#[must_use]
pub fn entry_index(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}
