//! Somebody who watches all tasks of a session over our stream, on one node, and notes when it learns of each result.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use flame_proto::ha;
use flame_proto::ha::session_down::Frame as Down;
use flame_proto::ha::session_up::Frame as Up;
use flame_proto::ha::sessions_client::SessionsClient;
use flame_types::TaskState;
use flame_types::limits::MESSAGE_BYTES_MAX;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::wall;

const FEATURE_LEVEL: u32 = 1;

/// For the answer to the opening, and for any next result.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// A watch that has begun.
pub struct Watcher {
    session: String,
    /// Held so that this side stays open.
    _up: mpsc::Sender<ha::SessionUp>,
    down: Streaming<ha::SessionDown>,
}

/// When each task of a session was seen to have ended, in microseconds since 1970.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The session.
    pub session: String,
    /// By the number of the task.
    pub at_us: HashMap<u64, u64>,
}

impl Watcher {
    /// Watches everything that ends in `session` from now on.
    ///
    /// # Errors
    /// If the node refuses it.
    pub async fn start(channel: Channel, session: &str) -> Result<Self> {
        let (up, outgoing) = mpsc::channel(2);
        let open = ha::OpenStream { feature_level: FEATURE_LEVEL, session_id: session.to_owned(), client: 0 };
        up.try_send(ha::SessionUp { frame: Some(Up::Open(open)) }).context("a new channel has room")?;
        let mut sessions = SessionsClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let opening = async {
            let mut down = sessions.stream(ReceiverStream::new(outgoing)).await.context("open a watch")?.into_inner();
            let first = down.message().await.context("open a watch")?;
            anyhow::Ok((down, first))
        };
        let (down, first) = timeout(ANSWER_LIMIT, opening).await.context("a watch was not opened in time")??;
        let Some(Down::Opened(opened)) = first.and_then(|message| message.frame) else {
            bail!("a watch was answered with something else than Opened")
        };
        let watch = ha::WatchFrom { from: opened.position, own: false, tasks: Vec::new() };
        up.try_send(ha::SessionUp { frame: Some(Up::Watch(watch)) })
            .context("the channel has room for a second frame")?;
        Ok(Self { session: session.to_owned(), _up: up, down })
    }

    /// Watches until so many more tasks have ended.
    ///
    /// # Errors
    /// If a result comes twice or does not come, or a task did not succeed.
    pub async fn follow(&mut self, tasks: u64) -> Result<Seen> {
        let mut at_us = HashMap::new();
        while (at_us.len() as u64) < tasks {
            let message = timeout(ANSWER_LIMIT, self.down.message()).await;
            let message = message.with_context(|| format!("a watcher saw {} of {tasks} results", at_us.len()))?;
            let now = wall::now_us();
            match message.context("a watch broke")?.context("a watch ended early")?.frame {
                Some(Down::Results(results)) => {
                    ensure!(results.cancelled.is_empty(), "tasks were cancelled");
                    for result in results.results {
                        ensure!(result.state == TaskState::Succeed.number(), "task {} did not succeed", result.task);
                        let known = at_us.insert(result.task, now);
                        ensure!(known.is_none(), "a watcher was told twice of task {}", result.task);
                    }
                }
                other => bail!("a watcher got something else than results: {other:?}"),
            }
        }
        Ok(Seen { session: self.session.clone(), at_us })
    }
}
