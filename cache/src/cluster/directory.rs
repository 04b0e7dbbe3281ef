//! The directory of the cluster, as the rest of the cache uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::ops::Bound;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flame_proto::ha;
use flame_proto::ha::object_directory_client::ObjectDirectoryClient;
use flame_tls::Client;
use flame_types::{ObjectKey, ObjectTarget};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::agent::Agent;
use super::chores::Chores;
use super::coordinators::Coordinators;
use super::lease::Lease;
use super::orders::Orders;
use super::queue::{News, Queue};
use crate::directory::{CacheNode, Directory, Located, NotRecorded, Recorded};
use crate::error::Refusal;
use crate::model::Info;
use crate::objects::Peers;
use crate::store::Store;

/// Longest wait until what was to be told soon is told.
const SETTLE_MAX: Duration = Duration::from_secs(10);

/// Longest wait for an answer of any coordinator, and of one.
const ASK_MAX: Duration = Duration::from_secs(5);
const ASK_ONE_MAX: Duration = Duration::from_secs(2);

/// Between two coordinators that cannot answer.
const ASK_PAUSE: Duration = Duration::from_millis(50);

/// What a cache must know to be one of several.
#[derive(Clone)]
pub struct Joining {
    /// Worker endpoints of coordinators. At least one.
    pub coordinators: Vec<String>,
    /// What encrypts connections to them.
    pub tls: Option<Client>,
    /// The only cluster it is for; when empty, that of the first leader it finds.
    pub cluster: String,
    /// When this process was started …
    pub started_ms: u64,
    /// … and what tells it from others that were then.
    pub nonce: u64,
    /// The host.
    pub host: ha::Host,
    /// Bytes that it keeps in memory.
    pub memory_bytes: u64,
    /// Bytes that it keeps on disk; 0: none.
    pub disk_bytes: u64,
    /// Most bytes of one object.
    pub object_max: u64,
}

/// Why a cache is one of several no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// It was told to stop.
    Stopped,
    /// A newer cache has taken over the name.
    Superseded(String),
    /// The cluster does not take this cache, and will not.
    Refused(String),
}

/// What the agent and those who ask share.
#[derive(Default)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    pub(super) wake: Notify,
    /// A report was answered, or something need not be told.
    pub(super) settled: Notify,
    /// Versions that the directory may know and that the store does not show yet.
    pending: Mutex<BTreeMap<ObjectKey, Info>>,
    pub(super) lease: Lease,
    generation: AtomicU32,
    /// Applications that have used up their quota.
    full: Mutex<BTreeSet<String>>,
}

impl Shared {
    // Nothing that is done under the locks can fail halfway.
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn full(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pending(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, Info>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Versions that are being recorded, of the objects after this key.
    pub(super) fn pending_after(&self, after: &str) -> BTreeMap<ObjectKey, Info> {
        let pending = self.pending();
        let found = pending.range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
        found.map(|(key, info)| (key.clone(), info.clone())).collect()
    }

    pub(super) fn tell(&self, news: News) {
        self.queue().push(news);
        self.wake.notify_one();
    }

    /// What was to be told of an object up to this version need not be.
    pub(super) fn forget(&self, key: &ObjectKey, version: u64) {
        self.queue().forget(key, version);
        self.settled.notify_waiters();
    }

    pub(super) fn is_due(&self) -> bool {
        self.queue().is_due()
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Relaxed)
    }

    pub(super) fn on_welcome(&self, welcome: &ha::CacheWelcome, sent: Instant) {
        self.generation.store(welcome.generation, Ordering::Relaxed);
        self.lease.on_welcome(sent, welcome.lease_ms, welcome.detached_lease_ms, Instant::now());
        *self.full() = welcome.full.iter().cloned().collect();
    }

    pub(super) fn on_detached(&self) {
        self.lease.on_detached(Instant::now());
        self.queue().on_detached();
    }

    pub(super) fn on_quota(&self, ha::ObjectQuota { application, full }: ha::ObjectQuota) {
        if full {
            self.full().insert(application);
        } else {
            self.full().remove(&application);
        }
    }
}

/// Keeps a version among those that are being recorded.
struct Pending {
    shared: Arc<Shared>,
    key: ObjectKey,
}

impl Pending {
    /// Nobody else records the object meanwhile: whoever does has its lock.
    fn begin(shared: &Arc<Shared>, info: &Info) -> Self {
        shared.pending().insert(info.key.clone(), info.clone());
        Self { shared: shared.clone(), key: info.key.clone() }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.shared.pending().remove(&self.key);
    }
}

/// The directory of the cluster.
pub struct InCluster {
    node: CacheNode,
    coordinators: Coordinators,
    shared: Arc<Shared>,
    stop: CancellationToken,
    agent: Mutex<Option<JoinHandle<()>>>,
}

impl InCluster {
    /// Begins to look for the leader. `farewell` hears when the cluster wants this cache no more.
    #[must_use]
    pub fn join(
        joining: Joining,
        node: CacheNode,
        store: Store,
        peers: Peers,
        farewell: oneshot::Sender<Farewell>,
    ) -> Arc<Self> {
        let coordinators = Coordinators::new(joining.coordinators.clone(), joining.tls.clone());
        let shared = Arc::<Shared>::default();
        let orders = Orders::new(store.clone(), peers, shared.clone(), joining.object_max);
        let told = shared.clone();
        store.tell_losses(move |key, version| told.tell(News::Gone { key: key.clone(), version }));
        let agent = Agent {
            node: node.clone(),
            cluster_id: joining.cluster.clone(),
            joining,
            coordinators: coordinators.clone(),
            shared: shared.clone(),
            chores: Chores::begin(store.clone(), orders.clone()),
            store,
            orders,
            hello: 0,
        };
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let agent = tokio::spawn(async move {
            // Nobody may wait for it.
            let _ = farewell.send(agent.run(stopped).await);
        });
        Arc::new(Self { node, coordinators, shared, stop, agent: Mutex::new(Some(agent)) })
    }

    /// Asks a coordinator, and others until one can answer.
    async fn ask<T, F>(&self, ask: impl Fn(ObjectDirectoryClient<Channel>) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let deadline = Instant::now() + ASK_MAX;
        loop {
            let endpoint = self.coordinators.usual();
            let answered = match self.coordinators.channel(&endpoint) {
                Ok(channel) => timeout(ASK_ONE_MAX, ask(ObjectDirectoryClient::new(channel)))
                    .await
                    .unwrap_or_else(|_| Err(Status::unavailable(format!("{endpoint} does not answer")))),
                Err(why) => Err(Status::unavailable(why)),
            };
            match answered {
                Err(status) if can_another(&status) && Instant::now() < deadline => {
                    self.coordinators.avoid(&endpoint);
                    sleep(ASK_PAUSE).await;
                }
                answered => return answered,
            }
        }
    }
}

/// Whether another coordinator, or the same one later, may answer.
fn can_another(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded)
}

fn refusal(status: &Status) -> Refusal {
    match status.code() {
        Code::InvalidArgument => Refusal::Wrong(status.message().to_owned()),
        Code::ResourceExhausted => Refusal::NoRoom(status.message().to_owned()),
        _ => Refusal::Unavailable(format!("the directory of objects does not answer: {}", status.message())),
    }
}

#[tonic::async_trait]
impl Directory for InCluster {
    fn here(&self) -> &CacheNode {
        &self.node
    }

    fn is_certain(&self) -> bool {
        self.shared.lease.is_certain(Instant::now())
    }

    fn may_put(&self, app: &str) -> Result<(), Refusal> {
        if self.shared.full().contains(app) {
            return Err(Refusal::NoRoom(format!(
                "the objects of application {app} have used up its quota; delete some"
            )));
        }
        Ok(())
    }

    async fn locate(&self, key: &ObjectKey) -> Result<Located, Refusal> {
        let request = ha::LocateObjectRequest { key: key.to_string() };
        let asked = self.ask(|mut client| {
            let request = request.clone();
            async move { Ok(client.locate(request).await?.into_inner()) }
        });
        match asked.await {
            Ok(entry) => Ok(located(entry)),
            Err(status) if status.code() == Code::NotFound => Ok(Located { knows_all: true, ..Located::default() }),
            Err(status) => Err(refusal(&status)),
        }
    }

    async fn record(&self, info: &Info) -> Result<Recorded, NotRecorded> {
        let pending = Pending::begin(&self.shared, info);
        let (waiter, waits) = oneshot::channel();
        self.shared.tell(News::Held { info: info.clone(), recorded: None, waiter: Some(waiter) });
        // Without a limit: it may be recorded at any time until there is an answer.
        let answered = waits.await;
        let stops = || NotRecorded::Refused(Refusal::Unavailable("this cache stops".to_owned()));
        let generation = answered.unwrap_or_else(|_| Err(stops()))?;
        Ok(Recorded { generation, until_shown: Some(Box::new(pending)) })
    }

    fn record_soon(&self, info: &Info) {
        self.shared.tell(News::Held { info: info.clone(), recorded: None, waiter: None });
    }

    async fn settle(&self, target: &ObjectTarget) -> Result<(), Refusal> {
        let then = self.shared.queue().now();
        let settled = async {
            loop {
                let changed = self.shared.settled.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if self.shared.queue().is_settled(target, then) {
                    return;
                }
                changed.await;
            }
        };
        timeout(SETTLE_MAX, settled).await.map_err(|_| {
            Refusal::Unavailable(format!("no leader has recorded all objects of {target} within {SETTLE_MAX:?}"))
        })
    }

    async fn delete(&self, target: &ObjectTarget) -> Result<(), Refusal> {
        let request = ha::DeleteEntriesRequest { target: target.to_string() };
        let asked = self.ask(|mut client| {
            let request = request.clone();
            async move { client.delete(request).await }
        });
        asked.await.map(drop).map_err(|status| refusal(&status))
    }

    async fn nodes(&self) -> Result<Vec<CacheNode>, Refusal> {
        let asked =
            self.ask(|mut client| async move { Ok(client.nodes(ha::CacheNodesRequest {}).await?.into_inner()) });
        let nodes = asked.await.map_err(|status| refusal(&status))?.nodes;
        let present = nodes.into_iter().filter(|node| !node.away);
        Ok(present.map(|node| CacheNode { name: node.name, endpoint: node.endpoint }).collect())
    }

    async fn leave(&self) {
        self.stop.cancel();
        let agent = self.agent.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(agent) = agent {
            // One that has failed has said so; it is over either way.
            let _ = agent.await;
        }
    }
}

fn located(entry: ha::DirectoryEntry) -> Located {
    let names: Vec<String> = entry.places.iter().map(|place| place.cache.clone()).collect();
    let present = entry.places.into_iter().filter(|place| !place.away);
    let places: Vec<CacheNode> =
        present.map(|place| CacheNode { name: place.cache, endpoint: place.endpoint }).collect();
    let lost = places.is_empty().then(|| match names.as_slice() {
        [] => "it was lost with the cache that had it".to_owned(),
        names => {
            format!("it is on {}, which is gone or cut off; it is there again when that is back", names.join(", "))
        }
    });
    Located { version: entry.version, places, lost, knows_all: true }
}
