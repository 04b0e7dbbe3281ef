//! What operators are told of the cluster: the one place that writes it.
//!
//! **Invariant:** an event costs one row, and the row of the oldest one leaves in the same entry once there are too many.

use flame_types::{CoordinatorId, EventNo, WallMs, limits};

use super::batch::Apply;
use crate::cluster_event::{ClusterEvent, ClusterEventRow};
use crate::row::{Row, RowChange, RowKey, RowSink};
use crate::state::{ClusterRow, State};

impl Apply<'_> {
    /// Adds an event to those that are kept.
    pub(super) fn happened(&mut self, what: ClusterEvent) {
        self.changes.cluster = true;
        self.changes.direct.extend(record(&mut self.state.cluster, self.wall, what));
    }
}

impl State {
    /// The coordinators are others from now on. Membership is no command: whoever applies the entry that changes it says
    /// so here, on every node, at its place in the log. The time is that of the entry before.
    pub fn members_changed(
        &mut self,
        voters: Vec<CoordinatorId>,
        learners: Vec<CoordinatorId>,
        rows: &mut dyn RowSink,
    ) {
        let wall = self.cluster.wall;
        let changes = record(&mut self.cluster, wall, ClusterEvent::MembersChanged { voters, learners });
        changes.into_iter().for_each(|change| rows.take(change));
        rows.take(RowChange::Put(RowKey::cluster(), Row::Cluster(Box::new(self.cluster.clone()))));
    }
}

fn record(cluster: &mut ClusterRow, at: WallMs, what: ClusterEvent) -> Vec<RowChange> {
    let number = cluster.next_event;
    cluster.next_event = number.next();
    let row = Row::ClusterEvent(Box::new(ClusterEventRow { at, what }));
    let mut changes = vec![RowChange::Put(RowKey::cluster_event(number), row)];
    let oldest = number.0.saturating_sub(limits::CLUSTER_EVENTS_MAX);
    if oldest > 0 {
        changes.push(RowChange::Delete(RowKey::cluster_event(EventNo(oldest))));
    }
    changes
}
