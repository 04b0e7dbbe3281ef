//! Executors that change their session inside apply go on doing so under the next leader, and run nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use flame_sdk::model::{ApplicationSpec, Environment};
use flame_sdk::{Connection, Endpoints, Options, SessionOptions};
use flame_testkit::{Binaries, Cluster, ClusterOptions, wait_until};
use flame_types::{Resources, TaskNo};
use futures::{StreamExt, TryStreamExt, stream};

use crate::scenes;

const LIMIT: Duration = Duration::from_secs(60);

const APPLICATION: &str = "changing";

/// With one task each. Many times as many as there are executors.
const SESSIONS: usize = 200;

const EXECUTORS: usize = 2;

/// The leader dies when so many tasks have begun.
const KILL_AFTER: usize = SESSIONS / 3;

/// Calls that are under way together.
const CALLS: usize = 16;

struct Scene {
    client: Connection,
    /// While it is not there, the executors are busy and all sessions but theirs wait.
    gate: PathBuf,
    calls: PathBuf,
}

impl Scene {
    async fn start(cluster: &Cluster) -> Result<Self> {
        let client = Connection::open(Endpoints::parse(&cluster.endpoints())?, Options::default())?;
        let (gate, calls) = (cluster.folder().join("gate"), cluster.folder().join("calls.log"));
        let application = ApplicationSpec {
            command: Some(Binaries::find()?.path("flame-echo-service")?.display().to_string()),
            environments: vec![Environment { name: "FLAME_ECHO_LOG".into(), value: calls.display().to_string() }],
            ..ApplicationSpec::default()
        };
        client.register_application(APPLICATION, application).await?;
        Ok(Self { client, gate, calls })
    }

    /// A session and its task.
    async fn open(&self, number: usize) -> Result<(String, TaskNo)> {
        let session = format!("changing-{number}");
        let options = SessionOptions {
            id: Some(session.clone()),
            max_instances: Some(1),
            resreq: Some(Resources { cpu: 1, memory: 64 << 20, gpu: 0 }),
            ..SessionOptions::new(APPLICATION)
        };
        self.client.create_session(&options).await.context("open a session")?;
        let input = if number < EXECUTORS { format!("wait {}", self.gate.display()) } else { "sleep 5".to_owned() };
        let task = self.client.create_task(&session, Some(Bytes::from(input))).await?;
        Ok((session, task.number()?))
    }

    /// What each session's task was called by: process ids, as the services wrote them down themselves.
    fn calls(&self) -> BTreeMap<String, Vec<String>> {
        let text = std::fs::read_to_string(&self.calls).unwrap_or_default();
        let mut calls: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in text.lines() {
            if let ["invoke", session, _task, pid] = line.split(' ').collect::<Vec<_>>()[..] {
                calls.entry(session.to_owned()).or_default().push(pid.to_owned());
            }
        }
        calls
    }

    async fn begun(&self, at_least: usize) -> Result<()> {
        wait_until(LIMIT, &format!("{at_least} tasks have begun"), || async {
            let begun = self.calls().len();
            ensure!(begun >= at_least, "{begun} so far");
            Ok(())
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn executors_go_on_changing_their_session_when_the_leader_dies() -> Result<()> {
    let worker_resources = format!("cpu={EXECUTORS},mem=8g");
    let mut cluster = Cluster::start(ClusterOptions { worker_resources, ..ClusterOptions::default() }).await?;
    let scene = Scene::start(&cluster).await?;
    let mut tasks = Vec::new();
    for number in 0..EXECUTORS {
        tasks.push(scene.open(number).await?);
    }
    scene.begun(EXECUTORS).await?;
    let waiting = stream::iter(EXECUTORS..SESSIONS).map(|number| scene.open(number)).buffer_unordered(CALLS);
    tasks.extend(waiting.try_collect::<Vec<_>>().await?);

    let leader = cluster.leader().await?;
    std::fs::write(&scene.gate, "")?;
    scene.begun(KILL_AFTER).await?;
    cluster.kill_coordinator(leader.id).await?;
    let begun = scene.calls().len();
    ensure!(begun < SESSIONS, "all {begun} tasks have begun already: nothing to break into");
    let ended = stream::iter(&tasks)
        .map(|(session, task)| scenes::succeeds(&scene.client, session, *task))
        .buffer_unordered(CALLS);
    ended.try_collect::<()>().await.with_context(|| cluster.tails())?;

    let calls = scene.calls();
    ensure!(calls.len() == SESSIONS, "tasks of {} sessions were run", calls.len());
    let again: Vec<_> = calls.iter().filter(|(_, pids)| pids.len() != 1).collect();
    ensure!(again.is_empty(), "these were run more than once: {again:?}");
    let processes: BTreeSet<_> = calls.values().flatten().collect();
    ensure!(processes.len() == EXECUTORS, "the executors kept their processes: {processes:?}");
    cluster.shutdown().await
}
