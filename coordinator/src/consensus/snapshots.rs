//! When the log is cut: by bytes, not by entries, since entries are batches of any size.
//!
//! A snapshot of the library costs a flush of the rows here, no copy. After it the log is cut, but never beyond what
//! a crash would leave of the rows, beyond the newest part that is kept for nodes that were away for a moment, or
//! beyond a snapshot that is on its way to a node that has not caught up yet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flame_storage::{LogMeter, StateStore, TypeConfig};
use flame_types::LogIndex;
use openraft::LogIdOptionExt;
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftMetrics;

use super::RaftHandle;
use super::options::SnapshotLimits;
use super::rows::Rows;
use super::shipments::Shipments;

/// What was applied since the last snapshot.
#[derive(Default)]
pub(super) struct Backlog {
    bytes: AtomicU64,
    entries: AtomicU64,
}

impl Backlog {
    /// An entry was applied.
    pub(super) fn grow(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.entries.fetch_add(1, Ordering::Relaxed);
    }

    /// A snapshot is about to be taken, or was installed.
    pub(super) fn settle(&self) {
        self.bytes.store(0, Ordering::Relaxed);
        self.entries.store(0, Ordering::Relaxed);
    }

    fn exceeds(&self, limits: &SnapshotLimits) -> bool {
        self.bytes.load(Ordering::Relaxed) >= limits.log_bytes_max
            || self.entries.load(Ordering::Relaxed) >= limits.log_entries_max
    }
}

/// What a crash would leave of the rows; `None` for nothing, or when that cannot be read.
pub(super) fn flushed(store: &StateStore) -> Option<LogIndex> {
    let flushed =
        store.flushed_applied().inspect_err(|error| tracing::error!(%error, "the flushed index is unreadable"));
    flushed.ok().flatten().map(|log_id| LogIndex(log_id.index))
}

/// Looks after the length of the log.
pub(super) struct Janitor {
    pub(super) raft: RaftHandle,
    pub(super) store: Arc<Rows>,
    pub(super) log: LogMeter,
    pub(super) backlog: Arc<Backlog>,
    pub(super) shipments: Arc<Shipments>,
    pub(super) limits: SnapshotLimits,
}

impl Janitor {
    /// Runs until Raft stops.
    pub(super) async fn run(self) {
        loop {
            tokio::time::sleep(self.limits.check_every).await;
            let metrics = self.raft.metrics().borrow_watched().clone();
            if metrics.running_state.is_err() {
                return;
            }
            if self.backlog.exceeds(&self.limits) {
                tracing::info!("flushing the rows so that the log can be cut");
                if self.raft.trigger().snapshot().await.is_err() {
                    return;
                }
            }
            if let Some(index) = self.purgeable(&metrics) {
                tracing::info!(index, "cutting the log");
                if self.raft.trigger().purge_log(index).await.is_err() {
                    return;
                }
            }
        }
    }

    /// The index up to which the log may go now; `None` when nothing new may.
    fn purgeable(&self, metrics: &RaftMetrics<TypeConfig>) -> Option<u64> {
        let snapshot = metrics.snapshot.index()?;
        let flushed = flushed(&self.store)?.0;
        let mut index = snapshot.min(flushed);
        if self.limits.log_bytes_kept > 0 {
            index = index.min(self.log.index_leaving(self.limits.log_bytes_kept)?.0);
        }
        if let Some(held) = self.held(metrics) {
            index = index.min(held);
        }
        metrics.purged.index().is_none_or(|purged| index > purged).then_some(index)
    }

    /// Behind which index the log must stay for snapshots on their way.
    fn held(&self, metrics: &RaftMetrics<TypeConfig>) -> Option<u64> {
        let replication = metrics.replication.iter().flatten();
        let matched: BTreeMap<u64, u64> =
            replication.map(|(id, matched)| (*id, matched.index().unwrap_or(0))).collect();
        let held = self.shipments.held(&matched, metrics.last_log_index.unwrap_or(0))?;
        let bytes = self.log.bytes();
        if bytes <= self.limits.log_bytes_held_max {
            return Some(held);
        }
        let nodes = self.shipments.abandon();
        tracing::warn!(?nodes, bytes, "these nodes do not catch up; the log is not held for them any longer");
        None
    }
}
