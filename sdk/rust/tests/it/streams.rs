//! The host side of a service over our stream, called as our worker calls it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use flame_proto::ha;
use flame_proto::ha::service_down::Frame as Down;
use flame_proto::ha::service_stream_client::ServiceStreamClient;
use flame_proto::ha::service_up::Frame as Up;
use flame_sdk::service::{ApplicationContext, Publisher, SessionContext, TaskContext, serve};
use flame_sdk::{FlameError, FlameService, async_trait};
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Code, Status, Streaming};

/// Nothing here takes so long, unless it never comes.
const SOON: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Echo {
    publisher: Publisher,
    application: Mutex<ApplicationContext>,
    gate: Arc<Notify>,
}

#[async_trait]
impl FlameService for Echo {
    fn publisher(&self) -> Option<&Publisher> {
        Some(&self.publisher)
    }

    async fn on_session_enter(&self, context: SessionContext) -> Result<(), FlameError> {
        self.publisher.publish([context.session_id.clone()])?;
        *self.application.lock().unwrap() = context.application;
        match context.session_id.as_str() {
            "closed" => Err(FlameError::FailedPrecondition("not today".into())),
            _ => Ok(()),
        }
    }

    async fn on_task_invoke(&self, context: TaskContext) -> Result<Option<Bytes>, FlameError> {
        let fence = context.fence.expect("the stream says it");
        match context.input.as_deref() {
            Some(b"fail") => Err(FlameError::Internal("it failed".into())),
            Some(b"panic") => panic!("it panicked"),
            Some(b"who") => {
                let (session, task) = (context.session_id, context.task_id);
                Ok(Some(format!("{session} {task} {} {}", fence.token, fence.attempt).into()))
            }
            Some(b"where") => {
                let application = self.application.lock().unwrap().clone();
                let (folder, url) = (application.working_directory, application.url);
                Ok(Some(format!("{} {folder:?} {url:?} {}", application.name, context.deadline.is_some()).into()))
            }
            Some(b"retract") => {
                self.publisher.retract(["s"])?;
                Ok(None)
            }
            Some(b"wait") => {
                self.gate.notified().await;
                Ok(None)
            }
            Some(b"until cancelled") => {
                context.cancellation.cancelled().await;
                Err(FlameError::Internal("cancelled".into()))
            }
            Some(b"block") => {
                // What user code should not do, and does: it keeps the whole runtime from running.
                futures::executor::block_on(context.cancellation.cancelled());
                Ok(None)
            }
            Some(b"large") => Ok(Some(vec![0; 5 << 20].into())),
            _ => Ok(context.input),
        }
    }
}

/// A service and a stream to it.
struct Scene {
    _folder: TempDir,
    path: PathBuf,
    gate: Arc<Notify>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Result<(), FlameError>>,
    up: mpsc::Sender<ha::ServiceDown>,
    down: Streaming<ha::ServiceUp>,
}

impl Scene {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        let (stop, stopped) = oneshot::channel::<()>();
        let (echo, listening) = (Echo::default(), path.clone());
        let gate = Arc::clone(&echo.gate);
        // A runtime of its own, as a service has: user code may block it.
        let serving = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(serve(echo, &listening, async { drop(stopped.await) }))
        });
        while !path.exists() {
            assert!(!serving.is_finished(), "the service ended early");
            tokio::task::yield_now().await;
        }
        let (up, down) = open(&path).await;
        Self { _folder: folder, path, gate, stop: Some(stop), serving, up, down }
    }

    async fn entered() -> Self {
        let mut scene = Self::start().await;
        scene.enter("s").await;
        scene
    }

    async fn send(&self, frame: Down) {
        self.up.send(ha::ServiceDown { frame: Some(frame) }).await.unwrap();
    }

    async fn next(&mut self) -> Result<Option<Up>, Status> {
        let message = tokio::time::timeout(SOON, self.down.message()).await.expect("an answer comes");
        Ok(message?.and_then(|message| message.frame))
    }

    async fn enter(&mut self, session: &str) -> ha::EnteredSession {
        self.send(Down::Enter(ha::EnterSession { session_id: session.into(), ..Default::default() })).await;
        match self.next().await {
            Ok(Some(Up::Entered(entered))) => entered,
            other => panic!("Entered expected, not {other:?}"),
        }
    }

    /// Hands tasks over; their tokens are 101, 102 … from `first` on.
    async fn invoke(&self, first: u64, inputs: &[&'static str]) {
        let task = |(task, input): (u64, &&'static str)| ha::InvokeTask {
            token: 100 + task,
            task,
            attempt: 2,
            input: Some(Bytes::from_static(input.as_bytes())),
            timeout_ms: 0,
        };
        let tasks = (first..).zip(inputs).map(task).collect();
        self.send(Down::Invoke(ha::InvokeTasks { tasks })).await;
    }

    /// So many answers, over as many frames as it takes.
    async fn answers(&mut self, count: usize) -> Vec<ha::TaskDone> {
        let mut answers = Vec::new();
        while answers.len() < count {
            match self.next().await {
                Ok(Some(Up::Done(done))) => answers.extend(done.done),
                other => panic!("Done expected, not {other:?}"),
            }
        }
        answers
    }

    fn stop(&mut self) {
        self.stop.take().expect("it is stopped once").send(()).unwrap();
    }
}

async fn open(path: &Path) -> (mpsc::Sender<ha::ServiceDown>, Streaming<ha::ServiceUp>) {
    let endpoint = Endpoint::from_shared(format!("unix:{}", path.display())).unwrap();
    // Between bind and listen the file is there and nobody answers.
    let connect = async {
        loop {
            match endpoint.connect().await {
                Ok(channel) => break channel,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let channel = tokio::time::timeout(SOON, connect).await.expect("the service listens");
    let (up, frames) = mpsc::channel(1024);
    let mut client = ServiceStreamClient::new(channel);
    (up, client.run(ReceiverStream::new(frames)).await.unwrap().into_inner())
}

fn tokens(answers: &[ha::TaskDone]) -> Vec<(u64, bool)> {
    answers.iter().map(|done| (done.token, done.skipped)).collect()
}

#[tokio::test]
async fn tasks_are_answered_in_order_whatever_user_code_does() {
    let mut scene = Scene::start().await;
    let refused = scene.enter("closed").await;
    assert_eq!((refused.return_code, refused.message.as_str()), (-1, "not today"));
    let entered = scene.enter("s").await;
    assert_eq!((entered.return_code, entered.publish), (0, vec!["closed".into(), "s".into()]));
    assert!(entered.in_flight_max > 1);

    scene.invoke(1, &["echo", "", "fail", "panic", "who", "retract", "large", "last"]).await;
    let done = scene.answers(8).await;
    assert_eq!(tokens(&done), (101..109).map(|token| (token, false)).collect::<Vec<_>>());
    assert_eq!(done[0].output.as_deref(), Some(&b"echo"[..]));
    assert_eq!(done[1].output.as_deref(), Some(&b""[..]), "an empty output is present");
    assert_eq!((done[2].return_code, done[2].message.as_deref()), (-1, Some("it failed")));
    assert_eq!((done[3].return_code, done[3].message.as_deref()), (-1, Some("the service panicked: it panicked")));
    assert_eq!(done[4].output.as_deref(), Some(&b"s 5 105 2"[..]), "user code can fence its side effects");
    assert_eq!((&done[5].publish, &done[5].retract), (&vec![], &vec![Bytes::from_static(b"s")]));
    assert!(
        done[6].return_code == -1 && done[6].message.as_ref().unwrap().contains("at most"),
        "{:?}",
        done[6].message
    );
    assert_eq!(done[7].output.as_deref(), Some(&b"last"[..]), "a result that is too large harms no other");

    scene.send(Down::Leave(ha::LeaveSession {})).await;
    assert_eq!(scene.next().await.unwrap(), Some(Up::Left(ha::LeftSession::default())));
}

#[tokio::test]
async fn user_code_knows_its_application_and_how_long_it_may_run() {
    let mut scene = Scene::start().await;
    let enter = ha::EnterSession {
        session_id: "s".into(),
        application: "a".into(),
        working_directory: Some("/srv".into()),
        url: Some("file:///a.tar.gz".into()),
        ..Default::default()
    };
    scene.send(Down::Enter(enter)).await;
    assert!(matches!(scene.next().await, Ok(Some(Up::Entered(_)))));
    let task =
        |token, timeout_ms| ha::InvokeTask { token, timeout_ms, input: Some("where".into()), ..Default::default() };
    scene.send(Down::Invoke(ha::InvokeTasks { tasks: vec![task(1, 0), task(2, 60_000)] })).await;
    let done = scene.answers(2).await;
    let texts: Vec<_> = done.iter().map(|done| String::from_utf8_lossy(done.output.as_deref().unwrap())).collect();
    let known = "a Some(\"/srv\") Some(\"file:///a.tar.gz\")";
    assert_eq!(texts, [format!("{known} false"), format!("{known} true")]);
}

/// Tasks of which the first has been answered: so the second runs.
async fn second_runs(inputs: &[&'static str]) -> Scene {
    let mut scene = Scene::entered().await;
    scene.invoke(1, inputs).await;
    assert_eq!(tokens(&scene.answers(1).await), [(101, false)]);
    scene
}

#[tokio::test]
async fn what_runs_hears_of_its_cancellation_and_what_waits_is_skipped() {
    let mut scene = second_runs(&["", "until cancelled", "three", "four"]).await;
    scene.send(Down::Cancel(ha::CancelInvoke { token: 103 })).await;
    assert_eq!(tokens(&scene.answers(1).await), [(103, true)]);
    scene.send(Down::Cancel(ha::CancelInvoke { token: 102 })).await;
    let done = scene.answers(2).await;
    assert_eq!(tokens(&done), [(102, false), (104, false)]);
    assert_eq!(done[0].message.as_deref(), Some("cancelled"));
}

#[tokio::test]
async fn what_has_not_begun_is_given_back_on_demand() {
    let mut scene = second_runs(&["", "wait", "three", "four"]).await;
    scene.send(Down::Withdraw(ha::WithdrawTasks {})).await;
    assert_eq!(tokens(&scene.answers(2).await), [(103, true), (104, true)]);
    scene.invoke(5, &["five"]).await;
    scene.gate.notify_one();
    assert_eq!(tokens(&scene.answers(2).await), [(102, false), (105, false)]);
}

#[tokio::test]
async fn user_code_that_blocks_its_thread_holds_up_neither_results_nor_orders() {
    let mut scene = second_runs(&["", "block", "three"]).await;
    scene.send(Down::Cancel(ha::CancelInvoke { token: 103 })).await;
    assert_eq!(tokens(&scene.answers(1).await), [(103, true)]);
    scene.send(Down::Cancel(ha::CancelInvoke { token: 102 })).await;
    assert_eq!(tokens(&scene.answers(1).await), [(102, false)]);
}

#[tokio::test]
async fn a_stop_answers_what_runs_and_skips_the_rest() {
    let mut scene = second_runs(&["", "wait", "three"]).await;
    scene.stop();
    assert_eq!(tokens(&scene.answers(1).await), [(103, true)]);
    scene.gate.notify_one();
    assert_eq!(tokens(&scene.answers(1).await), [(102, false)]);
    assert_eq!(scene.next().await.unwrap(), None, "then the stream ends");
    drop(scene.up);
    drop(scene.down);
    tokio::task::spawn_blocking(|| scene.serving.join().unwrap()).await.unwrap().unwrap();
    assert!(!scene.path.exists(), "the socket is removed");
}

#[tokio::test]
async fn a_worker_that_does_not_keep_to_the_limit_is_sent_away() {
    let mut scene = Scene::start().await;
    let entered = scene.enter("s").await;
    let most = usize::try_from(entered.in_flight_max).unwrap();
    scene.invoke(1, &vec!["wait"; most + 1]).await;
    let status = scene.next().await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
}
