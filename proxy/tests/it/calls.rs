//! Calls with one answer.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use flame_proto::convert::parse_grpc_timeout;
use flame_proto::ha::TransferLeaderRequest;
use flame_proto::ha::cluster_client::ClusterClient;
use flame_proto::v1;
use flame_sdk::Options;
use flame_types::limits::MESSAGE_BYTES_MAX;
use futures::StreamExt;
use prost::Message;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::fake::{Fake, Replies, Served, encoded, lost, one, several, task};

fn session(id: &str) -> v1::Session {
    let metadata = Some(v1::Metadata { id: id.into(), name: id.into() });
    v1::Session { metadata, ..v1::Session::default() }
}

fn get(id: &str) -> v1::GetSessionRequest {
    v1::GetSessionRequest { session_id: id.into() }
}

#[tokio::test]
async fn a_client_does_not_notice_that_the_coordinator_is_gone() {
    let mut first = Fake::start(|_| one(&session("first")));
    let second = Fake::start(|_| one(&session("second")));
    let proxy = Served::start(&[first.address, second.address]).await;
    let mut client = proxy.client().await;
    let mut found = async || client.get_session(get("s")).await.unwrap().into_inner().metadata.unwrap().id;
    assert_eq!(found().await, "first");
    first.die();
    assert_eq!(found().await, "second");
}

#[tokio::test]
async fn what_a_coordinator_answers_is_passed_on_as_it_is() {
    let refusal = || {
        let details = ErrorDetails::with_help_link("why", "https://flame.invalid/why");
        let mut status = Status::with_error_details(Code::FailedPrecondition, "not now: äöü", details);
        status.metadata_mut().insert("hint", "later".parse().unwrap());
        status
    };
    let fake = Fake::start(move |_| Err(refusal()));
    let proxy = Served::start(&[fake.address]).await;
    let answer = proxy.client().await.get_session(get("s")).await.unwrap_err();
    let expected = refusal();
    assert_eq!((answer.code(), answer.message()), (expected.code(), expected.message()));
    assert_eq!(answer.details(), expected.details());
    assert_eq!(answer.metadata().get("hint").unwrap(), "later");
}

#[tokio::test]
async fn metadata_is_passed_on_with_the_name_of_the_caller() {
    let seen = Arc::new(Mutex::new(None));
    let fake = {
        let seen = Arc::clone(&seen);
        Fake::start(move |asked| {
            *seen.lock().unwrap() = Some(asked.metadata);
            one(&session("s"))
        })
    };
    let proxy = Served::start(&[fake.address]).await;
    let mut request = Request::new(get("s"));
    request.metadata_mut().insert("authorization", "Bearer x".parse().unwrap());
    request.metadata_mut().insert_bin("own-bin", MetadataValue::from_bytes(&[1, 2]));
    proxy.client().await.get_session(request).await.unwrap();
    let seen = seen.lock().unwrap().take().unwrap();
    assert_eq!(seen.get("authorization").unwrap(), "Bearer x");
    assert_eq!(seen.get_bin("own-bin").unwrap().to_bytes().unwrap().as_ref(), [1, 2]);
    assert!(seen.get("flame-user-agent").unwrap().to_str().unwrap().starts_with("tonic/"), "{seen:?}");
}

/// Coordinators that lose so many answers to changes, and write down by which request ids they come.
struct Losing {
    ids: Arc<Mutex<Vec<Bytes>>>,
}

impl Losing {
    fn new() -> Self {
        Self { ids: Arc::default() }
    }

    fn start(&self, losses: u32, then: impl Fn() -> Result<Replies, Status> + Send + Sync + 'static) -> Fake {
        let (ids, left) = (Arc::clone(&self.ids), AtomicU32::new(losses));
        Fake::start(move |asked| {
            let id = asked.metadata.get_bin("flame-request-id-bin").unwrap().to_bytes().unwrap();
            ids.lock().unwrap().push(id);
            match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
                Ok(_) => Err(lost()),
                Err(_) => then(),
            }
        })
    }

    fn ids(&self) -> Vec<Bytes> {
        self.ids.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_sent_again_with_one_id() {
    let losing = Losing::new();
    let made = || one(&task(1, v1::TaskState::Pending));
    let (first, second) = (losing.start(1, made), losing.start(1, made));
    let proxy = Served::start(&[first.address, second.address]).await;
    let mut client = proxy.client().await;
    client.create_task(v1::CreateTaskRequest::default()).await.unwrap();
    client.create_task(v1::CreateTaskRequest::default()).await.unwrap();
    let ids = losing.ids();
    assert!(ids.len() == 4 && ids[0].len() == 16 && ids[0] == ids[1] && ids[1] == ids[2], "{ids:?}");
    assert_ne!(ids[2], ids[3], "the next submit");
}

/// Our own clients draw the ids of their changes themselves, and begin a change anew when it is refused for its age and was
/// sent once. Sent again on the way, it was not sent once.
#[tokio::test]
async fn who_has_an_id_keeps_it_and_hears_the_truth_about_it() {
    const SEEN: &str = "flame-request-seen";
    let too_old = || {
        let mut status = Status::aborted("nobody remembers");
        status.metadata_mut().insert(SEEN, 9.into());
        Err(status)
    };
    let close = async |losses: u32| {
        let losing = Losing::new();
        let coordinator = losing.start(losses, too_old);
        let proxy = Served::start(&[coordinator.address]).await;
        let mut request = Request::new(v1::CloseSessionRequest { session_id: "s".into() });
        request.metadata_mut().insert_bin("flame-request-id-bin", MetadataValue::from_bytes(&[3; 16]));
        request.metadata_mut().insert(SEEN, 8.into());
        let refused = proxy.client().await.close_session(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::Aborted);
        assert!(losing.ids().iter().all(|id| id.as_ref() == [3; 16]), "{:?}", losing.ids());
        (losing.ids().len(), refused.metadata().get(SEEN).is_some())
    };
    assert_eq!(close(0).await, (1, true));
    assert_eq!(close(1).await, (2, false));
}

#[tokio::test]
async fn what_must_not_be_done_twice_is_sent_once() {
    let first = Fake::start(|_| Err(lost()));
    let second = Fake::start(|_| Err(lost()));
    let proxy = Served::start(&[first.address, second.address]).await;
    let mut client = ClusterClient::connect(format!("http://{}", proxy.address)).await.unwrap();
    let error = client.transfer_leader(TransferLeaderRequest { to: 0 }).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    assert_eq!([first.asked(), second.asked()].concat(), ["TransferLeader"]);
}

#[tokio::test]
async fn a_coordinator_hears_how_long_the_caller_waits() {
    let seen = Arc::new(Mutex::new(None));
    let fake = {
        let seen = Arc::clone(&seen);
        Fake::start(move |asked| {
            *seen.lock().unwrap() = Some(asked.metadata.get("grpc-timeout").unwrap().to_str().unwrap().to_owned());
            one(&session("s"))
        })
    };
    let proxy = Served::start(&[fake.address]).await;
    let mut client = proxy.client().await;
    let mut told = async |timeout: Option<Duration>| {
        let mut request = Request::new(get("s"));
        if let Some(timeout) = timeout {
            request.set_timeout(timeout);
        }
        client.get_session(request).await.unwrap();
        let text: String = seen.lock().unwrap().take().unwrap();
        parse_grpc_timeout(&text).unwrap()
    };
    assert_eq!(told(Some(Duration::from_secs(20))).await, Duration::from_millis(19_900), "time for the way back");
    assert_eq!(told(None).await, Options::default().attempt_timeout);
    assert_eq!(told(Some(Duration::from_secs(300))).await, Options::default().attempt_timeout, "then another one");
}

#[tokio::test]
async fn without_a_coordinator_the_answer_says_so_in_time() {
    let mut gone = Fake::start(|_| Err(lost()));
    let options = Options { deadline: Duration::from_millis(300), ..Options::default() };
    let proxy = Served::start_with(&[gone.address], options).await;
    gone.die();
    let error = proxy.client().await.get_session(get("s")).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.message().contains(&gone.address.to_string()), "{error}");
}

#[tokio::test]
async fn messages_are_as_large_as_on_the_coordinators_and_no_larger() {
    let fake = Fake::start(|mut asked| {
        let echo = async move {
            let message = asked.requests.next().await.unwrap()?;
            let request = v1::CreateTaskRequest::decode(message).unwrap();
            let spec = request.task.unwrap();
            let spec = v1::TaskSpec { output: spec.input, ..v1::TaskSpec::default() };
            Ok(encoded(&v1::Task { spec: Some(spec), ..v1::Task::default() }))
        };
        Ok(futures::stream::once(echo).boxed())
    });
    let proxy = Served::start(&[fake.address]).await;
    let mut client = proxy.client().await;
    let mut submit = async |bytes: usize| {
        let spec = v1::TaskSpec { input: Some(Bytes::from(vec![7; bytes])), ..v1::TaskSpec::default() };
        client.create_task(v1::CreateTaskRequest { task: Some(spec) }).await
    };
    let large = MESSAGE_BYTES_MAX - 1024;
    let echoed = submit(large).await.unwrap().into_inner().spec.unwrap().output.unwrap();
    assert!(echoed.len() == large && echoed.iter().all(|byte| *byte == 7));
    let refused = submit(MESSAGE_BYTES_MAX + 1).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    assert_eq!(fake.asked().len(), 1, "it went no further");
}

#[tokio::test]
async fn a_method_that_is_not_served_is_named() {
    let fake = Fake::start(|_| Ok(several([])));
    let proxy = Served::start(&[fake.address]).await;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", proxy.address)).unwrap();
    let mut client = tonic::client::Grpc::new(channel.connect().await.unwrap());
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/flame.v1.Backend/RegisterNode");
    let codec = flame_proto::instance::RawCodec::<Bytes, Bytes>::default();
    let error = client.unary(Request::new(Bytes::new()), path, codec).await.unwrap_err();
    assert!(error.code() == Code::Unimplemented && error.message().contains("RegisterNode"), "{error}");
    assert!(fake.asked().is_empty());
}
