//! The stream of a session as other clients may use it: frame by frame.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use flame_proto::ha;
use flame_proto::ha::session_down::Frame as Down;
use flame_proto::ha::session_up::Frame as Up;
use flame_proto::ha::sessions_client::SessionsClient;
use flame_sdk::model::ApplicationSpec;
use flame_sdk::{Connection, Endpoints, Options, SessionOptions};
use flame_testkit::{Cluster, ClusterOptions};
use futures::channel::mpsc;
use tonic::Streaming;

const LIMIT: Duration = Duration::from_secs(60);

/// One side of a stream that is open.
pub struct Stream {
    up: mpsc::UnboundedSender<ha::SessionUp>,
    down: Streaming<ha::SessionDown>,
    client: u64,
}

impl Stream {
    pub async fn open(endpoint: &str, session: &str, client: u64) -> Result<Self> {
        let mut sessions = SessionsClient::connect(endpoint.to_owned()).await?;
        let (up, frames) = mpsc::unbounded();
        let open = ha::OpenStream { feature_level: 1, session_id: session.to_owned(), client };
        up.unbounded_send(ha::SessionUp { frame: Some(Up::Open(open)) })?;
        let down = sessions.stream(frames).await?.into_inner();
        let mut stream = Self { up, down, client };
        match stream.next().await? {
            Down::Opened(opened) => stream.client = opened.client,
            other => bail!("not opened: {other:?}"),
        }
        Ok(stream)
    }

    pub fn say(&self, frame: Up) -> Result<()> {
        Ok(self.up.unbounded_send(ha::SessionUp { frame: Some(frame) })?)
    }

    pub async fn next(&mut self) -> Result<Down> {
        let frame = tokio::time::timeout(LIMIT, self.down.message()).await.context("nothing comes")??;
        frame.and_then(|frame| frame.frame).context("the stream has ended")
    }

    async fn accepted(&mut self, seq: u64) -> Result<ha::Accepted> {
        match self.next().await? {
            Down::Accepted(accepted) if accepted.seq == seq && accepted.error.is_none() => Ok(accepted),
            other => bail!("frame {seq} is not accepted: {other:?}"),
        }
    }
}

fn one_task(seq: u64) -> Up {
    let tasks = vec![ha::TaskInput { input: Some("x".into()) }];
    Up::Submit(ha::SubmitTasks { seq, below: 1, tasks, ..ha::SubmitTasks::default() })
}

fn following_own() -> Up {
    Up::Watch(ha::WatchFrom { from: None, own: true, tasks: Vec::new() })
}

/// A cluster without workers: tasks end when they are cancelled, and only then.
async fn cluster_and_session() -> Result<(Cluster, String)> {
    let cluster = Cluster::start(ClusterOptions { workers: 0, ..ClusterOptions::default() }).await?;
    let connection = Connection::open(Endpoints::parse(&cluster.endpoints())?, Options::default())?;
    let spec = ApplicationSpec { command: Some("/bin/true".to_owned()), ..ApplicationSpec::default() };
    connection.register_application("any", spec).await?;
    let session = connection.create_session(&SessionOptions::new("any")).await?.metadata.id;
    Ok((cluster, session))
}

/// Submits a task and ends it; nobody follows results yet.
async fn ended_task(stream: &mut Stream) -> Result<u64> {
    stream.say(one_task(1))?;
    let task = stream.accepted(1).await?.first_task;
    stream.say(Up::Cancel(ha::CancelTask { seq: 2, below: 1, task }))?;
    stream.accepted(2).await?;
    Ok(task)
}

async fn hears_of(stream: &mut Stream, task: u64) -> Result<()> {
    loop {
        let Down::Results(results) = stream.next().await? else { continue };
        let is_ours = |range: &ha::TaskRange| (range.first..=range.last).contains(&task);
        if results.results.iter().any(|result| result.task == task) || results.cancelled.iter().any(is_ours) {
            return Ok(());
        }
    }
}

/// The task ended while its client did not yet know its number: it can not name it, and must hear of it all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_submit_that_is_sent_again_gets_results_from_before() -> Result<()> {
    let (cluster, session) = cluster_and_session().await?;
    let ids = cluster.coordinator_ids();
    let mut first = Stream::open(&cluster.endpoint(ids[0]), &session, 0).await?;
    let task = ended_task(&mut first).await?;
    // It breaks: its half is not closed, so its client goes on.
    let Stream { up: _open, down, client } = first;
    drop(down);

    let mut second = Stream::open(&cluster.endpoint(ids[1]), &session, client).await?;
    second.say(one_task(1))?;
    second.say(following_own())?;
    ensure!(second.accepted(1).await?.first_task == task, "the same task");
    hears_of(&mut second, task).await?;
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn submits_from_before_the_watch_are_own_as_well() -> Result<()> {
    let (cluster, session) = cluster_and_session().await?;
    let mut stream = Stream::open(&cluster.endpoints()[0], &session, 0).await?;
    let task = ended_task(&mut stream).await?;
    stream.say(following_own())?;
    hears_of(&mut stream, task).await?;
    cluster.shutdown().await
}
