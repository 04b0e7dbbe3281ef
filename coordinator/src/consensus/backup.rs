//! A backup of this node's rows: the same checkpoint of files as a snapshot for a peer, given away as one file.
//!
//! The rows and the entry they stand for are one moment, whatever is applied meanwhile, and the digest is made of the very
//! rows that are in the files. So apply does not wait for it, and no second state is held in memory.
//!
//! **Invariant:** a backup holds everything that was applied here before it was asked for.

use bytes::Bytes;
use flame_clock::{Clock, SystemClock};
use flame_machine::digest::RowsDigest;
use flame_machine::{Row, RowKey};
use flame_storage::{BackupHeader, BackupSource, codec};
use flame_types::Generation;

use super::handle::Consensus;

/// A backup was not taken.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The disk failed, or what lies there is damaged.
    #[error("the rows of this node cannot be copied: {0}")]
    Storage(#[from] flame_storage::Error),
    /// A row is not what was written.
    #[error("a row of this node is damaged: {0}")]
    Row(String),
    /// Nothing was applied here yet.
    #[error("this node holds nothing yet: it is no member of a cluster, or has received nothing of its log")]
    Empty,
    /// The node is stopping.
    #[error("this node is stopping")]
    Stopped,
}

impl Consensus {
    /// Takes a backup: flushes the rows and reads all of them, and all files, once. The files stay until the source is
    /// dropped. `confirmed`: the caller has made sure that everything acknowledged is applied here.
    ///
    /// # Errors
    /// [`BackupError`].
    pub async fn take_backup(&self, confirmed: bool) -> Result<BackupSource, BackupError> {
        let (store, snapshot) = (self.inner.store.clone(), self.inner.dirs.next());
        let (node, cluster_id) = (self.inner.gate.id(), self.inner.gate.cluster_id().to_owned());
        let take = move || {
            let mut seen = Seen::new();
            let manifest = store.checkpoint_visiting(snapshot.dir(), &mut |key, value| seen.row(key, value))?;
            let (digest, cluster) = seen.finish()?;
            let header = BackupHeader {
                cluster_id,
                node,
                taken: SystemClock.wall(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                feature_level: cluster.feature_level,
                generation: cluster.generation,
                confirmed,
                digest,
                manifest,
            };
            tracing::info!(last = ?header.manifest.applied, bytes = header.manifest.bytes(), "a backup is taken");
            Ok(BackupSource::new(header, snapshot))
        };
        tokio::task::spawn_blocking(take).await.map_err(|_ended| BackupError::Stopped)?
    }
}

/// What the state says of the cluster as a whole.
#[derive(Clone, Copy)]
struct OfCluster {
    generation: Generation,
    feature_level: u32,
}

/// The live rows, one after the other.
struct Seen {
    digest: RowsDigest,
    cluster: Option<OfCluster>,
    damage: Option<String>,
}

impl Seen {
    fn new() -> Self {
        Self { digest: RowsDigest::new(), cluster: None, damage: None }
    }

    fn row(&mut self, key: &[u8], value: &[u8]) {
        match codec::decode::<Row>(Bytes::copy_from_slice(value)) {
            Ok(row) => {
                if let Row::Cluster(cluster) = &row {
                    let (generation, feature_level) = (cluster.generation, cluster.level);
                    self.cluster = Some(OfCluster { generation, feature_level });
                }
                self.digest.add(&RowKey(key.to_vec()), &row);
            }
            Err(error) => self.damage = Some(error.to_string()),
        }
    }

    fn finish(self) -> Result<(u128, OfCluster), BackupError> {
        match (self.damage, self.cluster) {
            (Some(why), _) => Err(BackupError::Row(why)),
            (None, Some(cluster)) => Ok((self.digest.finish(), cluster)),
            (None, None) => Err(BackupError::Empty),
        }
    }
}
