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

/// What decides how far the log may be cut.
#[derive(Clone, Copy, Debug)]
struct Marks {
    /// The newest snapshot stands for this.
    snapshot: u64,
    /// What a crash would leave of the rows: everything behind it is in the log only.
    flushed: u64,
    /// The newest part of the log, behind this, is kept for nodes that were away for a moment.
    kept: Option<u64>,
    /// Behind this lies what follows a snapshot that is on its way.
    held: Option<u64>,
    /// The log begins behind this.
    purged: Option<u64>,
}

impl Marks {
    /// The index up to which the log may go; `None` when nothing new may.
    fn cut(self) -> Option<u64> {
        let most = [self.kept, self.held].into_iter().flatten();
        let index = most.fold(self.snapshot.min(self.flushed), u64::min);
        self.purged.is_none_or(|purged| index > purged).then_some(index)
    }
}

/// Looks after the length of the log.
pub(super) struct Janitor {
    raft: RaftHandle,
    store: Arc<Rows>,
    log: LogMeter,
    backlog: Arc<Backlog>,
    shipments: Arc<Shipments>,
    limits: SnapshotLimits,
}

impl Janitor {
    pub(super) fn new(
        raft: &RaftHandle,
        store: &Arc<Rows>,
        log: &LogMeter,
        backlog: Arc<Backlog>,
        shipments: Arc<Shipments>,
        limits: SnapshotLimits,
    ) -> Self {
        Self { raft: raft.clone(), store: store.clone(), log: log.clone(), backlog, shipments, limits }
    }

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
        let kept = match self.limits.log_bytes_kept {
            0 => None,
            bytes => Some(self.log.index_leaving(bytes)?.0),
        };
        let marks = Marks {
            snapshot: metrics.snapshot.index()?,
            flushed: flushed(&self.store)?.0,
            kept,
            held: self.held(metrics),
            purged: metrics.purged.index(),
        };
        marks.cut()
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

#[cfg(test)]
mod tests {
    use super::*;

    const MARKS: Marks = Marks { snapshot: 100, flushed: 100, kept: None, held: None, purged: None };

    #[test]
    fn the_log_is_never_cut_beyond_what_a_crash_leaves_of_the_rows() {
        assert_eq!(MARKS.cut(), Some(100));
        for flushed in 0..=100 {
            for kept in [None, Some(40), Some(1_000)] {
                for held in [None, Some(60), Some(1_000)] {
                    let cut = Marks { flushed, kept, held, ..MARKS }.cut().expect("nothing was cut before");
                    assert!(cut <= flushed, "cut at {cut}, flushed up to {flushed}");
                    assert!(kept.is_none_or(|kept| cut <= kept) && held.is_none_or(|held| cut <= held));
                }
            }
        }
    }

    #[test]
    fn the_log_is_cut_only_once_there_is_more_to_cut() {
        assert_eq!(Marks { purged: Some(99), ..MARKS }.cut(), Some(100));
        assert_eq!(Marks { purged: Some(100), ..MARKS }.cut(), None);
        assert_eq!(Marks { purged: Some(50), held: Some(40), ..MARKS }.cut(), None);
    }
}
