//! Bytes on disk: the Raft log, the rows of the replicated state, snapshots, and who this disk belongs to.
//!
//! This crate knows log entries as opaque bytes and rows as key and value. It has never heard of a task.
//!
//! * **Invariant:** nothing is reported durable before `fdatasync` returned, and after a failed write or sync nothing
//!   is written again by this process: the outcome is unknown, so [`Fatal`] tells the process to stop.
//! * **Invariant:** a log opens with everything it ever acknowledged or not at all. Only a tail that was never
//!   acknowledged may be cut.
//! * **Invariant:** rows and the log id they stand for are written in one batch and flushed as one.
//! * **Invariant:** what reads as damaged while the process runs raises [`Fatal`]: it is neither served nor tried again.
//! * **Invariant:** rocksdb and bincode are used nowhere else.
//!
//! | module | holds |
//! |---|---|
//! | [`type_config`] | the types openraft is instantiated with |
//! | [`codec`] | bincode behind an envelope; payload bytes beside the header |
//! | [`data_dir`] | one data directory: lock, layout, identity |
//! | [`identity`] | cluster, node, store id, incarnation, and the floors below which a disk has forgotten something |
//! | [`log`] | the Raft log: writer thread with group commit, tail cache, reader, checks at opening |
//! | [`state_store`] | the rows, without a write-ahead log: the Raft log is theirs |
//! | [`row_reader`] | reads of rows, from any thread, across a snapshot installation |
//! | [`snapshot`] | a directory with a manifest; checkpoints and their verification |
//! | [`backup`] | a snapshot as one file that proves itself whole |
//! | [`key_spaces`] | every column family and key |
//! | [`on_disk_version`] | the history of the format |
//! | `level_file` | which feature level the bytes of a directory may have |
//! | `buffers` | memory that both databases share |
//! | [`metrics`] | names and handles of what is measured |
//! | [`figures`] | what the databases say of themselves |
//! | [`fatal`] | how storage stops the process |
//! | [`error`] | errors by what the operator can do |
//!
//! Start with [`DataDir::open`], then [`RocksLog::open`] and [`StateStore::open`].

pub mod backup;
mod buffers;
pub mod codec;
pub mod data_dir;
mod envelope;
pub mod error;
pub mod fatal;
pub mod figures;
mod files;
#[cfg(test)]
mod fixture;
pub mod identity;
mod identity_slots;
pub mod key_spaces;
mod level_file;
pub mod log;
pub mod metrics;
pub mod on_disk_version;
mod rocks_files;
mod rocks_options;
pub mod row_reader;
pub mod snapshot;
mod state_directory;
pub mod state_store;
pub mod type_config;

pub use backup::{BackupHeader, BackupReader, BackupSource};
pub use buffers::Buffers;
pub use codec::CodecError;
pub use data_dir::DataDir;
pub use error::Error;
pub use fatal::{Cause, Fatal};
pub use figures::{DatabaseFigures, LogFigures};
pub use identity::{Expected, Identity, PeerMemory};
pub use log::{Hook, LogMeter, LogOptions, LogReader, RocksLog};
pub use metrics::{LogMetrics, StorageGauges};
pub use row_reader::{RowReader, Space};
pub use snapshot::{SnapshotFile, SnapshotHandle, SnapshotManifest};
pub use state_store::{StateOptions, StateStore, Write};
pub use type_config::{
    Entry, EntryData, EntryPayload, LeaderId, LogId, MemberNode, Membership, SnapshotMeta, StoredMembership,
    TypeConfig, Vote,
};
