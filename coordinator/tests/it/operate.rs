//! What operators ask and order, on a cluster of one; its workers are streams that say Hello and nothing else.

use std::net::SocketAddr;

use flame_coordinator::builtins::builtins;
use flame_coordinator::consensus::{Profile, SnapshotLimits};
use flame_coordinator::drive::leader::Defaults;
use flame_coordinator::memory::{MEMORY_MIN, Memory};
use flame_coordinator::node::{Listen, Options, Parts};
use flame_machine::command::{Command, Inputs, Submit};
use flame_machine::{ClusterConfig, FEATURE_LEVEL, Reply};
use flame_proto::ha;
use flame_proto::ha::cluster_client::ClusterClient;
use flame_proto::ha::operate_client::OperateClient;
use flame_proto::ha::worker_hub_client::WorkerHubClient;
use flame_proto::ha::{worker_down, worker_up};
use flame_storage::MemberNode;
use flame_types::{AppName, CoordinatorId, NodeState, Resources, SessionId, SessionSpec, TaskOptions};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

use crate::consensus::harness::eventually;
use crate::served::serve;

/// How long a command may take.
const LIMIT: Duration = Duration::from_secs(20);

/// A worker is attached for as long as its stream stands.
struct Attached {
    _up: mpsc::Sender<ha::WorkerUp>,
    _down: Streaming<ha::WorkerDown>,
}

struct Node {
    parts: Parts,
    channel: Channel,
    _dir: TempDir,
}

impl Node {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let nowhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let options = Options {
            id: CoordinatorId(1),
            cluster_id: "operate".into(),
            data_dir: dir.path().to_owned(),
            listen: Listen { client: nowhere, worker: nowhere, peer: nowhere, metrics: None },
            members: vec![(CoordinatorId(1), MemberNode::default())],
            join: Vec::new(),
            own: MemberNode::default(),
            disk_floor: Some(64 << 20),
            snapshots: SnapshotLimits::default(),
            behind_max: 100_000,
            profile: Profile::Fast,
            memory: Memory::new(Some(MEMORY_MIN)).unwrap(),
            defaults: Defaults { config: ClusterConfig::default(), builtins: builtins() },
            tls: None,
            sync: false,
        };
        let parts = Parts::start(&options).await.unwrap();
        parts.consensus.bootstrap().await.unwrap();
        let channel = serve(&parts).await;
        let node = Self { parts, channel, _dir: dir };
        eventually("there is a leader", async || node.parts.gateway.ready().is_ok().then_some(())).await;
        // The last thing that a new cluster does by itself.
        eventually("the cluster has a feature level", async || {
            let level = node.parts.gateway.with_state(|state| state.cluster().level).await.unwrap();
            (level == FEATURE_LEVEL).then_some(())
        })
        .await;
        node
    }

    fn operate(&self) -> OperateClient<Channel> {
        OperateClient::new(self.channel.clone())
    }

    async fn done(&self, command: Command) -> Reply {
        self.parts.gateway.propose(command, Instant::now() + LIMIT).await.unwrap()
    }

    /// A worker says Hello, and is welcome.
    async fn hello(&self, name: &str) -> Attached {
        let hello = ha::Hello {
            feature_level: FEATURE_LEVEL,
            node: name.into(),
            started_ms: 1,
            nonce: 1,
            hello: 1,
            host: Some(ha::Host { name: "host".into(), ..ha::Host::default() }),
            capacity: Some(ha::Resources { cpu: 4, memory: 4 << 30, gpu: 1 }),
            shims: vec![0],
            ..ha::Hello::default()
        };
        let (up, frames) = mpsc::channel(1);
        up.send(ha::WorkerUp { frame: Some(worker_up::Frame::Hello(hello)) }).await.unwrap();
        let mut hub = WorkerHubClient::new(self.channel.clone());
        let mut down = hub.attach(ReceiverStream::new(frames)).await.unwrap().into_inner();
        let answer = down.message().await.unwrap().and_then(|down| down.frame);
        assert!(matches!(answer, Some(worker_down::Frame::Welcome(_))), "{answer:?}");
        Attached { _up: up, _down: down }
    }

    async fn submit(&self, session: &str, cpu: u64, tasks: usize) {
        let spec = SessionSpec {
            resources: Resources { cpu, memory: 1 << 30, gpu: 0 },
            ..SessionSpec::new(AppName::parse("flmping").unwrap())
        };
        let id = SessionId::parse(session).unwrap();
        self.done(Command::Create { id: id.clone(), spec: Box::new(spec) }).await;
        let (inputs, options) = (Inputs::Each(vec![None; tasks]), TaskOptions::default());
        self.done(Command::Submit(Box::new(Submit { session: id, inputs, options, idempotency_key: None }))).await;
    }

    async fn explain(&self, session: &str, task: &str) -> Result<ha::ExplainTaskReply, tonic::Status> {
        let request = ha::ExplainTaskRequest { session_id: session.into(), task_id: task.into() };
        self.operate().explain_task(request).await.map(tonic::Response::into_inner)
    }

    async fn events(&self, after: u64, last: u32) -> ha::ListClusterEventsReply {
        let request = ha::ListClusterEventsRequest { after, last };
        self.operate().list_cluster_events(request).await.unwrap().into_inner()
    }
}

fn kinds(reasons: &[ha::Reason]) -> Vec<&str> {
    reasons.iter().map(|reason| reason.kind.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_shown_cordoned_drained_and_used_again() {
    let node = Node::start().await;
    let (attached, _other) = (node.hello("w1").await, node.hello("w2").await);
    let list = node.operate().list_node_loads(ha::ListNodeLoadsRequest {}).await.unwrap().into_inner().nodes;
    assert_eq!(list.iter().map(|load| load.name.as_str()).collect::<Vec<_>>(), ["w1", "w2"]);
    let first = &list[0];
    assert_eq!((first.hostname.as_str(), first.state, first.attached), ("host", NodeState::Ready.number(), true));
    assert_eq!(first.capacity, Some(ha::Resources { cpu: 4, memory: 4 << 30, gpu: 1 }));
    assert_eq!((first.allocated, first.shims.as_slice()), (Some(ha::Resources::default()), &[0][..]));
    assert!(first.last_hello > 0);

    let cordon = |on| ha::CordonNodeRequest { name: "w1".into(), on };
    for _ in 0..2 {
        let load = node.operate().cordon_node(cordon(true)).await.unwrap().into_inner();
        assert!(load.cordoned && !load.draining, "{load:?}");
    }
    let drain = ha::DrainNodeRequest { name: "w1".into() };
    let load = node.operate().drain_node(drain).await.unwrap().into_inner();
    assert!(load.cordoned && load.draining && load.executors == 0, "{load:?}");
    // Its stream breaks: what an operator has ordered holds.
    drop(attached);
    let load = eventually("it is detached", async || {
        let request = ha::GetNodeLoadRequest { name: "w1".into() };
        let load = node.operate().get_node_load(request).await.unwrap().into_inner();
        Some(load).filter(|load| !load.attached)
    })
    .await;
    assert!(load.draining, "{load:?}");
    let load = node.operate().cordon_node(cordon(false)).await.unwrap().into_inner();
    assert!(!load.cordoned && !load.draining, "{load:?}");

    for name in ["nobody", "../x", ""] {
        let request = || ha::CordonNodeRequest { name: name.into(), on: true };
        assert_eq!(node.operate().cordon_node(request()).await.unwrap_err().code(), Code::NotFound, "{name:?}");
        let drain = ha::DrainNodeRequest { name: name.into() };
        assert_eq!(node.operate().drain_node(drain).await.unwrap_err().code(), Code::NotFound, "{name:?}");
        let get = ha::GetNodeLoadRequest { name: name.into() };
        assert_eq!(node.operate().get_node_load(get).await.unwrap_err().code(), Code::NotFound, "{name:?}");
    }
    node.parts.consensus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_waits_says_why_and_one_that_has_ended_how() {
    let node = Node::start().await;
    node.submit("large", 64, 2).await;
    let alone = node.explain("large", "1").await.unwrap();
    assert_eq!(kinds(&alone.reasons), ["no_executor", "no_workers"], "{alone:?}");
    let _attached = node.hello("w1").await;
    let second = node.explain("large", "2").await.unwrap();
    assert_eq!((second.state, second.application.as_str(), second.attempt), (0, "flmping", 0));
    assert_eq!(kinds(&second.reasons), ["behind", "no_executor"], "{second:?}");
    assert!(second.since > 0 && second.summary == "it waits in its session", "{second:?}");
    assert_eq!((second.nodes.len(), second.nodes[0].node.as_str()), (1, "w1"));
    let reasons = &second.nodes[0].reasons;
    assert_eq!(kinds(reasons), ["too_small"], "{second:?}");
    assert_eq!(reasons[0].message, "too small even when empty: cpu needs 64, has 4");

    let session = || SessionId::parse("large").unwrap();
    node.done(Command::Cancel { session: session(), task: flame_types::TaskNo(1) }).await;
    let ended = node.explain("large", "1").await.unwrap();
    assert_eq!((ended.state, ended.summary.as_str()), (4, "it was cancelled"));
    assert!(ended.reasons.is_empty() && ended.nodes.is_empty());
    node.done(Command::Close { id: session(), force: true }).await;
    assert_eq!(node.explain("large", "2").await.unwrap().state, 4, "of a closed session, too");

    assert_eq!(node.explain("large", "3").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(node.explain("nowhere", "1").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(node.explain("large", "x").await.unwrap_err().code(), Code::InvalidArgument);
    node.parts.consensus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_is_told_by_number() {
    let node = Node::start().await;
    let _attached = node.hello("w1").await;
    let all = node.events(0, 0).await;
    let told: Vec<(u64, &str)> = all.events.iter().map(|event| (event.number, event.kind.as_str())).collect();
    assert_eq!(told[0], (1, "members"));
    assert_eq!(told[1], (2, "leader"));
    assert_eq!(all.events.last().unwrap().message, "worker w1 attached: it was not known before");
    assert_eq!((all.oldest, all.newest), (1, all.events.len() as u64));
    let last = node.events(0, 1).await;
    assert_eq!((last.events.len(), last.events[0].number), (1, all.newest));
    let nothing = node.events(all.newest, 0).await;
    assert_eq!((nothing.events.len(), nothing.newest), (0, all.newest));

    let cordon = ha::CordonNodeRequest { name: "w1".into(), on: true };
    node.operate().cordon_node(cordon).await.unwrap();
    let news = node.events(all.newest, 0).await.events;
    assert_eq!(news.len(), 1);
    let event = &news[0];
    assert_eq!((event.number, event.kind.as_str(), event.subject.as_str()), (all.newest + 1, "node_cordoned", "w1"));
    assert!(event.time > 0);
    node.parts.consensus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_says_what_is_flushed_and_what_its_disk_has_left() {
    let node = Node::start().await;
    let status = ClusterClient::new(node.channel.clone()).member_status(ha::MemberStatusRequest {}).await;
    let status = status.unwrap().into_inner();
    assert!(status.flushed <= status.applied && status.applied > 0, "{status:?}");
    let (free, total) = (status.disk_free_bytes.unwrap(), status.disk_total_bytes.unwrap());
    assert!(free <= total && total > 0, "{status:?}");
    node.parts.consensus.shutdown().await;
}
