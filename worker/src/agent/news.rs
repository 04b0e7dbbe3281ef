//! Who leads, as told by a coordinator that does not lead.
//!
//! An attached worker keeps a call open at one other coordinator. When the leader dies, that one learns of the next and
//! says so: the worker is there within milliseconds, where asking around would cost it a good part of a second. It also
//! hears so of a leader that has been replaced and does not know it, or whose host has vanished without a word.
//!
//! **Invariant:** news only makes a search shorter. What nobody tells is found by asking, as if there were none.

use std::time::Duration;

use flame_proto::ha;
use flame_proto::ha::leader_news_client::LeaderNewsClient;
use flame_types::Term;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::Status;

use super::channels::Channels;

/// Longest time until the call is open.
const OPEN_WITHIN: Duration = Duration::from_secs(3);

/// Wait after every coordinator was asked in turn and none keeps the call open.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What was told and not heard yet; the newest is all that matters, and there is hardly ever more than one.
const WAITING_MAX: usize = 8;

/// A leader and its term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leading {
    pub(crate) term: Term,
    pub(crate) endpoint: String,
}

/// The open call, if there is one. It ends with this.
#[derive(Default)]
pub(crate) struct News {
    call: Option<Call>,
}

struct Call {
    told: mpsc::Receiver<Leading>,
    _task: JoinSet<()>,
}

impl News {
    /// Asks the first of these coordinators that answers, and when it answers no more, the next. Without any there is no
    /// news.
    pub(crate) fn follow(channels: Channels, cluster_id: String, endpoints: Vec<String>) -> Self {
        if endpoints.is_empty() {
            return Self::default();
        }
        let (tell, told) = mpsc::channel(WAITING_MAX);
        let mut task = JoinSet::new();
        task.spawn(ask_for_ever(channels, cluster_id, endpoints, tell));
        Self { call: Some(Call { told, _task: task }) }
    }

    /// The next leader that somebody tells. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Leading {
        if let Some(call) = &mut self.call
            && let Some(leading) = call.told.recv().await
        {
            return leading;
        }
        std::future::pending().await
    }
}

async fn ask_for_ever(channels: Channels, cluster_id: String, endpoints: Vec<String>, tell: mpsc::Sender<Leading>) {
    loop {
        for endpoint in &endpoints {
            let Err(status) = listen(&channels, endpoint, &cluster_id, &tell).await else { return };
            tracing::debug!(endpoint, %status, "a coordinator tells no more who leads");
            channels.forget(endpoint);
        }
        sleep(ASK_AGAIN).await;
    }
}

/// Passes on what one coordinator tells, until that ends; `Ok` when nobody listens any more.
async fn listen(
    channels: &Channels,
    endpoint: &str,
    cluster_id: &str,
    tell: &mpsc::Sender<Leading>,
) -> Result<(), Status> {
    let channel = channels.get(endpoint).map_err(|error| Status::unavailable(error.to_string()))?;
    let mut client = LeaderNewsClient::new(channel);
    let asked = ha::FollowLeader { cluster_id: cluster_id.to_owned() };
    let opened = timeout(OPEN_WITHIN, client.follow(asked)).await;
    let mut told = opened.map_err(|_| Status::deadline_exceeded("it does not answer"))??.into_inner();
    while let Some(ha::Leading { term, leader }) = told.message().await? {
        if tell.send(Leading { term: Term(term), endpoint: leader }).await.is_err() {
            return Ok(());
        }
    }
    Err(Status::unavailable("it has ended the call"))
}
