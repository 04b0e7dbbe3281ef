//! A change is done once, although an attempt of it is held up in a coordinator that stands still and comes out of it after
//! the change was repeated elsewhere, and undone.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_proto::ha::cluster_client::ClusterClient;
use flame_proto::v1::frontend_client::FrontendClient;
use flame_proto::{ha, v1};
use flame_sdk::types::SessionState;
use flame_sdk::{Connection, Endpoints, Options, SessionOptions};
use flame_testkit::{Cluster, ClusterOptions, wait_until};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Response};

const LIMIT: Duration = Duration::from_secs(60);

struct Node {
    frontend: FrontendClient<Channel>,
    cluster: ClusterClient<Channel>,
}

impl Node {
    async fn at(endpoint: String) -> Result<Self> {
        let channel = Channel::from_shared(endpoint)?.connect().await?;
        Ok(Self { frontend: FrontendClient::new(channel.clone()), cluster: ClusterClient::new(channel) })
    }

    async fn next_request(&self) -> Result<u64> {
        Ok(self.cluster.clone().members(ha::MembersRequest {}).await?.into_inner().next_request)
    }
}

fn marked<T>(id: u8, seen: u64, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert_bin("flame-request-id-bin", MetadataValue::from_bytes(&[id; 16]));
    request.metadata_mut().insert("flame-request-seen", seen.into());
    request
}

fn suspension() -> v1::SuspendSessionRequest {
    v1::SuspendSessionRequest { session_id: "s".into() }
}

fn state(reply: Response<v1::Session>) -> Result<i32> {
    Ok(reply.into_inner().status.context("a session has a state")?.state)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_comes_after_its_repeat_does_nothing() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions { workers: 0, ..ClusterOptions::default() }).await?;
    let leader = cluster.leader().await?.id;
    let others: Vec<_> = cluster.coordinator_ids().into_iter().filter(|id| *id != leader).collect();
    let client = Connection::open(Endpoints::parse(&[cluster.endpoint(leader)])?, Options::default())?;
    client.create_session(&SessionOptions { id: Some("s".into()), ..SessionOptions::new("flmping") }).await?;

    let (mut held_up, mut other) =
        (Node::at(cluster.endpoint(others[0])).await?, Node::at(cluster.endpoint(others[1])).await?);
    // The session was made with a request id; a follower hears of it a little later.
    let seen = wait_until(LIMIT, "the other follower knows of the session", || async {
        let seen = other.next_request().await?;
        ensure!(seen > 1, "the next request is {seen}");
        Ok(seen)
    })
    .await?;
    cluster.pause_coordinator(others[0])?;
    let late = tokio::spawn(async move { held_up.frontend.suspend_session(marked(1, seen, suspension())).await });
    let suspended = other.frontend.suspend_session(marked(1, seen, suspension())).await?;
    assert_eq!(state(suspended)?, SessionState::Suspended.number());
    let resumption = v1::ResumeSessionRequest { session_id: "s".into() };
    let resumed = other.frontend.resume_session(marked(2, seen, resumption)).await?;
    assert_eq!(state(resumed)?, SessionState::Open.number());

    cluster.resume_coordinator(others[0])?;
    let answered = tokio::time::timeout(LIMIT, late).await.context("the attempt is never answered")???;
    assert_eq!(state(answered)?, SessionState::Open.number(), "it is told that it is done, and shown what is now");
    let session = client.get_session("s").await?;
    ensure!(session.status.state.is(SessionState::Open), "it was suspended once more: {session:?}");
    // All of them remember, and in the same way.
    wait_until(LIMIT, "the coordinators agree", || async {
        let digests = client.state_digests(&client.members().await?).await;
        let digests: Vec<_> = digests.into_iter().map(|report| report.answer).collect::<Result<_, _>>()?;
        ensure!(digests.windows(2).all(|pair| pair[0] == pair[1]), "{digests:?}");
        Ok(())
    })
    .await?;
    cluster.shutdown().await
}
