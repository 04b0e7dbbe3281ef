//! A worker that is told to stop takes leave: what it held goes elsewhere at once, and nothing new comes to it.
//!
//! The leader gives a worker up either because it said goodbye or because its lease ran out, and writes down which. So
//! it is the leader's own words, not a stopwatch, that tell a goodbye from a wait.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use flame_sdk::model::{ApplicationSpec, Environment};
use flame_sdk::{Connection, Endpoints, Options, SessionOptions};
use flame_testkit::{Binaries, Cluster, ClusterOptions, wait_until};
use flame_types::{NodeState, Resources, TaskNo};

use crate::scenes;

const LIMIT: Duration = Duration::from_secs(60);

/// What the leader writes when a worker has taken leave.
const SAID_GOODBYE: &str = "a worker said goodbye";

/// What it writes when it has waited in vain.
const LEASE_RAN_OUT: &str = "a worker's lease has run out";

/// Two workers, of which one has a task that ends when the test says so.
struct Scene {
    client: Connection,
    /// Index of the worker with the task, and its name.
    busy: usize,
    busy_name: String,
    other_name: String,
    task: TaskNo,
    gate: PathBuf,
    calls: PathBuf,
    logs: Vec<PathBuf>,
}

const APPLICATION: &str = "goodbye";
const SESSION: &str = "goodbye-first";

/// A cluster whose workers let running tasks go on for so long, and the scene on it.
async fn start(drain: &str) -> Result<(Cluster, Scene)> {
    let environment = vec![("FLAME_WORKER_DRAIN_TIMEOUT".to_owned(), drain.to_owned())];
    let cluster = Cluster::start(ClusterOptions { workers: 2, environment, ..ClusterOptions::default() }).await?;
    let scene = Scene::play(&cluster).await.with_context(|| cluster.tails())?;
    Ok((cluster, scene))
}

impl Scene {
    async fn play(cluster: &Cluster) -> Result<Self> {
        let client = Connection::open(Endpoints::parse(&cluster.endpoints())?, Options::default())?;
        let (gate, calls) = (cluster.folder().join("gate"), cluster.folder().join("calls.log"));
        let application = ApplicationSpec {
            command: Some(Binaries::find()?.path("flame-echo-service")?.display().to_string()),
            environments: vec![Environment { name: "FLAME_ECHO_LOG".into(), value: calls.display().to_string() }],
            ..ApplicationSpec::default()
        };
        client.register_application(APPLICATION, application).await?;
        let logs = cluster.coordinator_ids().into_iter();
        let logs = logs.map(|id| cluster.folder().join(format!("c{id}/coordinator-{id}.log"))).collect();
        let (busy_name, other_name, task) = (String::new(), String::new(), TaskNo(0));
        let mut scene = Self { client, busy: 0, busy_name, other_name, task, gate, calls, logs };
        scene.open_session(SESSION, 1).await?;
        let input = format!("wait {}", scene.gate.display());
        scene.task = scene.client.create_task(SESSION, Some(Bytes::from(input))).await?.number()?;
        scene.calls_come_to(1).await?;
        scene.busy_name = scene.node_of(SESSION).await?;
        let names = ["w1", "w2"];
        scene.busy = names.iter().position(|name| *name == scene.busy_name).context("a worker of ours")?;
        scene.other_name = names[1 - scene.busy].to_owned();
        Ok(scene)
    }

    async fn open_session(&self, id: &str, services_max: u32) -> Result<()> {
        let options = SessionOptions {
            id: Some(id.to_owned()),
            max_instances: Some(services_max),
            resreq: Some(Resources { cpu: 1, memory: 64 << 20, gpu: 0 }),
            ..SessionOptions::new(APPLICATION)
        };
        self.client.create_session(&options).await.map(drop).context("open a session")
    }

    /// The processes that were called for the task, in order, as they wrote down themselves.
    fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.calls).unwrap_or_default();
        let call = format!("invoke {SESSION} {} ", self.task);
        text.lines().filter_map(|line| line.strip_prefix(&call)).map(ToOwned::to_owned).collect()
    }

    async fn calls_come_to(&self, count: usize) -> Result<()> {
        wait_until(LIMIT, &format!("call {count} for the task"), || async {
            let calls = self.calls();
            ensure!(calls.len() == count, "so far: {calls:?}");
            Ok(())
        })
        .await
    }

    /// The workers that have executors for a session.
    async fn nodes_of(&self, session: &str) -> Result<BTreeSet<String>> {
        let executors = self.client.list_executors().await?.into_iter();
        let of_session = executors.filter(|executor| executor.status.session_id.as_deref() == Some(session));
        Ok(of_session.map(|executor| executor.spec.node).collect())
    }

    async fn node_of(&self, session: &str) -> Result<String> {
        let nodes: Vec<_> = self.nodes_of(session).await?.into_iter().collect();
        let [node] = &nodes[..] else { anyhow::bail!("{session} is on one worker, not on {nodes:?}") };
        Ok(node.clone())
    }

    async fn state_of(&self, node: &str) -> Result<NodeState> {
        self.client.get_node(node).await?.status.state.known().context("a state we know")
    }

    async fn node_comes_to(&self, node: &str, state: NodeState) -> Result<()> {
        wait_until(LIMIT, &format!("{node} is {state}"), || async {
            let now = self.state_of(node).await?;
            ensure!(now == state, "it is {now}");
            Ok(())
        })
        .await
    }

    /// How often the coordinators have written this.
    fn written(&self, text: &str) -> Result<usize> {
        let mut count = 0;
        for log in &self.logs {
            let written = std::fs::read(log).with_context(|| format!("read {}", log.display()))?;
            count += String::from_utf8_lossy(&written).matches(text).count();
        }
        Ok(count)
    }

    /// Whether the busy worker was given up because it said goodbye, and for no other reason.
    fn ensure_goodbye(&self) -> Result<()> {
        let (goodbyes, leases) = (self.written(SAID_GOODBYE)?, self.written(LEASE_RAN_OUT)?);
        ensure!((goodbyes, leases) == (1, 0), "{goodbyes} goodbyes were said, {leases} leases ran out");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stopped_worker_held_starts_elsewhere_without_a_lease_running_out() -> Result<()> {
    let (mut cluster, scene) = start("50ms").await?;
    cluster.stop_worker(scene.busy).await?;
    scene.node_comes_to(&scene.busy_name, NodeState::NotReady).await?;
    scene.calls_come_to(2).await?;
    ensure!(scene.node_of(SESSION).await? == scene.other_name);
    ensure!(scene.state_of(&scene.other_name).await? == NodeState::Ready);
    scene.ensure_goodbye()?;
    std::fs::write(&scene.gate, "")?;
    scenes::succeeds(&scene.client, SESSION, scene.task).await?;

    let calls = scene.calls();
    ensure!(calls.len() == 2 && calls[0] != calls[1], "two services were called once each, not {calls:?}");
    // It comes back as if nothing had been.
    cluster.start_worker(scene.busy).await?;
    scene.node_comes_to(&scene.busy_name, NodeState::Ready).await?;
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_ends_what_it_runs_and_gets_nothing_new() -> Result<()> {
    const TASKS: usize = 20;
    const SECOND: &str = "goodbye-second";
    let (mut cluster, scene) = start("60s").await?;
    let busy = scene.busy;
    let meanwhile = async {
        // It drains: attached no more as far as new work goes, and its task runs on.
        scene.node_comes_to(&scene.busy_name, NodeState::Unknown).await?;
        scene.open_session(SECOND, 8).await?;
        let mut tasks = Vec::new();
        for _ in 0..TASKS {
            let task = scene.client.create_task(SECOND, Some(Bytes::from_static(b"sleep 20"))).await?;
            tasks.push(task.number()?);
        }
        for task in tasks {
            scenes::succeeds(&scene.client, SECOND, task).await?;
            let nodes = scene.nodes_of(SECOND).await?;
            ensure!(!nodes.contains(&scene.busy_name), "the second session is on {nodes:?}");
        }
        ensure!(scene.node_of(SECOND).await? == scene.other_name);
        ensure!(scene.written(SAID_GOODBYE)? == 0, "it still drains");
        std::fs::write(&scene.gate, "")?;
        scenes::succeeds(&scene.client, SESSION, scene.task).await
    };
    let (stopped, meanwhile) = tokio::join!(cluster.stop_worker(busy), meanwhile);
    meanwhile.with_context(|| cluster.tails())?;
    stopped?;
    scene.node_comes_to(&scene.busy_name, NodeState::NotReady).await?;
    scene.ensure_goodbye()?;
    ensure!(scene.calls().len() == 1, "its task was run by it, and by nobody else: {:?}", scene.calls());
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_has_said_nothing() -> Result<()> {
    let (mut cluster, scene) = start("50ms").await?;
    cluster.kill_worker(scene.busy).await?;
    scene.calls_come_to(2).await?;
    ensure!(scene.state_of(&scene.busy_name).await? == NodeState::NotReady);
    let (goodbyes, leases) = (scene.written(SAID_GOODBYE)?, scene.written(LEASE_RAN_OUT)?);
    ensure!((goodbyes, leases) == (0, 1), "{goodbyes} goodbyes were said, {leases} leases ran out");
    std::fs::write(&scene.gate, "")?;
    scenes::succeeds(&scene.client, SESSION, scene.task).await?;
    cluster.shutdown().await
}
