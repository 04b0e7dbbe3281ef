//! The host side of a service, called as a worker calls it.

use std::path::Path;

use bytes::Bytes;
use flame_proto::v1;
use flame_proto::v1::instance_client::InstanceClient;
use flame_sdk::service::{SessionContext, TaskContext, serve};
use flame_sdk::{FlameError, FlameService, async_trait};
use tokio::sync::oneshot;
use tonic::transport::{Channel, Endpoint};

struct Echo;

#[async_trait]
impl FlameService for Echo {
    async fn on_session_enter(&self, context: SessionContext) -> Result<(), FlameError> {
        match context.session_id.as_str() {
            "closed" => Err(FlameError::FailedPrecondition("not today".into())),
            _ => Ok(()),
        }
    }

    async fn on_task_invoke(&self, context: TaskContext) -> Result<Option<Bytes>, FlameError> {
        match context.input.as_deref() {
            Some(b"fail") => Err(FlameError::Internal("it failed".into())),
            Some(b"panic") => panic!("it panicked"),
            _ => Ok(context.input),
        }
    }
}

async fn client(path: &Path) -> InstanceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("unix:{}", path.display())).unwrap();
    let limit = 64 * 1024 * 1024;
    InstanceClient::new(endpoint.connect().await.unwrap()).max_decoding_message_size(limit)
}

fn input(bytes: impl Into<Bytes>) -> v1::TaskContext {
    v1::TaskContext { task_id: "1".into(), session_id: "s".into(), input: Some(bytes.into()) }
}

fn session(id: &str) -> v1::SessionContext {
    let application = Some(v1::ApplicationContext { name: "a".into(), ..Default::default() });
    v1::SessionContext { session_id: id.into(), application, ..Default::default() }
}

#[tokio::test]
async fn a_service_answers_as_published_and_survives_its_own_code() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.sock");
    let (stop, stopped) = oneshot::channel::<()>();
    let listening = path.clone();
    let serving = tokio::spawn(async move {
        let stop = async { drop(stopped.await) };
        serve(Echo, &listening, stop).await
    });
    while !path.exists() {
        assert!(!serving.is_finished(), "the service ended early");
        tokio::task::yield_now().await;
    }
    let mut client = client(&path).await;

    let entered = client.on_session_enter(session("s")).await.unwrap().into_inner();
    assert_eq!(entered.result, Some(v1::Result::default()));
    assert!(entered.attributes.is_some());
    let refused = client.on_session_enter(session("closed")).await.unwrap().into_inner().result.unwrap();
    assert_eq!((refused.return_code, refused.message.as_deref()), (-1, Some("not today")));

    let big = vec![7; 5 * 1024 * 1024];
    let done = client.on_task_invoke(input(big.clone())).await.unwrap().into_inner().task_result.unwrap();
    assert_eq!((done.return_code, done.output.as_deref()), (0, Some(&big[..])));
    for (what, text) in [("fail", "it failed"), ("panic", "the service panicked: it panicked")] {
        let failed = client.on_task_invoke(input(what)).await.unwrap().into_inner().task_result.unwrap();
        assert_eq!((failed.return_code, failed.message.as_deref()), (-1, Some(text)));
    }
    let left = client.on_session_leave(v1::EmptyRequest {}).await.unwrap().into_inner();
    assert_eq!(left.return_code, 0);

    drop(client);
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    assert!(!path.exists(), "the socket is removed");
}

#[tokio::test]
async fn a_socket_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.sock");
    let _held = tokio::net::UnixListener::bind(&path).unwrap();
    let error = serve(Echo, &path, std::future::pending()).await.unwrap_err();
    assert_eq!(error.class(), "invalid_argument");
}
