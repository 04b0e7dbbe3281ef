//! Watches on a node that misses a part of the log and gets a snapshot instead: every end is told, once, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use flame_chaos::service;
use flame_proto::ha::session_down::Frame as Down;
use flame_proto::ha::session_up::Frame as Up;
use flame_proto::v1::frontend_client::FrontendClient;
use flame_proto::{ha, v1};
use flame_sdk::model::{ApplicationSpec, Environment};
use flame_sdk::{Connection, Endpoints, Options, SessionOptions, SessionStream};
use flame_testkit::{Binaries, Cluster, ClusterOptions};
use flame_types::{CoordinatorId, TaskState};
use futures::StreamExt;
use tonic::Streaming;

use crate::behind::wait_until_cut;
use crate::stream_protocol::Stream;

const LIMIT: Duration = Duration::from_secs(60);

const APPLICATION: &str = "echo";

/// The log is cut as soon as it has so much, and nothing of it stays.
const LOG_BYTES: &str = "1048576";

/// Ended before the node stands still.
const FIRST: u64 = 50;

/// Submitted before and ended while it does.
const ACROSS: u64 = 60;
const ACROSS_TAKES: Duration = Duration::from_secs(2);

/// Submitted and ended while it does: with their results more than any connection holds for somebody who does not read,
/// and then again as much, so that the log is cut beyond it.
const MISSED: u64 = 800;
const INPUT_BYTES: usize = 8 << 10;

/// Once it goes on.
const LAST: u64 = 50;

const ALL: u64 = FIRST + ACROSS + 2 * MISSED + LAST;

/// Everything that a watch from the beginning of the session tells, entry by entry.
struct Told {
    stream: Stream,
    ended: BTreeSet<u64>,
    position: (u32, u64),
}

impl Told {
    async fn follow(endpoint: &str, session: &str) -> Result<Self> {
        let stream = Stream::open(endpoint, session, 0).await?;
        stream.say(Up::Watch(ha::WatchFrom { from: None, own: false, tasks: Vec::new() }))?;
        Ok(Self { stream, ended: BTreeSet::new(), position: (0, 0) })
    }

    async fn until(&mut self, ends: u64) -> Result<()> {
        while (self.ended.len() as u64) < ends {
            let results = match self.stream.next().await? {
                Down::Results(results) => results,
                Down::Trimmed(trimmed) => bail!("there is a gap: {trimmed:?}"),
                _ => continue,
            };
            let position = results.position.context("results without a position")?;
            let position = (position.generation, position.log_index);
            ensure!(position >= self.position, "{position:?} comes after {:?}", self.position);
            self.position = position;
            for result in &results.results {
                ensure!(self.ended.insert(result.task), "task {} is told twice", result.task);
            }
        }
        Ok(())
    }
}

/// States of tasks as the published watch tells them.
struct Shown {
    updates: Streaming<v1::Task>,
    states: BTreeMap<u64, TaskState>,
}

impl Shown {
    /// Follows the first so many tasks.
    async fn follow(endpoint: &str, session: &str, tasks: u64) -> Result<Self> {
        let session = session.to_owned();
        let register = move |task: u64| v1::WatchTaskRequest { task_id: task.to_string(), session_id: session.clone() };
        // Its client keeps the stream open.
        let registrations = futures::stream::iter((1..=tasks).map(register)).chain(futures::stream::pending());
        let updates = FrontendClient::connect(endpoint.to_owned()).await?.watch_tasks(registrations).await?;
        Ok(Self { updates: updates.into_inner(), states: BTreeMap::new() })
    }

    async fn until(&mut self, is_enough: impl Fn(&BTreeMap<u64, TaskState>) -> bool) -> Result<()> {
        while !is_enough(&self.states) {
            let update = tokio::time::timeout(LIMIT, self.updates.message()).await.context("nothing is told")??;
            let task = update.context("the watch has ended")?;
            let number: u64 = task.metadata.context("a task without an id")?.id.parse()?;
            let state = task.status.context("a task without a state")?.state;
            let state = TaskState::from_number(state).context("an unknown state")?;
            if let Some(before) = self.states.insert(number, state) {
                let goes_on = before.number() < state.number() && !before.is_terminal();
                ensure!(goes_on, "task {number} was {before:?} and is {state:?}");
            }
        }
        Ok(())
    }
}

fn ended(states: &BTreeMap<u64, TaskState>) -> u64 {
    states.values().filter(|state| state.is_terminal()).count() as u64
}

/// Submits through the leader, and waits for the ends there.
async fn run_tasks(stream: &SessionStream, tasks: u64, takes: Duration, bytes: usize) -> Result<()> {
    let mut submitted = Vec::new();
    for number in 0..tasks {
        let nonce = format!("{number:x>bytes$}");
        submitted.push(stream.submit(Some(service::input(&nonce, takes))).await?);
    }
    for task in submitted {
        let end = tokio::time::timeout(LIMIT, task.result()).await.context("no result comes")??;
        ensure!(end.succeeded(), "{end:?}");
    }
    Ok(())
}

async fn session(leader: &Connection) -> Result<String> {
    let nowhere = Environment { name: service::LOG_VARIABLE.to_owned(), value: "/dev/null".to_owned() };
    let spec = ApplicationSpec {
        command: Some(Binaries::find()?.path("flame-chaos")?.display().to_string()),
        arguments: vec!["service".to_owned()],
        environments: vec![nowhere],
        ..ApplicationSpec::default()
    };
    leader.register_application(APPLICATION, spec).await?;
    Ok(leader.create_session(&SessionOptions::new(APPLICATION)).await?.metadata.id)
}

fn follower(cluster: &Cluster, leader: CoordinatorId) -> Result<CoordinatorId> {
    cluster.coordinator_ids().into_iter().find(|id| *id != leader).context("there is a follower")
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_go_on_across_a_snapshot_without_gap_or_repetition() -> Result<()> {
    let settings = [("LOG_BYTES", LOG_BYTES), ("LOG_KEPT", "0")];
    let environment = settings.map(|(key, value)| (format!("FLAME_COORDINATOR_{key}"), value.to_owned())).to_vec();
    let mut cluster = Cluster::start(ClusterOptions { environment, ..ClusterOptions::default() }).await?;
    let leader = cluster.leader().await?.id;
    let here = follower(&cluster, leader)?;
    let client = Connection::open(Endpoints::parse(&[cluster.endpoint(leader)])?, Options::default())?;
    let session = session(&client).await?;
    let stream = client.open_stream(&session).await?;
    let mut told = Told::follow(&cluster.endpoint(here), &session).await?;
    run_tasks(&stream, FIRST, Duration::ZERO, 1).await?;
    told.until(FIRST).await?;
    let across = tokio::spawn({
        let stream = stream.clone();
        async move { run_tasks(&stream, ACROSS, ACROSS_TAKES, 1).await }
    });
    let mut shown = Shown::follow(&cluster.endpoint(here), &session, FIRST + ACROSS).await?;
    shown.until(|states| states.len() as u64 == FIRST + ACROSS).await?;
    ensure!(ended(&shown.states) < FIRST + ACROSS, "nothing is left to end across the snapshot");

    let installed = cluster.written("snapshot installed")?;
    cluster.pause_coordinator(here)?;
    run_tasks(&stream, MISSED, Duration::ZERO, INPUT_BYTES).await?;
    let missed = client.member_status().await?.committed;
    run_tasks(&stream, MISSED, Duration::ZERO, INPUT_BYTES).await?;
    across.await??;
    wait_until_cut(&mut cluster, leader, missed).await?;
    cluster.resume_coordinator(here)?;
    run_tasks(&stream, LAST, Duration::ZERO, 1).await?;

    told.until(ALL).await.with_context(|| cluster.tails())?;
    ensure!(told.ended.iter().copied().eq(1..=ALL), "other tasks, too");
    shown.until(|states| ended(states) == FIRST + ACROSS).await.with_context(|| cluster.tails())?;
    ensure!(cluster.written("snapshot installed")? > installed, "no snapshot was needed: nothing is proved");
    stream.close().await?;
    cluster.shutdown().await
}
