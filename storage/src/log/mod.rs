//! The Raft log in a RocksDB of its own.
//!
//! ```text
//! append ──▶ tail cache (readable at once)
//!        └─▶ queue ──▶ writer thread: all that waits ──▶ one batch, one fdatasync ──▶ callbacks, in order
//! read   ──▶ tail cache, else RocksDB
//! ```
//!
//! There is no timer: while one sync runs, the next group gathers. A small append of a follower that is alone, on a disk
//! that is quick, goes past the queue: `append` writes it itself.
//!
//! * **Invariant:** one writes at a time; appends, truncations, purges and votes reach the disk in the order they were
//!   made, and each group is durable before the next is written.
//! * **Invariant:** an entry is readable when `append` returns and durable when its callback fires.
//! * **Invariant:** the log has no hole, at no moment, for no reader.
//! * **Invariant:** after a failed write everything fails; nothing is tried again.
//!
//! | file | holds |
//! |---|---|
//! | `options` | sizes, the fatal flag, the test hook |
//! | `record` | an entry as bytes |
//! | `tail` | what is in memory: bounds, vote, the newest entries |
//! | `meter` | how many bytes lie behind which index |
//! | `writer` | the writer thread, and the pen that one has at a time |
//! | `directness` | who writes a small append |
//! | `reader` | reads, capped by bytes |
//! | `storage` | the log as openraft wants it |
//! | `recovery` | opening: nothing acknowledged may be missing |
//! | `wal_check` | what the write-ahead logs physically hold |

mod directness;
mod meter;
mod options;
mod reader;
mod record;
mod recovery;
mod shared;
mod storage;
mod tail;
mod wal_check;
mod writer;

pub use meter::LogMeter;
pub use options::{Hook, LogOptions};
pub use reader::{LogReader, READ_BYTES_MAX};
pub use storage::RocksLog;
