//! One call for one task, at a node without workers: what is submitted stays until it is cancelled.

use std::time::Duration;

use flame_coordinator::node::Parts;
use flame_proto::ha::cluster_client::ClusterClient;
use flame_proto::ha::run_task::Which;
use flame_proto::ha::sessions_client::SessionsClient;
use flame_proto::v1::frontend_client::FrontendClient;
use flame_proto::{ha, v1};
use tempfile::TempDir;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

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
    assert_eq!(code(node.run("s", submit("b"), Some(7), SOON).await), Code::AlreadyExists, "the key of another input");
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
