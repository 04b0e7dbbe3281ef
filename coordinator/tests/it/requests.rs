//! Changes that carry a request id, through the calls by which they come: each is made once, and its repeat is answered as
//! the first attempt was, as far as there is still something to show.

use std::fmt::Debug;
use std::future::Future;

use flame_coordinator::node::Parts;
use flame_machine::ClusterConfig;
use flame_machine::command::Command;
use flame_proto::ha::cluster_client::ClusterClient;
use flame_proto::ha::operate_client::OperateClient;
use flame_proto::v1::frontend_client::FrontendClient;
use flame_proto::{ha, v1};
use flame_types::SessionState;
use tempfile::TempDir;
use tokio::time::{Duration, Instant};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::consensus::harness::eventually;
use crate::served::{alone, serve};

const LIMIT: Duration = Duration::from_secs(20);

const APP: &str = "flmping";

struct Node {
    parts: Parts,
    channel: Channel,
    _dir: TempDir,
}

impl Node {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let parts = Parts::start(&alone(dir.path())).await.unwrap();
        parts.consensus.bootstrap().await.unwrap();
        let channel = serve(&parts).await;
        let node = Self { parts, channel, _dir: dir };
        eventually("the cluster has what ships with Flame", async || {
            let builtins = node.parts.gateway.with_state(|state| state.cluster().builtins).await.unwrap();
            (builtins > 0).then_some(())
        })
        .await;
        node
    }

    fn frontend(&self) -> FrontendClient<Channel> {
        FrontendClient::new(self.channel.clone())
    }

    async fn next_request(&self) -> u64 {
        let members = ClusterClient::new(self.channel.clone()).members(ha::MembersRequest {}).await;
        members.unwrap().into_inner().next_request
    }

    /// Remembers so many changes from now on.
    async fn remember(&self, requests_max: u32) {
        let config = ClusterConfig { requests_max, ..ClusterConfig::default() };
        let config = Command::SetConfig(Box::new(config));
        self.parts.gateway.propose(config, Instant::now() + LIMIT).await.unwrap();
    }

    async fn create(&self, id: &str, mark: Option<Mark>) -> Result<v1::Session, Status> {
        let session = Some(v1::SessionSpec { application: APP.into(), ..v1::SessionSpec::default() });
        let request = v1::CreateSessionRequest { session_id: id.into(), session };
        self.frontend().create_session(marked(mark, request)).await.map(Response::into_inner)
    }

    async fn suspend(&self, id: &str, mark: Option<Mark>) -> Result<v1::Session, Status> {
        let request = v1::SuspendSessionRequest { session_id: id.into() };
        self.frontend().suspend_session(marked(mark, request)).await.map(Response::into_inner)
    }

    async fn resume(&self, id: &str, mark: Option<Mark>) -> Result<v1::Session, Status> {
        let request = v1::ResumeSessionRequest { session_id: id.into() };
        self.frontend().resume_session(marked(mark, request)).await.map(Response::into_inner)
    }

    async fn close(&self, id: &str, mark: Option<Mark>) -> Result<v1::Session, Status> {
        let request = v1::CloseSessionRequest { session_id: id.into() };
        self.frontend().close_session(marked(mark, request)).await.map(Response::into_inner)
    }

    async fn delete(&self, id: &str, mark: Option<Mark>) -> Result<v1::Session, Status> {
        let request = v1::DeleteSessionRequest { session_id: id.into() };
        self.frontend().delete_session(marked(mark, request)).await.map(Response::into_inner)
    }

    async fn submit(&self, id: &str, mark: Option<Mark>) -> Result<String, Status> {
        let task = Some(v1::TaskSpec { session_id: id.into(), ..v1::TaskSpec::default() });
        let request = v1::CreateTaskRequest { task };
        let task = self.frontend().create_task(marked(mark, request)).await?.into_inner();
        Ok(task.metadata.unwrap().id)
    }

    async fn register(&self, mark: Option<Mark>) -> Result<v1::Result, Status> {
        let application = Some(v1::ApplicationSpec { command: Some("/bin/true".into()), ..Default::default() });
        let request = v1::RegisterApplicationRequest { name: "a".into(), application };
        self.frontend().register_application(marked(mark, request)).await.map(Response::into_inner)
    }

    async fn unregister(&self, mark: Option<Mark>) -> Result<v1::Result, Status> {
        let request = v1::UnregisterApplicationRequest { name: "a".into() };
        self.frontend().unregister_application(marked(mark, request)).await.map(Response::into_inner)
    }

    async fn stop(self) {
        self.parts.consensus.shutdown().await;
    }
}

/// A request id and the number that was heard before it.
#[derive(Clone, Copy)]
struct Mark(u8, u64);

fn marked<T>(mark: Option<Mark>, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(Mark(id, seen)) = mark {
        request.metadata_mut().insert_bin("flame-request-id-bin", MetadataValue::from_bytes(&[id; 16]));
        request.metadata_mut().insert("flame-request-seen", seen.into());
    }
    request
}

fn state(session: &v1::Session) -> SessionState {
    v1::SessionState::checked(session.status.as_ref().unwrap().state).unwrap()
}

/// The same three times, with the same answer.
async fn thrice<T: Debug + PartialEq, F: Future<Output = Result<T, Status>>>(call: impl Fn() -> F) -> T {
    let first = call().await.unwrap();
    for _ in 0..2 {
        assert_eq!(call().await.unwrap(), first);
    }
    first
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_sessions_and_tasks_are_made_once() {
    let node = Node::start().await;
    assert_eq!(node.next_request().await, 1);
    let made = thrice(|| node.create("s", Some(Mark(1, 1)))).await;
    assert_eq!(made.metadata.unwrap().id, "s");
    assert_eq!(node.next_request().await, 2);
    assert_eq!(thrice(|| node.submit("s", Some(Mark(2, 2)))).await, "1");
    assert_eq!(thrice(|| node.submit("s", Some(Mark(3, 2)))).await, "2");
    assert_eq!(node.submit("s", None).await.unwrap(), "3", "without an id each is one of its own");

    // The first attempt of a suspension comes again after the session was resumed.
    let suspended = node.suspend("s", Some(Mark(4, 4))).await.unwrap();
    assert_eq!(state(&suspended), SessionState::Suspended);
    assert_eq!(state(&node.resume("s", Some(Mark(5, 5))).await.unwrap()), SessionState::Open);
    assert_eq!(state(&node.suspend("s", Some(Mark(4, 4))).await.unwrap()), SessionState::Open, "as it is now");
    assert_eq!(node.next_request().await, 6);

    let cancel = || async {
        let request = ha::CancelTaskRequest { session_id: "s".into(), task_id: "1".into() };
        ClusterClient::new(node.channel.clone()).cancel_task(marked(Some(Mark(6, 6)), request)).await?;
        Ok(())
    };
    thrice(cancel).await;
    let force = || async {
        let request = ha::ForceCloseSessionRequest { session_id: "s".into() };
        ClusterClient::new(node.channel.clone()).force_close_session(marked(Some(Mark(7, 7)), request)).await?;
        Ok(())
    };
    thrice(force).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_repeated_as_well() {
    let node = Node::start().await;
    let refused = node.suspend("s", Some(Mark(1, 1))).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    node.create("s", None).await.unwrap();
    let again = node.suspend("s", Some(Mark(1, 1))).await.unwrap_err();
    assert_eq!((again.code(), again.message()), (refused.code(), refused.message()));
    assert_eq!(state(&node.suspend("s", Some(Mark(2, 2))).await.unwrap()), SessionState::Suspended);

    let cordon = ha::CordonNodeRequest { name: "nobody".into(), on: true };
    let mut operate = OperateClient::new(node.channel.clone());
    for _ in 0..2 {
        let refused = operate.cordon_node(marked(Some(Mark(3, 3)), cordon.clone())).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
    }
    assert_eq!(node.next_request().await, 4);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_applications_are_made_once() {
    let node = Node::start().await;
    assert_eq!(thrice(|| node.register(Some(Mark(1, 1)))).await.return_code, 0);
    assert_eq!(node.register(None).await.unwrap().return_code, -1, "somebody else's would be the second");
    assert_eq!(thrice(|| node.unregister(Some(Mark(2, 2)))).await.return_code, 0);
    // The first registration comes late: the name stays free.
    assert_eq!(node.register(Some(Mark(1, 1))).await.unwrap().return_code, 0);
    let get = node.frontend().get_application(v1::GetApplicationRequest { name: "a".into() }).await;
    assert_eq!(get.unwrap_err().code(), Code::NotFound);

    let reused = node.unregister(Some(Mark(1, 1))).await.unwrap_err();
    assert_eq!(reused.code(), Code::InvalidArgument, "not in band: {reused}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_since_is_told_apart_from_what_was_not_done() {
    let node = Node::start().await;
    node.create("s", Some(Mark(1, 1))).await.unwrap();
    node.submit("s", Some(Mark(2, 2))).await.unwrap();
    node.close("s", Some(Mark(3, 3))).await.unwrap();
    let deleted = node.delete("s", Some(Mark(4, 4))).await.unwrap();
    assert_eq!(state(&deleted), SessionState::Closed);
    let again = node.delete("s", Some(Mark(4, 4))).await.unwrap();
    assert_eq!((again.metadata.unwrap().id.as_str(), again.spec, again.status), ("s", None, None));
    assert_eq!(node.delete("s", None).await.unwrap_err().code(), Code::NotFound, "as published");
    assert_eq!(node.delete("s", Some(Mark(9, 5))).await.unwrap_err().code(), Code::NotFound, "another one");

    for gone in [
        node.create("s", Some(Mark(1, 1))).await.unwrap_err(),
        node.submit("s", Some(Mark(2, 2))).await.unwrap_err(),
        node.close("s", Some(Mark(3, 3))).await.unwrap_err(),
    ] {
        assert_eq!(gone.code(), Code::Aborted, "{gone}");
        assert!(gone.message().contains("was done") && gone.metadata().get("flame-request-seen").is_none(), "{gone}");
    }
    // Another session of that id is not what was made then, nor what was deleted.
    node.create("s", None).await.unwrap();
    assert_eq!(node.create("s", Some(Mark(1, 1))).await.unwrap_err().code(), Code::Aborted);
    assert_eq!(node.delete("s", Some(Mark(4, 4))).await.unwrap().status, None);
    assert_eq!(state(&node.resume("s", None).await.unwrap()), SessionState::Open, "it is still there");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_nobody_remembers_is_not_made() {
    let node = Node::start().await;
    node.remember(2).await;
    node.create("s", Some(Mark(1, 1))).await.unwrap();
    for id in 2..=3 {
        node.submit("s", Some(Mark(id, 2))).await.unwrap();
    }
    let forgotten = node.create("s", Some(Mark(1, 1))).await.unwrap_err();
    assert_eq!(forgotten.code(), Code::Aborted, "{forgotten}");
    assert_eq!(forgotten.metadata().get("flame-request-seen").unwrap(), "4");
    let never_sent = node.suspend("s", Some(Mark(8, 1))).await.unwrap_err();
    assert_eq!(never_sent.code(), Code::Aborted, "nobody can tell");
    assert_eq!(state(&node.suspend("s", Some(Mark(8, 4))).await.unwrap()), SessionState::Suspended);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_none_is_refused() {
    let node = Node::start().await;
    let mut request = Request::new(v1::SuspendSessionRequest { session_id: "s".into() });
    request.metadata_mut().insert_bin("flame-request-id-bin", MetadataValue::from_bytes(&[1; 15]));
    let refused = node.frontend().suspend_session(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("16 bytes"), "{refused}");
    node.stop().await;
}
