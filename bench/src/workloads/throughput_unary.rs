//! `throughput-unary`: the same tasks in the way of the published Rust client: a `CreateTask` call for each, and one
//! `WatchTasks` stream for the results.
//!
//! It calls the published API itself, whatever our SDK does by now.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use flame_proto::v1;
use flame_proto::v1::frontend_client::FrontendClient;
use flame_sdk::model::Task;
use flame_types::TaskState;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use crate::client::{Series, check};
use crate::meter;
use crate::payload;
use crate::scene::Scene;
use crate::settings::Settings;
use crate::workloads::Outcome;

const TASKS: u64 = 30_000;
const EXECUTORS: u32 = 2;
const WARM_UP: u64 = 200;

/// Calls under way at a time.
const CALLS_OPEN_MAX: usize = 256;

/// Registrations that wait for the stream to take them.
const REGISTRATIONS_MAX: usize = 1_024;

/// For an answer to any one call, or the next message of the stream.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// One run.
pub async fn run(settings: Settings) -> Result<Outcome> {
    let tasks = settings.tasks_or(TASKS);
    let scene = Scene::start(EXECUTORS, &settings).await?;
    let session = scene.echo_session(EXECUTORS).await?;
    let channel = Endpoint::from_shared(scene.endpoint())?.tcp_nodelay(true).connect().await?;
    let client = Unary { frontend: FrontendClient::new(channel), session };
    client.all(0, WARM_UP).await?;
    let figures = meter::series(&scene, &settings, client.all(WARM_UP, tasks)).await?;
    scene.end(figures).await
}

/// A client of the published API.
struct Unary {
    frontend: FrontendClient<Channel>,
    session: String,
}

/// Tasks that have been submitted and have not ended: their numbers among the inputs, and since when.
type Open = Mutex<HashMap<String, (u64, Instant)>>;

impl Unary {
    async fn all(&self, first: u64, count: u64) -> Result<Series> {
        let open = Open::default();
        let (registrations, outgoing) = mpsc::channel(REGISTRATIONS_MAX);
        let began = Instant::now();
        let submitting = async {
            self.submit(first, count, &open, &registrations).await?;
            Ok(began.elapsed())
        };
        let collecting = async {
            // The server may hold its answer back until the first registration has come.
            let updates = self.frontend.clone().watch_tasks(ReceiverStream::new(outgoing)).await;
            collect(updates.context("watch the tasks")?.into_inner(), count, &open).await
        };
        let (acknowledged, latencies) = futures::try_join!(submitting, collecting)?;
        Ok(Series { took: began.elapsed(), acknowledged: Some(acknowledged), latencies })
    }

    async fn submit(
        &self,
        first: u64,
        count: u64,
        open: &Open,
        registrations: &mpsc::Sender<v1::WatchTaskRequest>,
    ) -> Result<()> {
        let submits = stream::iter(first..first + count).map(|number| async move {
            let at = Instant::now();
            let input = Some(payload::input(number));
            let spec = v1::TaskSpec { session_id: self.session.clone(), input, output: None, affinity: Vec::new() };
            let call = async {
                let task = self.frontend.clone().create_task(v1::CreateTaskRequest { task: Some(spec) }).await;
                task.context("a submit was refused")?.into_inner().metadata.context("a task without an id")
            };
            let task = tokio::time::timeout(ANSWER_LIMIT, call).await.context("a submit was not answered")??.id;
            open.lock().unwrap_or_else(PoisonError::into_inner).insert(task.clone(), (number, at));
            let request = v1::WatchTaskRequest { task_id: task, session_id: self.session.clone() };
            registrations.send(request).await.context("the watch has ended")
        });
        submits.buffer_unordered(CALLS_OPEN_MAX).try_for_each(|()| async { Ok(()) }).await
    }
}

async fn collect(mut updates: Streaming<v1::Task>, count: u64, open: &Open) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    while (latencies.len() as u64) < count {
        let update = tokio::time::timeout(ANSWER_LIMIT, updates.try_next()).await.context("no result came")?;
        let task: Task = update?.context("the watch ended before all results had come")?.try_into()?;
        if !task.is_terminal() {
            continue;
        }
        // A task may be told twice: at its registration, and when it ends.
        let submitted = open.lock().unwrap_or_else(PoisonError::into_inner).remove(&task.metadata.id);
        let Some((number, at)) = submitted else { continue };
        let succeeded = task.status.state.is(TaskState::Succeed);
        check(succeeded, task.spec.output.as_ref(), task.failure(), number)?;
        latencies.push(at.elapsed());
    }
    Ok(latencies)
}
