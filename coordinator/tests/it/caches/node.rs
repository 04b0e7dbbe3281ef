//! A coordinator, and cache nodes that are nothing but streams.

use std::collections::VecDeque;

use flame_coordinator::node::Parts;
use flame_machine::command::Command;
use flame_proto::ha;
use flame_proto::ha::cache_down::Frame as Down;
use flame_proto::ha::cache_nodes_client::CacheNodesClient;
use flame_proto::ha::cache_up::Frame as Up;
use flame_proto::ha::object_directory_client::ObjectDirectoryClient;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::consensus::harness::eventually;
use crate::served::{alone, serve};

/// How long anything may take.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A cluster of one.
pub struct Node {
    pub parts: Parts,
    channel: Channel,
    _dir: TempDir,
}

impl Node {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let parts = Parts::start(&alone(dir.path())).await.unwrap();
        parts.consensus.bootstrap().await.unwrap();
        let channel = serve(&parts).await;
        let node = Self { parts, channel, _dir: dir };
        eventually("the cluster has what ships with Flame", async || {
            let builtins = node.parts.gateway.with_state(|state| state.cluster().builtins).await.unwrap();
            (builtins > 0).then_some(())
        })
        .await;
        node
    }

    pub fn directory(&self) -> ObjectDirectoryClient<Channel> {
        ObjectDirectoryClient::new(self.channel.clone())
    }

    pub async fn locate(&self, key: &str) -> Result<ha::DirectoryEntry, Status> {
        let request = ha::LocateObjectRequest { key: key.into() };
        self.directory().locate(request).await.map(tonic::Response::into_inner)
    }

    pub async fn delete(&self, target: &str) -> Result<(), Status> {
        let request = ha::DeleteEntriesRequest { target: target.into() };
        self.directory().delete(request).await.map(|_| ())
    }

    pub async fn nodes(&self) -> Vec<ha::CacheNode> {
        self.directory().nodes(ha::CacheNodesRequest {}).await.unwrap().into_inner().nodes
    }

    pub async fn done(&self, command: Command) {
        self.parts.gateway.propose(command, Instant::now() + LIMIT).await.unwrap();
    }

    /// Opens a stream with any first frame.
    pub async fn open(&self, first: Up) -> Cache {
        let (up, frames) = mpsc::channel(64);
        up.send(ha::CacheUp { frame: Some(first) }).await.unwrap();
        let mut hub = CacheNodesClient::new(self.channel.clone());
        let down = hub.attach(ReceiverStream::new(frames)).await.unwrap().into_inner();
        Cache { up, down, orders: VecDeque::new(), number: 0 }
    }

    /// A cache node that is welcome, and has nothing.
    pub async fn cache(&self, name: &str) -> Cache {
        let mut cache = self.back(name, 1).await;
        assert_eq!(cache.inventory(Vec::new(), true).await, []);
        cache
    }

    /// The same node with a later Hello. It has not said yet what it has.
    pub async fn back(&self, name: &str, hello: u64) -> Cache {
        let mut cache = self.open(Up::Hello(self::hello(name, hello))).await;
        match cache.next().await {
            Down::Welcome(welcome) => assert!(welcome.epoch > 0 && welcome.lease_ms > 0, "{welcome:?}"),
            other => panic!("{other:?} is no welcome"),
        }
        cache
    }
}

pub fn hello(name: &str, hello: u64) -> ha::CacheHello {
    ha::CacheHello {
        cache: name.into(),
        started_ms: 1,
        nonce: 1,
        hello,
        host: Some(ha::Host { name: "host".into(), ..ha::Host::default() }),
        endpoint: format!("grpc://{name}:9090"),
        memory_bytes: 1 << 20,
        disk_bytes: 1 << 30,
        ..ha::CacheHello::default()
    }
}

pub fn held(key: &str, version: u64) -> ha::HeldObject {
    ha::HeldObject {
        key: key.into(),
        version,
        size: 10,
        data_type: "raw".into(),
        created_ms: 5,
        acknowledged: true,
        ..ha::HeldObject::default()
    }
}

/// The same, acknowledged by the directory.
pub fn recorded(key: &str, version: u64) -> ha::HeldObject {
    ha::HeldObject { recorded: Some(0), ..held(key, version) }
}

/// A cache node that is attached for as long as this lives.
pub struct Cache {
    up: mpsc::Sender<ha::CacheUp>,
    down: Streaming<ha::CacheDown>,
    /// Orders that came before an answer that was waited for.
    orders: VecDeque<Down>,
    pub number: u64,
}

impl Cache {
    pub async fn send(&self, frame: Up) {
        self.up.send(ha::CacheUp { frame: Some(frame) }).await.unwrap();
    }

    /// The next frame that is no answer.
    pub async fn next(&mut self) -> Down {
        match self.orders.pop_front() {
            Some(order) => order,
            None => self.frame().await,
        }
    }

    async fn frame(&mut self) -> Down {
        let next = timeout(LIMIT, self.down.message()).await.expect("a frame comes");
        next.expect("the stream stands").expect("the stream has not ended").frame.expect("a frame of this build")
    }

    /// How the stream ends, whatever comes before.
    pub async fn end(mut self) -> Option<Status> {
        loop {
            match timeout(LIMIT, self.down.message()).await.expect("the stream ends") {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    }

    /// Reports; gives the refusals.
    pub async fn report(&mut self, held: Vec<ha::HeldObject>, gone: Vec<(&str, u64)>) -> Vec<ha::ObjectRefused> {
        self.number += 1;
        let gone = gone.into_iter().map(|(key, version)| ha::ObjectVersion { key: key.into(), version }).collect();
        self.send(Up::Report(ha::ObjectReport { number: self.number, held, gone })).await;
        self.answer().await
    }

    /// A page of what there is; gives the refusals.
    pub async fn inventory(&mut self, held: Vec<ha::HeldObject>, last: bool) -> Vec<ha::ObjectRefused> {
        self.number += 1;
        self.send(Up::Inventory(ha::CacheInventory { number: self.number, held, last })).await;
        self.answer().await
    }

    async fn answer(&mut self) -> Vec<ha::ObjectRefused> {
        loop {
            match self.frame().await {
                Down::Recorded(recorded) => {
                    assert_eq!(recorded.number, self.number);
                    return recorded.refused;
                }
                order => self.orders.push_back(order),
            }
        }
    }
}
