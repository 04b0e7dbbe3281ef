//! What a backup stands for.

use flame_proto::ha;
use serde::Serialize;

/// A backup, as the coordinator that takes it describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BackupInfo {
    /// Of which cluster.
    pub cluster_id: String,
    /// From whose disk.
    pub coordinator: u64,
    /// The entry of the log that it stands for: everything up to it is in it.
    pub index: u64,
    /// The term of that entry.
    pub term: u64,
    /// Hash over the state after that entry.
    pub digest: String,
    /// How often the state had been restored or recovered before.
    pub generation: u32,
    /// The feature level at which the cluster runs.
    pub feature_level: u32,
    /// The release of the coordinator.
    pub version: String,
    /// Whether it holds everything that was acknowledged before it was asked for.
    pub confirmed: bool,
    /// A little less than the file will have.
    pub content_bytes: u64,
}

impl From<ha::BackupBegun> for BackupInfo {
    fn from(begun: ha::BackupBegun) -> Self {
        Self {
            cluster_id: begun.cluster_id,
            coordinator: begun.coordinator,
            index: begun.index,
            term: begun.term,
            digest: begun.digest,
            generation: begun.generation,
            feature_level: begun.feature_level,
            version: begun.version,
            confirmed: begun.confirmed,
            content_bytes: begun.content_bytes,
        }
    }
}
