//! What the answers of the leader leave to be done on disk. It is done beside the stream, in order: heartbeats wait for no disk,
//! and for no lock.

use flame_types::ObjectKey;
use tokio::sync::mpsc;

use super::orders::Orders;
use crate::model::Info;
use crate::store::Store;

/// Something to be done.
pub(super) enum Chore {
    /// The directory knows this version.
    Recorded {
        /// Which.
        info: Info,
        /// The generation of the cluster.
        generation: u32,
    },
    /// An object is not to be here any more, up to this version.
    Drop {
        /// Which.
        key: ObjectKey,
        /// Its version.
        version: u64,
    },
}

/// What is to be done. There is no limit but that of what is told to the leader: a stream that waited here could wait for a
/// change whose answer is behind it in the stream.
pub(super) struct Chores {
    queue: mpsc::UnboundedSender<Chore>,
}

impl Chores {
    /// Begins to do what will be given, for as long as this lives.
    pub(super) fn begin(store: Store, orders: Orders) -> Self {
        let (queue, mut chores) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(chore) = chores.recv().await {
                match chore {
                    Chore::Recorded { info, generation } => store.recorded(&info, generation).await,
                    Chore::Drop { key, version } => orders.drop_one(&key, version).await,
                }
            }
        });
        Self { queue }
    }

    /// To be done after all that was given before.
    pub(super) fn add(&self, chore: Chore) {
        // Nobody is there only when the process ends.
        let _ = self.queue.send(chore);
    }
}
