//! What apply gives, handed to those who wait for it: in log order, while it applies, without ever waiting.

use std::sync::{Arc, OnceLock};

use flame_types::{ClientId, LogIndex};
use tokio::sync::Notify;

use super::events::EventHub;
use super::gateway::Gateway;
use super::hub::Hub;
use super::replies::Replies;
use crate::consensus::{AppliedEntry, ApplySink};
use crate::metrics::handles::AppliedMetrics;

/// The sink of a node. Consensus needs it before the gateway and the hub can exist, so these two come later; what is
/// applied before they do (the log of earlier lives) concerns neither.
pub struct Sink {
    /// Watches.
    pub events: EventHub,
    /// Waits of this process.
    pub replies: Arc<Replies>,
    /// Set once the node is put together.
    pub targets: Arc<OnceLock<Targets>>,
    /// Wakes the planner.
    pub dirty: Arc<Notify>,
    /// Wakes whoever looks after the object directory.
    pub directory_dirty: Arc<Notify>,
    /// Counts.
    pub metrics: AppliedMetrics,
}

/// Those who need consensus to exist.
pub struct Targets {
    /// Calls of clients.
    pub gateway: Gateway,
    /// Workers and cache nodes.
    pub hub: Hub,
}

impl ApplySink for Sink {
    fn applied(&mut self, entry: AppliedEntry) {
        // Workers first: what an entry assigns is on its way before anybody is told about it.
        if let Some(targets) = self.targets.get() {
            targets.hub.on_entry(&entry);
            targets.gateway.on_replies(&entry.replies);
        }
        for (client, ticket, reply) in &entry.replies {
            if *client == ClientId::NONE {
                self.replies.resolve(*ticket, reply);
            }
        }
        self.events.publish((entry.generation, entry.index), &entry.events);
        if entry.placement_dirty {
            self.dirty.notify_one();
        }
        if entry.directory_dirty {
            self.directory_dirty.notify_one();
        }
        self.metrics.count(&entry);
    }

    fn installed(&mut self, _index: LogIndex) {
        self.events.resync_all();
        if let Some(targets) = self.targets.get() {
            targets.gateway.on_installed();
        }
        self.dirty.notify_one();
        self.directory_dirty.notify_one();
    }
}
