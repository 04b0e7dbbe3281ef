//! What the leader has this cache do: drop objects, and fetch copies.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use flame_proto::ha;
use flame_types::ObjectKey;
use tokio::sync::Semaphore;

use super::directory::Shared;
use super::queue::News;
use crate::directory::CacheNode;
use crate::error::Refusal;
use crate::objects::Peers;
use crate::store::disk::Sync;
use crate::store::{Origin, Store};

/// Objects that are fetched at a time.
const FETCHES_MAX: usize = 4;

/// Orders that wait. The leader orders again what is missing.
const WAITING_MAX: usize = 1024;

/// Does what the leader orders. A handle: clones are of the same.
#[derive(Clone)]
pub(super) struct Orders {
    pub(super) store: Store,
    pub(super) peers: Peers,
    pub(super) shared: Arc<Shared>,
    pub(super) object_max: u64,
    at_once: Arc<Semaphore>,
    under_way: Arc<Mutex<BTreeSet<ObjectKey>>>,
}

impl Orders {
    pub(super) fn new(store: Store, peers: Peers, shared: Arc<Shared>, object_max: u64) -> Self {
        Self {
            store,
            peers,
            shared,
            object_max,
            at_once: Arc::new(Semaphore::new(FETCHES_MAX)),
            under_way: Arc::default(),
        }
    }

    /// Forgets an object up to this version.
    pub(super) async fn drop_one(&self, key: &ObjectKey, version: u64) {
        self.shared.forget(key, version);
        if let Err(error) = self.store.drop_version(key, version).await {
            tracing::warn!(%key, %error, "cannot drop an object; the next inventory asks again");
        }
    }

    /// Begins to fetch these.
    pub(super) fn fetch_all(&self, orders: Vec<ha::FetchOrder>, generation: u32) {
        for order in orders {
            let Ok(key) = ObjectKey::parse(&order.key) else { continue };
            // Nothing that is done under the lock can fail halfway.
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            if under_way.len() >= WAITING_MAX || !under_way.insert(key.clone()) {
                continue;
            }
            drop(under_way);
            let this = self.clone();
            tokio::spawn(async move {
                let _room = this.at_once.acquire().await;
                if let Err(error) = this.fetch(&key, &order, generation).await {
                    tracing::debug!(%key, %error, "cannot fetch a copy; it is ordered again");
                }
                this.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            });
        }
    }

    async fn fetch(&self, key: &ObjectKey, order: &ha::FetchOrder, generation: u32) -> Result<(), Refusal> {
        let known = self.store.known(key).filter(|entry| entry.is_here() && entry.info.version >= order.version);
        if let Some(entry) = known {
            // The leader does not know, or would not have ordered it.
            self.shared.tell(News::Held { info: entry.info, recorded: entry.recorded, waiter: None });
            return Ok(());
        }
        let mut last = Refusal::missing(key, "nobody has it");
        for endpoint in &order.from {
            let node = CacheNode { name: endpoint.clone(), endpoint: endpoint.clone() };
            let (object, room) = match self.peers.fetch(&node, key, self.object_max, &self.store).await {
                Ok((object, room)) if object.version() >= order.version => (Arc::new(object), room),
                Ok(_) => continue,
                Err(refused) => {
                    last = refused;
                    continue;
                }
            };
            let lock = self.store.lock(key).await;
            let before = self.store.known(key).filter(|entry| entry.is_here());
            if before.is_some_and(|entry| entry.info.version >= object.version()) {
                return Ok(());
            }
            let file = match key.is_durable() {
                true => self.store.write(&object, Sync::Now).await?,
                false => None,
            };
            let info = object.info();
            self.store.publish(&lock, object, file, Origin::Elsewhere { generation }, room).await;
            self.shared.tell(News::Held { info, recorded: Some(generation), waiter: None });
            return Ok(());
        }
        Err(last)
    }
}
