//! Snapshots on their way: which node gets which, so that the log behind a snapshot stays until that node has caught
//! up. Otherwise the log would be cut while the snapshot travels, and the node would need another one, for ever.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// A node that is this close to the end of the log has caught up.
const CAUGHT_UP_ENTRIES: u64 = 1024;

/// The register of shipments. Holds at most one per member.
#[derive(Default)]
pub(super) struct Shipments {
    to: Mutex<BTreeMap<u64, Shipment>>,
}

#[derive(Clone, Copy)]
struct Shipment {
    index: u64,
    under_way: bool,
}

/// A snapshot that is being sent. When this is dropped the node must still catch up.
pub(super) struct UnderWay {
    register: Arc<Shipments>,
    target: u64,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(shipment) = self.register.lock().get_mut(&self.target) {
            shipment.under_way = false;
        }
    }
}

impl Shipments {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Shipment>> {
        self.to.lock().expect("no code panics while it holds this lock")
    }

    /// A snapshot up to `index` starts on its way.
    pub(super) fn begin(self: &Arc<Self>, target: u64, index: u64) -> UnderWay {
        self.lock().insert(target, Shipment { index, under_way: true });
        UnderWay { register: self.clone(), target }
    }

    /// The lowest index behind which the log must stay. `matched` says how far each node's log is known to agree;
    /// a node that is not in it any more, or has caught up with `last`, is forgotten.
    pub(super) fn held(&self, matched: &BTreeMap<u64, u64>, last: u64) -> Option<u64> {
        let mut to = self.lock();
        to.retain(|target, shipment| {
            let behind = matched.get(target).is_some_and(|matched| matched + CAUGHT_UP_ENTRIES < last);
            shipment.under_way || behind
        });
        to.values().map(|shipment| shipment.index).min()
    }

    /// Gives up on all: their log exceeds what may be held. They will need another snapshot.
    pub(super) fn abandon(&self) -> Vec<u64> {
        std::mem::take(&mut *self.lock()).into_keys().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_held_until_the_node_has_caught_up() {
        let shipments = Arc::new(Shipments::default());
        let far = BTreeMap::from([(2, 500), (3, 100)]);
        let near = BTreeMap::from([(2, 9_900), (3, 10_000)]);
        let last = 10_000;

        let second = shipments.begin(2, 500);
        let third = shipments.begin(3, 700);
        assert_eq!(shipments.held(&far, last), Some(500));
        drop(second);
        assert_eq!(shipments.held(&far, last), Some(500), "node 2 has the snapshot but not what follows it");
        assert_eq!(shipments.held(&near, last), Some(700), "node 2 has caught up, the other is still under way");
        drop(third);
        assert_eq!(shipments.held(&near, last), None);
    }

    #[test]
    fn a_removed_node_holds_nothing() {
        let shipments = Arc::new(Shipments::default());
        drop(shipments.begin(2, 500));
        assert_eq!(shipments.held(&BTreeMap::new(), 10_000), None);
    }
}
