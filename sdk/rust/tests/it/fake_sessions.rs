//! The other end of a session's stream, played by the test: it sees every frame and says what is answered.

use std::time::Duration;

use bytes::Bytes;
use flame_proto::ha::session_down::Frame as Down;
use flame_proto::ha::session_up::Frame as Up;
use flame_proto::ha::sessions_server::{Sessions, SessionsServer};
use flame_proto::{ha, v1};
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

/// Nothing here takes so long, unless it never comes.
const SOON: Duration = Duration::from_secs(30);

/// Streams that clients have opened.
pub struct Streams(mpsc::Receiver<Peer>);

/// A node's side of one stream.
pub struct Peer {
    up: Streaming<ha::SessionUp>,
    down: mpsc::Sender<Result<ha::SessionDown, Status>>,
}

pub struct Service(Mutex<mpsc::Sender<Peer>>);

/// The service, and the streams that it gets.
pub fn sessions() -> (SessionsServer<Service>, Streams) {
    let (peers, streams) = mpsc::channel(16);
    (SessionsServer::new(Service(Mutex::new(peers))), Streams(streams))
}

#[async_trait]
impl Sessions for Service {
    type StreamStream = ReceiverStream<Result<ha::SessionDown, Status>>;

    async fn stream(&self, request: Request<Streaming<ha::SessionUp>>) -> Result<Response<Self::StreamStream>, Status> {
        let (down, frames) = mpsc::channel(256);
        let _nobody_looks = self.0.lock().await.send(Peer { up: request.into_inner(), down }).await;
        Ok(Response::new(ReceiverStream::new(frames)))
    }

    async fn run(&self, _: Request<ha::RunTask>) -> Result<Response<ha::RanTask>, Status> {
        Err(Status::unimplemented("this SDK submits over streams"))
    }
}

impl Streams {
    pub async fn next(&mut self) -> Peer {
        timeout(SOON, self.0.recv()).await.expect("a stream is opened").unwrap()
    }
}

pub fn position(log_index: u64) -> ha::Position {
    ha::Position { generation: 1, log_index }
}

pub fn succeeded(task: u64, output: impl Into<Bytes>) -> ha::TaskResult {
    ha::TaskResult { task, state: v1::TaskState::Succeed.into(), output: Some(output.into()), message: None }
}

impl Peer {
    /// What the client sends next; none when it has closed its half.
    pub async fn next(&mut self) -> Option<Up> {
        let frame = timeout(SOON, self.up.message()).await.expect("the client says something");
        frame.expect("the client's half does not break").map(|frame| frame.frame.unwrap())
    }

    pub async fn say(&self, frame: Down) {
        self.down.send(Ok(ha::SessionDown { frame: Some(frame) })).await.expect("the client listens");
    }

    /// Ends the stream.
    pub async fn end(self, status: Status) {
        let _gone = self.down.send(Err(status)).await;
    }

    /// Takes the first frame and answers it with this client id. There is credit for everything.
    pub async fn open(&mut self, client: u64) -> ha::OpenStream {
        self.open_with(ha::Opened { client, credit_bytes: 8 << 20, credit_frames: 256, ..ha::Opened::default() }).await
    }

    pub async fn open_with(&mut self, opened: ha::Opened) -> ha::OpenStream {
        let Some(Up::Open(open)) = self.next().await else { panic!("the first frame opens the stream") };
        self.say(Down::Opened(ha::Opened { feature_level: 1, position: Some(position(10)), ..opened })).await;
        open
    }

    pub async fn watch(&mut self) -> ha::WatchFrom {
        match self.next().await {
            Some(Up::Watch(watch)) => watch,
            other => panic!("no watch: {other:?}"),
        }
    }

    pub async fn submit(&mut self) -> ha::SubmitTasks {
        match self.next().await {
            Some(Up::Submit(submit)) => submit,
            other => panic!("no submit: {other:?}"),
        }
    }

    pub async fn accept(&self, seq: u64, first_task: u64, count: u64) {
        self.say(Down::Accepted(ha::Accepted { seq, first_task, count, ..ha::Accepted::default() })).await;
    }

    pub async fn refuse(&self, seq: u64, error: &Status) {
        let error = ha::StreamError { code: error.code() as i32, message: error.message().to_owned() };
        self.say(Down::Accepted(ha::Accepted { seq, error: Some(error), ..ha::Accepted::default() })).await;
    }

    pub async fn results(&self, log_index: u64, results: Vec<ha::TaskResult>) {
        let position = Some(position(log_index));
        self.say(Down::Results(ha::Results { position, results, cancelled: Vec::new() })).await;
    }
}
