//! One call for one task: at a node without workers, where what is submitted stays until it is cancelled; and with a worker
//! of this process, which gets short tasks before their entries.

use std::time::Duration;

use flame_coordinator::node::Parts;
use flame_machine::{FEATURE_LEVEL, State};
use flame_proto::ha::cluster_client::ClusterClient;
use flame_proto::ha::run_task::Which;
use flame_proto::ha::sessions_client::SessionsClient;
use flame_proto::ha::worker_hub_client::WorkerHubClient;
use flame_proto::ha::{worker_down, worker_up};
use flame_proto::v1::frontend_client::FrontendClient;
use flame_proto::{ha, v1};
use flame_types::{SessionKey, TaskNo};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::consensus::harness::eventually;
use crate::served::{alone, serve};

/// A caller that wants to know soon.
const SOON: Duration = Duration::from_millis(200);

/// One that waits.
const LATER: Duration = Duration::from_secs(20);

struct Node {
    parts: Parts,
    channel: Channel,
    _dir: TempDir,
}

impl Node {
    /// With an open session `s`.
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let parts = Parts::start(&alone(dir.path())).await.unwrap();
        parts.consensus.bootstrap().await.unwrap();
        let channel = serve(&parts).await;
        let node = Self { parts, channel, _dir: dir };
        eventually("the session is open", async || {
            let session = Some(v1::SessionSpec { application: "flmping".into(), ..v1::SessionSpec::default() });
            let request = v1::CreateSessionRequest { session_id: "s".into(), session };
            node.frontend().create_session(request).await.ok()
        })
        .await;
        node
    }

    fn frontend(&self) -> FrontendClient<Channel> {
        FrontendClient::new(self.channel.clone())
    }

    async fn run(
        &self,
        session: &str,
        which: Option<Which>,
        key: Option<u8>,
        patience: Duration,
    ) -> Result<ha::RanTask, Status> {
        let mut request = Request::new(ha::RunTask { session_id: session.into(), which, options: None });
        request.set_timeout(patience);
        if let Some(key) = key {
            let key = MetadataValue::from_bytes(&[key; 16]);
            request.metadata_mut().insert_bin("flame-idempotency-key-bin", key);
        }
        SessionsClient::new(self.channel.clone()).run(request).await.map(Response::into_inner)
    }

    async fn cancel(&self, task: u64) {
        let request = ha::CancelTaskRequest { session_id: "s".into(), task_id: task.to_string() };
        ClusterClient::new(self.channel.clone()).cancel_task(request).await.unwrap();
    }
}

/// A worker with one executor.
struct Worker {
    up: mpsc::Sender<ha::WorkerUp>,
    down: Streaming<ha::WorkerDown>,
}

impl Worker {
    /// One that serves the session, and has run a task of it which took so long.
    async fn with_a_task_behind_it(node: &Node, ran_us: u64) -> Self {
        let (up, frames) = mpsc::channel(8);
        let mut hub = WorkerHubClient::new(node.channel.clone());
        let hello = ha::Hello {
            feature_level: FEATURE_LEVEL,
            node: "w1".into(),
            started_ms: 1,
            nonce: 1,
            hello: 1,
            capacity: Some(ha::Resources { cpu: 1, memory: 4 << 30, gpu: 0 }),
            shims: vec![0],
            ..ha::Hello::default()
        };
        up.send(ha::WorkerUp { frame: Some(worker_up::Frame::Hello(hello)) }).await.unwrap();
        let down = hub.attach(ReceiverStream::new(frames)).await.unwrap().into_inner();
        let mut worker = Self { up, down };
        let (ran, ()) = tokio::join!(node.run("s", submit("a"), Some(0), LATER), async {
            let task = worker.task().await;
            worker.complete(&task, ran_us).await;
        });
        assert_eq!(ran.unwrap().task, 1);
        worker
    }

    async fn say(&self, frame: worker_up::Frame) {
        self.up.send(ha::WorkerUp { frame: Some(frame) }).await.unwrap();
    }

    /// The next task; executors that are to be started are ready at once.
    async fn task(&mut self) -> ha::Task {
        loop {
            match self.down.message().await.unwrap().unwrap().frame {
                Some(worker_down::Frame::Start(start)) => {
                    let (executor, session) = (start.executor, start.session);
                    self.say(worker_up::Frame::Ready(ha::ExecutorReady { executor, session, attributes: None })).await;
                }
                Some(worker_down::Frame::Assign(mut assign)) => {
                    assert_eq!(assign.tasks.len(), 1);
                    return assign.tasks.remove(0);
                }
                _ => {}
            }
        }
    }

    async fn complete(&self, task: &ha::Task, ran_us: u64) {
        let (token, output) = (task.token, task.input.clone());
        let done = ha::Completion { token, succeed: true, output, ran_us, ..ha::Completion::default() };
        self.say(worker_up::Frame::Complete(ha::Complete { done: vec![done] })).await;
    }
}

/// The token of a task of the session, as the state has it.
async fn assigned(node: &Node, task: u64) -> Option<u64> {
    let look = move |state: &State| state.sessions()[&SessionKey(1)].assigned.get(&TaskNo(task)).map(|token| token.0);
    node.parts.gateway.with_state(look).await.unwrap()
}

/// How many entries were applied.
fn entries(node: &Node) -> u64 {
    node.parts.consensus.applied_index().borrow().0
}

fn submit(input: &'static str) -> Option<Which> {
    Some(Which::Submit(ha::TaskInput { input: Some(input.into()) }))
}

fn code(answer: Result<ha::RanTask, Status>) -> Code {
    answer.unwrap_err().code()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_submitted_once_however_often_it_is_asked_for() {
    let node = Node::start().await;
    for _ in 0..3 {
        let answer = node.run("s", submit("a"), Some(7), SOON).await.unwrap();
        assert_eq!(answer, ha::RanTask { task: 1, result: None }, "it has not ended");
    }
    assert_eq!(node.run("s", submit("a"), Some(8), SOON).await.unwrap().task, 2, "another key is another task");
    assert_eq!(node.run("s", submit("a"), None, SOON).await.unwrap().task, 3);
    assert_eq!(
        code(node.run("s", submit("b"), Some(7), SOON).await),
        Code::InvalidArgument,
        "the key of another input"
    );
    node.parts.consensus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_is_told_of_the_end() {
    let node = Node::start().await;
    let cancelled = |task| {
        let state = v1::TaskState::Cancelled.into();
        ha::RanTask { task, result: Some(ha::TaskResult { task, state, output: None, message: None }) }
    };
    assert_eq!(node.run("s", submit("a"), Some(1), SOON).await.unwrap().result, None);
    let (again, by_number, ()) = tokio::join!(
        node.run("s", submit("a"), Some(1), LATER),
        node.run("s", Some(Which::Wait(1)), None, LATER),
        node.cancel(1),
    );
    let told = |answer: Result<ha::RanTask, Status>| {
        let mut answer = answer.unwrap();
        let message = answer.result.as_mut().and_then(|result| result.message.take());
        (answer, message)
    };
    let (again, by_number) = (told(again), told(by_number));
    assert_eq!((&again.0, &again), (&cancelled(1), &by_number));
    // And whoever comes later finds it recorded.
    assert_eq!(told(node.run("s", Some(Which::Wait(1)), None, LATER).await).0, cancelled(1));
    assert_eq!(told(node.run("s", submit("a"), Some(1), LATER).await).0, cancelled(1));
    node.parts.consensus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_run_is_refused_at_once() {
    let node = Node::start().await;
    assert_eq!(code(node.run("s", None, None, LATER).await), Code::InvalidArgument);
    assert_eq!(code(node.run("s", Some(Which::Wait(1)), None, LATER).await), Code::NotFound);
    assert_eq!(code(node.run("t", submit("a"), None, LATER).await), Code::NotFound);
    assert_eq!(code(node.run("t", Some(Which::Wait(1)), None, LATER).await), Code::NotFound);
    node.run("s", submit("a"), None, SOON).await.unwrap();
    let waiting = node.run("s", Some(Which::Wait(1)), None, LATER);
    let gone = async {
        node.frontend().close_session(v1::CloseSessionRequest { session_id: "s".into() }).await.unwrap();
    };
    let (waited, ()) = tokio::join!(waiting, gone);
    assert_eq!(waited.unwrap().result.unwrap().state, i32::from(v1::TaskState::Cancelled), "with its session");
    assert_ne!(code(node.run("s", submit("a"), None, LATER).await), Code::Unavailable, "the session is closed");
    node.parts.consensus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_task_and_its_result_are_one_entry() {
    let node = Node::start().await;
    let mut worker = Worker::with_a_task_behind_it(&node, 50).await;
    let mut in_one = 0;
    for number in 1..=20 {
        let before = entries(&node);
        let (ran, ()) = tokio::join!(node.run("s", submit("b"), Some(number), LATER), async {
            let task = worker.task().await;
            assert_eq!((task.task, task.attempt), (u64::from(number) + 1, 1));
            worker.complete(&task, 50).await;
        });
        let result = ran.unwrap().result.unwrap();
        assert_eq!((result.task, result.output.as_deref()), (u64::from(number) + 1, Some(&b"b"[..])));
        in_one += u32::from(entries(&node) == before + 1);
    }
    // Now and then the leader has something of its own to write, or this process is not let run.
    assert!(in_one > 0, "each took two entries");
    node.parts.consensus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_does_not_come_soon_is_an_entry_of_its_own() {
    let node = Node::start().await;
    let mut worker = Worker::with_a_task_behind_it(&node, 50).await;
    let (ran, ()) = tokio::join!(node.run("s", submit("b"), Some(1), LATER), async {
        let task = worker.task().await;
        eventually("the task is recorded while it runs", async || {
            assigned(&node, 2).await.map(|token| assert_eq!(token, task.token))
        })
        .await;
        worker.complete(&task, 50).await;
    });
    assert_eq!(ran.unwrap().result.unwrap().output.as_deref(), Some(&b"b"[..]));
    node.parts.consensus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_task_goes_out_when_it_is_recorded() {
    let node = Node::start().await;
    let mut worker = Worker::with_a_task_behind_it(&node, 60_000_000).await;
    for number in 1..=3 {
        let (ran, ()) = tokio::join!(node.run("s", submit("b"), Some(number), LATER), async {
            let task = worker.task().await;
            assert_eq!(assigned(&node, task.task).await, Some(task.token), "recorded before its worker hears of it");
            worker.complete(&task, 60_000_000).await;
        });
        assert!(ran.unwrap().result.is_some());
    }
    node.parts.consensus.shutdown().await;
}
