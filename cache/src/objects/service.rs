//! The handle that protocols have.

use std::sync::Arc;

use flame_clock::SharedClock;

use crate::directory::Directory;
use crate::limits::PART_BYTES_MAX;
use crate::metrics::CacheMetrics;
use crate::objects::Peers;
use crate::store::Store;

/// All objects, by the rules. A handle: clones are of the same.
#[derive(Clone)]
pub struct Objects {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) store: Store,
    pub(super) directory: Arc<dyn Directory>,
    pub(super) peers: Peers,
    pub(super) clock: SharedClock,
    pub(super) object_max: u64,
    pub(super) metrics: CacheMetrics,
}

impl Objects {
    /// The objects of a store, and of others that the directory knows.
    #[must_use]
    pub fn new(
        store: Store,
        directory: Arc<dyn Directory>,
        peers: Peers,
        clock: SharedClock,
        object_max: u64,
        metrics: CacheMetrics,
    ) -> Self {
        Self { inner: Arc::new(Inner { store, directory, peers, clock, object_max, metrics }) }
    }

    /// Where clients reach this cache.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.inner.directory.here().endpoint
    }

    /// Most bytes of one part.
    #[must_use]
    pub fn part_max(&self) -> u64 {
        self.inner.object_max.min(PART_BYTES_MAX)
    }

    /// Where objects are.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }
}
