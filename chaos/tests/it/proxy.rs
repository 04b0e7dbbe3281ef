//! Unmodified clients behind `flmctl proxy`: they know one endpoint, never try again, and take every end of a stream for
//! the end. Every coordinator dies and comes back meanwhile, and they notice nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_chaos::service;
use flame_proto::v1;
use flame_proto::v1::frontend_client::FrontendClient;
use flame_testkit::{Binaries, Cluster, ClusterOptions, wait_until};
use flame_types::TaskState;
use rustix::process::Signal;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::programs::Running;

const APPLICATION: &str = "echo";
const SESSION: &str = "behind-a-proxy";

/// Nothing that one client waits for takes so long, whoever dies.
const LIMIT: Duration = Duration::from_secs(60);

/// What must go on after every death and every return, of each kind of client.
const PROGRESS: u64 = 40;

/// How long a task takes, in turn: some end at once, some are watched for a while.
const TAKES_MS: [u64; 4] = [0, 5, 40, 300];

/// The published client: one connection to the proxy.
type Published = FrontendClient<Channel>;

/// What is done over and over, and how often it was.
#[derive(Default)]
struct Progress {
    submitted: AtomicU64,
    watched_alone: AtomicU64,
    watched_together: AtomicU64,
    listed: AtomicU64,
    changed: AtomicU64,
}

impl Progress {
    fn counts(&self) -> [u64; 5] {
        [&self.submitted, &self.watched_alone, &self.watched_together, &self.listed, &self.changed]
            .map(|count| count.load(Ordering::Relaxed))
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

struct Scene {
    endpoint: String,
    progress: Progress,
    stop: CancellationToken,
}

impl Scene {
    async fn client(&self) -> Result<Published> {
        Ok(FrontendClient::connect(self.endpoint.clone()).await?)
    }
}

async fn within<T>(what: &str, call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>) -> Result<T> {
    let answer = timeout(LIMIT, call).await.with_context(|| format!("{what}: no answer"))?;
    Ok(answer.with_context(|| what.to_owned())?.into_inner())
}

fn input(number: u64) -> bytes::Bytes {
    let takes = TAKES_MS[usize::try_from(number).unwrap_or_default() % TAKES_MS.len()];
    service::input(&format!("task-{number}"), Duration::from_millis(takes))
}

fn parts(task: v1::Task) -> Result<(u64, TaskState, Option<bytes::Bytes>)> {
    let number = task.metadata.context("a task without an id")?.id.parse()?;
    let state = TaskState::from_number(task.status.context("a task without a state")?.state);
    Ok((number, state.context("an unknown state")?, task.spec.and_then(|spec| spec.output)))
}

/// A state that a client is told: it goes on from the one before.
fn goes_on(task: u64, before: Option<TaskState>, state: TaskState) -> Result<()> {
    let is_new = before.is_none_or(|before| before.number() < state.number() && !before.is_terminal());
    ensure!(is_new, "task {task} was {before:?} and is {state:?}");
    Ok(())
}

/// Submits and watches each task on a stream of its own, as clients of 0.6 do; gives every task's number with its input.
async fn submit_and_watch(scene: Arc<Scene>, registered: mpsc::Sender<u64>) -> Result<BTreeMap<u64, u64>> {
    let mut client = scene.client().await?;
    let mut watches: Vec<JoinHandle<Result<()>>> = Vec::new();
    let mut submitted = BTreeMap::new();
    for number in 0.. {
        if scene.stop.is_cancelled() {
            break;
        }
        let spec = v1::TaskSpec { session_id: SESSION.into(), input: Some(input(number)), ..Default::default() };
        let task = within("CreateTask", client.create_task(v1::CreateTaskRequest { task: Some(spec) })).await?;
        let (task, _, _) = parts(task)?;
        ensure!(submitted.insert(task, number).is_none(), "task {task} was made twice");
        count(&scene.progress.submitted);
        registered.send(task).await?;
        watches.push(tokio::spawn(watch_alone(Arc::clone(&scene), client.clone(), task, number)));
        // As many as a published client watches at a time.
        while watches.len() >= 10 {
            watches.remove(0).await??;
        }
    }
    for watch in watches {
        watch.await??;
    }
    Ok(submitted)
}

async fn watch_alone(scene: Arc<Scene>, mut client: Published, task: u64, number: u64) -> Result<()> {
    let request = v1::WatchTaskRequest { task_id: task.to_string(), session_id: SESSION.into() };
    let mut updates = within("WatchTask", client.watch_task(request)).await?;
    let mut last = None;
    while let Some(update) = timeout(LIMIT, updates.message()).await.context("nothing is told")?? {
        let (told, state, output) = parts(update)?;
        ensure!(told == task, "task {told} is told on the watch of {task}");
        goes_on(task, last, state)?;
        last = Some(state);
        if state.is_terminal() {
            ensure!(output.as_ref() == Some(&input(number)), "task {task} gave {output:?}");
        }
    }
    ensure!(last == Some(TaskState::Succeed), "the watch of task {task} ended with {last:?}");
    count(&scene.progress.watched_alone);
    Ok(())
}

/// One stream for all tasks, open all the time, as clients of 0.7 have it.
async fn watch_together(scene: Arc<Scene>, mut tasks: mpsc::Receiver<u64>) -> Result<u64> {
    let (register, registrations) = mpsc::channel(64);
    let mut client = scene.client().await?;
    let mut updates = within("WatchTasks", client.watch_tasks(ReceiverStream::new(registrations))).await?;
    let registering = tokio::spawn(async move {
        while let Some(task) = tasks.recv().await {
            let request = v1::WatchTaskRequest { task_id: task.to_string(), session_id: SESSION.into() };
            register.send(request).await?;
        }
        Ok::<_, anyhow::Error>(())
    });
    let mut states: BTreeMap<u64, TaskState> = BTreeMap::new();
    while let Some(update) = next(&scene, &mut updates).await? {
        let (task, state, _) = parts(update)?;
        goes_on(task, states.insert(task, state), state)?;
        if state.is_terminal() {
            count(&scene.progress.watched_together);
        }
    }
    registering.await??;
    let open = states.iter().find(|(_, state)| **state != TaskState::Succeed);
    ensure!(open.is_none(), "the stream ended, and a task had not: {open:?}");
    Ok(states.len() as u64)
}

async fn next(scene: &Scene, updates: &mut Streaming<v1::Task>) -> Result<Option<v1::Task>> {
    let update = timeout(LIMIT, updates.message()).await;
    update.with_context(|| format!("nothing is told; so far {:?}", scene.progress.counts()))?.context("WatchTasks")
}

/// Lists all tasks by both names, from the first to the last, none twice.
async fn list(scene: Arc<Scene>) -> Result<()> {
    let mut client = scene.client().await?;
    while !scene.stop.is_cancelled() {
        let made = scene.progress.submitted.load(Ordering::Relaxed);
        let session_id = SESSION.to_owned();
        let new = within("ListTasks", client.list_tasks(v1::ListTasksRequest { session_id: session_id.clone() }));
        let new = numbers(new.await?).await?;
        let old = numbers(within("ListTask", client.list_task(v1::ListTaskRequest { session_id })).await?).await?;
        for listed in [new, old] {
            ensure!(listed.windows(2).all(|pair| pair[0] < pair[1]), "twice, or not in order: {listed:?}");
            ensure!(listed.len() as u64 >= made, "{} of {made} tasks are listed", listed.len());
        }
        count(&scene.progress.listed);
    }
    Ok(())
}

async fn numbers(mut listing: Streaming<v1::Task>) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    while let Some(task) = timeout(LIMIT, listing.message()).await.context("the listing stands still")?? {
        numbers.push(parts(task)?.0);
    }
    Ok(numbers)
}

/// Every other call, again and again, each with its answer.
async fn call_everything(scene: Arc<Scene>) -> Result<()> {
    let mut client = scene.client().await?;
    for round in 0.. {
        if scene.stop.is_cancelled() {
            break;
        }
        applications(&mut client, &format!("app-{round}")).await?;
        sessions(&mut client, &format!("session-{round}")).await?;
        lists(&mut client).await?;
        count(&scene.progress.changed);
    }
    Ok(())
}

async fn applications(client: &mut Published, name: &str) -> Result<()> {
    let name = || name.to_owned();
    let application = |image: &str| Some(v1::ApplicationSpec { image: Some(image.to_owned()), ..echo() });
    let done = |result: v1::Result| {
        ensure!(result.return_code == 0, "{result:?}");
        Ok(())
    };
    let request = v1::RegisterApplicationRequest { name: name(), application: application("one") };
    done(within("RegisterApplication", client.register_application(request)).await?)?;
    let request = v1::UpdateApplicationRequest { name: name(), application: application("two") };
    done(within("UpdateApplication", client.update_application(request)).await?)?;
    let get = v1::GetApplicationRequest { name: name() };
    let found = within("GetApplication", client.get_application(get)).await?;
    ensure!(found.spec.and_then(|spec| spec.image).as_deref() == Some("two"), "it is not what it was made");
    let request = v1::UnregisterApplicationRequest { name: name() };
    done(within("UnregisterApplication", client.unregister_application(request)).await?)
}

async fn sessions(client: &mut Published, id: &str) -> Result<()> {
    let id = || id.to_owned();
    let spec = || v1::SessionSpec { application: APPLICATION.to_owned(), batch_size: 1, ..Default::default() };
    let is_named = |session: v1::Session| {
        ensure!(session.metadata.as_ref().is_some_and(|metadata| metadata.id == id()), "{session:?}");
        Ok(())
    };
    let request = v1::CreateSessionRequest { session_id: id(), session: Some(spec()) };
    is_named(within("CreateSession", client.create_session(request)).await?)?;
    let request = v1::OpenSessionRequest { session_id: id(), session: Some(spec()) };
    is_named(within("OpenSession", client.open_session(request)).await?)?;
    is_named(within("SuspendSession", client.suspend_session(v1::SuspendSessionRequest { session_id: id() })).await?)?;
    is_named(within("ResumeSession", client.resume_session(v1::ResumeSessionRequest { session_id: id() })).await?)?;
    is_named(within("GetSession", client.get_session(v1::GetSessionRequest { session_id: id() })).await?)?;
    is_named(within("CloseSession", client.close_session(v1::CloseSessionRequest { session_id: id() })).await?)?;
    is_named(within("DeleteSession", client.delete_session(v1::DeleteSessionRequest { session_id: id() })).await?)?;
    let gone = timeout(LIMIT, client.get_session(v1::GetSessionRequest { session_id: id() })).await?;
    let code = gone.err().map(|status| status.code());
    ensure!(code == Some(tonic::Code::NotFound), "it was deleted, and GetSession says {code:?}");
    Ok(())
}

async fn lists(client: &mut Published) -> Result<()> {
    let found = within("ListSessions", client.list_sessions(v1::ListSessionsRequest::default())).await?;
    ensure!(!found.sessions.is_empty(), "no session");
    let found = within("ListSession", client.list_session(v1::ListSessionRequest {})).await?;
    ensure!(!found.sessions.is_empty(), "no session");
    let found = within("ListApplications", client.list_applications(v1::ListApplicationsRequest::default())).await?;
    ensure!(!found.applications.is_empty(), "no application");
    let found = within("ListApplication", client.list_application(v1::ListApplicationRequest {})).await?;
    ensure!(!found.applications.is_empty(), "no application");
    let nodes = within("ListNodes", client.list_nodes(v1::ListNodesRequest {})).await?;
    let node = nodes.nodes.first().and_then(|node| node.metadata.clone()).context("no node")?;
    within("GetNode", client.get_node(v1::GetNodeRequest { name: node.name })).await?;
    within("ListExecutors", client.list_executors(v1::ListExecutorsRequest {})).await?;
    within("ListExecutor", client.list_executor(v1::ListExecutorRequest {})).await?;
    let request = v1::GetTaskRequest { task_id: "1".into(), session_id: SESSION.into() };
    let (number, ..) = parts(within("GetTask", client.get_task(request)).await?)?;
    ensure!(number == 1, "task {number} is not task 1");
    Ok(())
}

fn echo() -> v1::ApplicationSpec {
    let nowhere = v1::Environment { name: service::LOG_VARIABLE.to_owned(), value: "/dev/null".to_owned() };
    v1::ApplicationSpec { environments: vec![nowhere], ..Default::default() }
}

/// The session that is worked on; its clients are those of the proxy as well.
async fn prepare(scene: &Scene) -> Result<()> {
    let mut client = scene.client().await?;
    let command = Some(Binaries::find()?.path("flame-chaos")?.display().to_string());
    let application = v1::ApplicationSpec { command, arguments: vec!["service".to_owned()], ..echo() };
    let request = v1::RegisterApplicationRequest { name: APPLICATION.to_owned(), application: Some(application) };
    within("RegisterApplication", client.register_application(request)).await?;
    let session = v1::SessionSpec { application: APPLICATION.to_owned(), batch_size: 1, ..Default::default() };
    let request = v1::CreateSessionRequest { session_id: SESSION.to_owned(), session: Some(session) };
    within("CreateSession", client.create_session(request)).await?;
    let spec = v1::TaskSpec { session_id: SESSION.into(), input: Some(input(0)), ..Default::default() };
    within("CreateTask", client.create_task(v1::CreateTaskRequest { task: Some(spec) })).await?;
    Ok(())
}

async fn proxy_of(cluster: &Cluster) -> Result<(Running, String)> {
    let mut words = vec!["proxy".to_owned()];
    words.extend(cluster.endpoints().into_iter().flat_map(|endpoint| ["--endpoint".to_owned(), endpoint]));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut proxy = Running::start("flmctl", &words)?;
    proxy.says("Ctrl-C ends it").await?;
    let endpoint = proxy.stdout().lines().next().context("it says no address")?.to_owned();
    Ok((proxy, endpoint))
}

/// Everybody gets on.
async fn everybody_gets_on(scene: &Scene, clients: &[&JoinHandle<Result<()>>]) -> Result<()> {
    let before = scene.progress.counts();
    let wanted = [PROGRESS, PROGRESS, PROGRESS, 2, 2];
    wait_until(2 * LIMIT, "every kind of client gets on", || async {
        // Whoever has failed says why at the end.
        let nobody_failed = clients.iter().all(|client| !client.is_finished());
        let now = scene.progress.counts();
        let enough = (0..now.len()).all(|kind| now[kind] >= before[kind] + wanted[kind]);
        ensure!(enough || !nobody_failed, "from {before:?} to {now:?}");
        Ok(())
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn unmodified_clients_live_through_the_loss_of_every_coordinator() -> Result<()> {
    let mut cluster = Cluster::start(ClusterOptions::default()).await?;
    let (proxy, endpoint) = proxy_of(&cluster).await?;
    let scene = Arc::new(Scene { endpoint, progress: Progress::default(), stop: CancellationToken::new() });
    prepare(&scene).await?;

    let (register, registered) = mpsc::channel(64);
    let submitting = tokio::spawn(submit_and_watch(Arc::clone(&scene), register));
    let together = tokio::spawn(watch_together(Arc::clone(&scene), registered));
    let listing = tokio::spawn(list(Arc::clone(&scene)));
    let calling = tokio::spawn(call_everything(Arc::clone(&scene)));
    let clients = [&listing, &calling];
    everybody_gets_on(&scene, &clients).await?;
    for id in cluster.coordinator_ids() {
        cluster.kill_coordinator(id).await?;
        cluster.leader().await?;
        everybody_gets_on(&scene, &clients).await.with_context(|| format!("without coordinator {id}"))?;
        cluster.start_coordinator(id).await?;
        everybody_gets_on(&scene, &clients).await.with_context(|| format!("with coordinator {id} again"))?;
    }
    scene.stop.cancel();

    listing.await?.context("the lists")?;
    calling.await?.context("all the other calls")?;
    let submitted = submitting.await?.context("submits and watches of one task")?;
    let watched = together.await?.context("the watch of many")?;
    ensure!(watched == submitted.len() as u64, "{watched} of {} tasks were watched to their end", submitted.len());
    // None more than were asked for: no submit was done twice.
    let request = v1::ListTasksRequest { session_id: SESSION.into() };
    let listed = numbers(within("ListTasks", scene.client().await?.list_tasks(request)).await?).await?;
    ensure!(listed.len() == submitted.len() + 1, "{} tasks of {} submits", listed.len(), submitted.len() + 1);
    eprintln!("{:?} in all", scene.progress.counts());
    proxy.end_by(Signal::TERM).await?.with_code(0)?;
    cluster.shutdown().await
}
