//! The object directory of three coordinators, of which the leader is killed. The cache nodes are streams that say what they
//! have.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_proto::ha;
use flame_proto::ha::cache_down::Frame as Down;
use flame_proto::ha::cache_nodes_client::CacheNodesClient;
use flame_proto::ha::cache_up::Frame as Up;
use flame_proto::ha::object_refused::Reason;
use flame_sdk::model::ObjectEntry;
use flame_sdk::types::{ObjectKey, ObjectTarget};
use flame_sdk::{Connection, Endpoints, FlameError, Options};
use flame_testkit::{Cluster, ClusterOptions, wait_until};
use flame_types::CoordinatorId;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// Nothing here takes so long, unless it never comes.
const LIMIT: Duration = Duration::from_secs(60);

/// A cache node on the leader.
struct Cache {
    up: mpsc::Sender<ha::CacheUp>,
    down: Streaming<ha::CacheDown>,
    /// Orders that came before an answer that was waited for.
    orders: VecDeque<Down>,
    number: u64,
}

impl Cache {
    async fn attach(
        cluster: &Cluster,
        name: &str,
        hello: u64,
        has: Vec<ha::HeldObject>,
    ) -> Result<(Self, Vec<Reason>)> {
        let leader = cluster.leader().await?.id;
        let (up, frames) = mpsc::channel(8);
        let mut client = CacheNodesClient::connect(cluster.worker_endpoint(leader)).await?;
        let first = ha::CacheHello {
            cache: name.into(),
            started_ms: 1,
            hello,
            endpoint: format!("grpc://{name}:9090"),
            memory_bytes: 1 << 30,
            ..ha::CacheHello::default()
        };
        up.send(ha::CacheUp { frame: Some(Up::Hello(first)) }).await?;
        let down = client.attach(ReceiverStream::new(frames)).await?.into_inner();
        let mut cache = Self { up, down, orders: VecDeque::new(), number: 0 };
        let welcome = cache.next().await?;
        ensure!(matches!(welcome, Down::Welcome(_)), "{welcome:?}");
        cache.number += 1;
        let page = ha::CacheInventory { number: cache.number, held: has, last: true };
        cache.up.send(ha::CacheUp { frame: Some(Up::Inventory(page)) }).await?;
        let refused = cache.answer().await?;
        Ok((cache, refused))
    }

    async fn report(&mut self, held: Vec<ha::HeldObject>) -> Result<Vec<Reason>> {
        self.number += 1;
        let report = ha::ObjectReport { number: self.number, held, gone: Vec::new() };
        self.up.send(ha::CacheUp { frame: Some(Up::Report(report)) }).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Vec<Reason>> {
        loop {
            match self.frame().await? {
                Down::Recorded(recorded) => {
                    return Ok(recorded.refused.iter().map(ha::ObjectRefused::reason).collect());
                }
                order => self.orders.push_back(order),
            }
        }
    }

    /// The next frame that is no answer.
    async fn next(&mut self) -> Result<Down> {
        match self.orders.pop_front() {
            Some(order) => Ok(order),
            None => self.frame().await,
        }
    }

    async fn frame(&mut self) -> Result<Down> {
        let frame = timeout(LIMIT, self.down.message()).await.context("nothing comes")??;
        frame.and_then(|frame| frame.frame).context("the stream has ended")
    }

    async fn until_fetch(&mut self) -> Result<Vec<ha::FetchOrder>> {
        loop {
            if let Down::Fetch(fetch) = self.next().await? {
                return Ok(fetch.objects);
            }
        }
    }
}

fn held(key: &str, recorded: bool) -> ha::HeldObject {
    ha::HeldObject {
        key: key.into(),
        version: 1,
        size: 10,
        data_type: "raw".into(),
        acknowledged: true,
        recorded: recorded.then_some(0),
        ..ha::HeldObject::default()
    }
}

/// What one coordinator says of an object; `None` when it is not found.
async fn located(cluster: &Cluster, id: CoordinatorId, key: &str) -> Result<Option<ObjectEntry>> {
    let connection = Connection::open(Endpoints::parse(&[cluster.endpoint(id)])?, Options::default())?;
    match connection.locate_object(&ObjectKey::parse(key)?).await {
        Ok(found) => Ok(Some(found)),
        Err(FlameError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn nodes(entry: Option<&ObjectEntry>) -> Vec<&str> {
    entry.into_iter().flat_map(|entry| &entry.places).map(|place| place.node.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_found_copied_and_deleted_across_a_change_of_leader() -> Result<()> {
    let mut cluster = Cluster::start(ClusterOptions { workers: 0, ..ClusterOptions::default() }).await?;
    let (mut c1, refused) = Cache::attach(&cluster, "c1", 1, vec![held("app/s/early", false)]).await?;
    ensure!(refused.is_empty(), "{refused:?}");
    let refused = c1.report(vec![held("app/s/o", false), held("app/shared/m", false)]).await?;
    ensure!(refused.is_empty(), "{refused:?}");
    for id in cluster.coordinator_ids() {
        for key in ["app/s/early", "app/s/o", "app/shared/m"] {
            let found = located(&cluster, id, key).await?;
            ensure!(nodes(found.as_ref()) == ["c1"], "{key} at {id}: {found:?}");
        }
    }

    let old = cluster.leader().await?.id;
    cluster.kill_coordinator(old).await?;
    // The stream ends, and what was reported is there.
    while let Ok(Ok(Some(_))) = timeout(LIMIT, c1.down.message()).await {}
    let others: Vec<CoordinatorId> = cluster.coordinator_ids().into_iter().filter(|id| *id != old).collect();
    for id in &others {
        let found = located(&cluster, *id, "app/shared/m").await?;
        ensure!(nodes(found.as_ref()) == ["c1"], "at {id}: {found:?}");
    }

    // Deleted while the node was nowhere; it comes back with it and is told.
    let connection = Connection::open(Endpoints::parse(&[cluster.endpoint(others[0])])?, Options::default())?;
    connection.delete_objects(&ObjectTarget::parse("app/s/o")?).await?;
    let has = ["app/s/early", "app/s/o", "app/shared/m"].map(|key| held(key, true)).to_vec();
    let (mut c1, refused) = Cache::attach(&cluster, "c1", 2, has).await?;
    ensure!(refused == [Reason::Deleted], "{refused:?}");

    // The new leader finds the copy that is missing.
    let (mut c2, _) = Cache::attach(&cluster, "c2", 1, Vec::new()).await?;
    let order = c2.until_fetch().await?;
    ensure!(order.len() == 1 && order[0].key == "app/shared/m" && order[0].from == ["grpc://c1:9090"], "{order:?}");
    c2.report(vec![held("app/shared/m", true)]).await?;
    loop {
        if let Down::Copied(copied) = c1.next().await? {
            ensure!(copied.copies == 2, "{copied:?}");
            break;
        }
    }
    cluster.start_coordinator(old).await?;
    for id in cluster.coordinator_ids() {
        let found = located(&cluster, id, "app/shared/m").await?;
        ensure!(nodes(found.as_ref()) == ["c1", "c2"], "at {id}: {found:?}");
        ensure!(located(&cluster, id, "app/s/o").await?.is_none(), "at {id}");
    }
    wait_until(LIMIT, "the coordinators agree", || async {
        let digests = connection.state_digests(&connection.members().await?).await;
        let digests: Vec<_> = digests.into_iter().map(|report| report.answer).collect::<Result<_, _>>()?;
        ensure!(digests.windows(2).all(|pair| pair[0] == pair[1]), "{digests:?}");
        Ok(())
    })
    .await?;
    cluster.shutdown().await
}
