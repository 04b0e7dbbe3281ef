//! The first node of a new cluster, from a backup.
//!
//! The cluster has a name of its own. So nothing of the old one, be it a coordinator that comes back or a worker that
//! still runs its tasks, is ever taken for a part of the new one.

use std::path::PathBuf;

use flame_machine::Levels;
use flame_storage::{BackupHeader, DataDir, Expected, LogId, LogOptions, MemberNode, RocksLog, StoredMembership};
use flame_types::CoordinatorId;
use openraft::storage::RaftLogStorage;

use super::anew::{self, alone, block_on, failed};
use super::unpack::{read_header, unpack};
use crate::consensus::error::StartError;

/// What a backup is made into.
#[derive(Clone, Debug)]
pub struct Restore {
    /// The backup.
    pub backup: PathBuf,
    /// The directory of the first node. Must hold nothing.
    pub data_dir: PathBuf,
    /// The new cluster.
    pub cluster_id: String,
    /// Its first node.
    pub id: CoordinatorId,
    /// Where that is reached.
    pub node: MemberNode,
}

/// A directory from which a new cluster can be started.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What the backup said of itself. Its digest is that of what was restored.
    pub header: BackupHeader,
    /// The last entry of the new cluster's log.
    pub last: LogId,
}

/// Fills a directory from a backup. May be repeated when it was cut short.
///
/// # Errors
/// [`StartError`]; a directory that was begun cannot be served from.
pub fn restore(wanted: &Restore) -> Result<Restored, StartError> {
    let old = read_header(&wanted.backup)?.cluster_id;
    if old == wanted.cluster_id {
        return Err(StartError::Options(format!(
            "the backup is of cluster {old:?}: what is restored is a new cluster and needs a name of its own \
             (cluster.name), so that nobody takes a node or a worker of the one for the other's"
        )));
    }
    let expected = Expected { cluster_id: wanted.cluster_id.clone(), node: wanted.id, levels: Levels::OWN.all() };
    let data = DataDir::begin_restore(&wanted.data_dir, &expected)?;
    let unpacked = unpack(&wanted.backup, &data.state_dir(), &data.snapshots_dir().join("backup"))?;
    let (applied, _) = unpacked.store.applied();
    let applied = applied.ok_or_else(|| StartError::State("the backup holds nothing".to_owned()))?;
    // The old members are strangers here, and their ids are free.
    let member = MemberNode { store_id: data.identity().store_id(), ..wanted.node.clone() };
    unpacked.store.adopt(&StoredMembership::new(Some(applied), alone(wanted.id, member.clone())?))?;
    drop(unpacked.store);
    let last = block_on(begin_log(&data, applied, member))?;
    data.finish()?;
    Ok(Restored { header: unpacked.header, last })
}

/// A log that goes on where the rows end.
async fn begin_log(data: &DataDir, applied: LogId, member: MemberNode) -> Result<LogId, StartError> {
    let mut log = RocksLog::open(data, LogOptions::default())?;
    log.purge(applied).await.map_err(failed)?;
    Ok(anew::begin(data, &mut log, member).await?.last)
}
