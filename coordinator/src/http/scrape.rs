//! One answer to "how are you": what was recorded, and what is looked up for it.

use std::sync::Arc;
use std::time::Duration;

use flame_machine::view;
use flame_telemetry::{Exporter, UPKEEP_EVERY};
use tokio::sync::{Mutex, watch};

use super::gauges::Gauges;
use crate::consensus::Consensus;
use crate::drive::batcher::BatcherHandle;
use crate::drive::disk::{DataDisk, Space};
use crate::drive::events::EventHub;
use crate::drive::gateway::Gateway;
use crate::drive::hub::Hub;
use crate::memory::{Memory, Share};
use crate::metrics::StreamKind;

/// How long the state may take to answer: a scraper waits ten seconds as a rule, and the other figures matter most when
/// this one does not come.
const STATE_PATIENCE: Duration = Duration::from_secs(2);

/// Looks at a node and shows what it finds. Cheap to clone.
#[derive(Clone)]
pub struct Scraper {
    inner: Arc<Inner>,
}

struct Inner {
    exporter: Exporter,
    gauges: Gauges,
    watched: Watched,
    /// One at a time.
    turn: Mutex<()>,
}

/// The parts of a node that are looked at.
pub struct Watched {
    /// How memory is shared out.
    pub memory: Memory,
    /// The log and the state.
    pub consensus: Consensus,
    /// What waits for the next entry.
    pub batcher: BatcherHandle,
    /// What came from clients.
    pub gateway: Gateway,
    /// What waits for clients.
    pub events: EventHub,
    /// The workers.
    pub hub: Hub,
    /// The disk of the data directory.
    pub disk: DataDisk,
    /// What it has.
    pub space: watch::Receiver<Space>,
}

impl Scraper {
    /// A scraper of these parts.
    #[must_use]
    pub fn new(exporter: Exporter, watched: Watched) -> Self {
        let gauges = Gauges::register(&exporter.registrar());
        gauges.node.show_limits(watched.memory);
        Self { inner: Arc::new(Inner { exporter, gauges, watched, turn: Mutex::default() }) }
    }

    /// Every metric, as text.
    pub async fn scrape(&self) -> String {
        let _turn = self.inner.turn.lock().await;
        let cluster =
            tokio::time::timeout(STATE_PATIENCE, self.inner.watched.consensus.with_state(view::cluster)).await;
        self.inner.gauges.state.show(cluster.ok().and_then(Result::ok).as_ref());
        let inner = self.inner.clone();
        // RocksDB is asked under its own lock, and the text is long.
        let text = tokio::task::spawn_blocking(move || inner.look_and_render()).await;
        text.unwrap_or_else(|error| panic!("a scrape does not panic: {error}"))
    }

    /// Keeps what histograms hold small for as long as the node runs, whether or not anybody looks.
    pub async fn keep_up(self) {
        let mut due = tokio::time::interval(UPKEEP_EVERY);
        loop {
            due.tick().await;
            self.inner.exporter.upkeep();
        }
    }

    pub(super) fn gateway(&self) -> &Gateway {
        &self.inner.watched.gateway
    }
}

impl Inner {
    fn look_and_render(&self) -> String {
        let (gauges, Watched { consensus, batcher, gateway, events, hub, disk, space, .. }) =
            (&self.gauges, &self.watched);
        gauges.raft.show(*consensus.leadership().borrow(), &consensus.status());
        let storage = consensus.storage();
        gauges.storage.show(&storage.log, &storage.state);
        gauges.process.refresh();
        let load = gateway.load();
        gauges.node.show_streams(StreamKind::Sessions, gateway.streams());
        gauges.node.show_streams(StreamKind::Workers, hub.attached());
        gauges.node.show_commands(load.commands, load.waiting, load.refused);
        gauges.node.show_queue(batcher.bytes_waiting());
        gauges.node.show_disk(*space.borrow(), disk.floor);
        for (share, bytes) in [
            (Share::LogMemtables, storage.log.database.memtable_bytes),
            (Share::StateMemtables, storage.state.memtable_bytes),
            (Share::BlockCache, storage.block_bytes as f64),
            (Share::LogTail, storage.log.tail_bytes as f64),
            (Share::LogQueue, storage.log.queue_bytes as f64),
            (Share::Entries, storage.proposed_bytes as f64),
            (Share::Parcels, batcher.bytes_waiting() as f64),
            (Share::Commands, load.command_bytes as f64),
            (Share::Waiting, load.waiting_bytes as f64),
            (Share::Results, events.results_waiting() as f64),
            (Share::Messages, gateway.message_bytes_waiting() as f64),
            (Share::Inputs, hub.input_bytes() as f64),
        ] {
            gauges.node.show_memory(share, bytes);
        }
        self.exporter.render()
    }
}
