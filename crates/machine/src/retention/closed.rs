//! Closed sessions that leave.

use std::collections::BTreeSet;

use flame_types::{ClosedRetention, ClusterMs, SessionKey};

use super::limits::keep_below;
use crate::state::{ClosedGroup, State};

/// Closed sessions that should leave now, at most `limit`. Costs as much as it finds, and a look at each application
/// that has closed sessions.
#[must_use]
pub fn expired_sessions(state: &State, limit: usize) -> Vec<SessionKey> {
    let mut gone = Gone { state, limit, keys: BTreeSet::new() };
    let (now, cluster) = (state.cluster.time, state.cluster.config.retention.closed);
    let index = &state.closed_index;
    gone.older(&index.own_age, Some(0), now);
    for (name, closed) in &index.apps {
        let own = state.apps.get(name).map(|app| app.row.spec.retention.closed).unwrap_or_default();
        gone.older(&closed.aging, own.age_ms.or(cluster.age_ms), now);
        gone.beyond(&closed.all, own);
    }
    gone.beyond(&index.all, cluster);
    let kept = state.kept_bytes();
    let most = keep_below(state.cluster.config.kept_bytes_max);
    gone.bytes(&index.all, kept.saturating_sub(most));
    gone.keys.into_iter().collect()
}

struct Gone<'s> {
    state: &'s State,
    limit: usize,
    keys: BTreeSet<SessionKey>,
}

impl Gone<'_> {
    fn add(&mut self, key: SessionKey) -> bool {
        if self.keys.len() >= self.limit {
            return false;
        }
        self.keys.insert(key);
        true
    }

    /// Those whose time lies at least `age_ms` back.
    fn older(&mut self, order: &BTreeSet<(ClusterMs, SessionKey)>, age_ms: Option<u64>, now: ClusterMs) {
        let Some(age_ms) = age_ms else { return };
        for (at, key) in order {
            if at.plus(age_ms) > now || !self.add(*key) {
                return;
            }
        }
    }

    /// The oldest ones while there are more than the limits allow.
    fn beyond(&mut self, group: &ClosedGroup, limits: ClosedRetention) {
        if let Some(count) = limits.count {
            let over = (group.order.len() as u64).saturating_sub(count);
            for (_, key) in group.order.iter().take(usize::try_from(over).unwrap_or(usize::MAX)) {
                if !self.add(*key) {
                    return;
                }
            }
        }
        if let Some(bytes) = limits.bytes {
            self.bytes(group, group.bytes.saturating_sub(bytes));
        }
    }

    /// The oldest ones until so many bytes have left with them.
    fn bytes(&mut self, group: &ClosedGroup, over: u64) {
        let mut left = over;
        for (_, key) in &group.order {
            if left == 0 || !self.add(*key) {
                return;
            }
            left = left.saturating_sub(self.state.closed[key].kept_bytes);
        }
    }
}
