//! A coordinator as the worker sees it, played by the test.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flame_proto::ha;
use flame_proto::ha::leader_news_server::{LeaderNews, LeaderNewsServer};
use flame_proto::ha::object_directory_server::{ObjectDirectory, ObjectDirectoryServer};
use flame_proto::ha::worker_down::Frame as Down;
use flame_proto::ha::worker_hub_server::{WorkerHub, WorkerHubServer};
use flame_proto::ha::worker_up::Frame as Up;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// Nothing a test waits for takes so long, unless it never comes.
pub const SOON: Duration = Duration::from_secs(30);

pub const EXECUTOR: u64 = 1;
pub const SESSION: u64 = 10;

/// A hub on a port of its own. It ends with the test.
pub struct Hub {
    pub endpoint: String,
    links: mpsc::Receiver<Link>,
    followers: mpsc::Receiver<Follower>,
    answers: Arc<Mutex<VecDeque<Down>>>,
    caches: Arc<Mutex<Vec<ha::CacheNode>>>,
}

/// One attach stream.
pub struct Link {
    pub hello: ha::Hello,
    down: mpsc::Sender<Result<ha::WorkerDown, Status>>,
    up: mpsc::Receiver<Up>,
}

/// A worker that wants to be told who leads.
pub struct Follower {
    pub asked: ha::FollowLeader,
    tell: mpsc::Sender<Result<ha::Leading, Status>>,
}

impl Follower {
    pub async fn tell(&self, term: u64, leader: &Hub) {
        let leader = leader.endpoint.clone();
        self.tell.send(Ok(ha::Leading { term, leader })).await.expect("the worker listens");
    }
}

impl Hub {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (attached, links) = mpsc::channel(16);
        let (following, followers) = mpsc::channel(16);
        let (answers, caches) = (Arc::new(Mutex::new(VecDeque::new())), Arc::default());
        let service = Service { attached, answers: Arc::clone(&answers) };
        let server = tonic::transport::Server::builder()
            .add_service(WorkerHubServer::new(service))
            .add_service(LeaderNewsServer::new(News { following }))
            .add_service(ObjectDirectoryServer::new(Directory { caches: Arc::clone(&caches) }));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true))));
        Self { endpoint, links, followers, answers, caches }
    }

    /// It knows this cache node from now on.
    pub fn knows_cache(&self, endpoint: String, away: bool) {
        self.caches.lock().unwrap().push(ha::CacheNode { endpoint, away, ..ha::CacheNode::default() });
    }

    /// The next Hello gets this answer, which is not Welcome. Several are given in order.
    pub fn answer_next(&self, answer: Down) {
        self.answers.lock().unwrap().push_back(answer);
    }

    pub fn refuse_next(&self, reason: ha::refused::Reason) {
        self.answer_next(Down::Refused(ha::Refused { reason: reason.into(), message: "because I say so".into() }));
    }

    /// The next stream on which a worker has said Hello. Whoever gets it says Welcome.
    pub async fn hello(&mut self) -> Link {
        soon("a Hello", self.links.recv()).await.expect("the server lives as long as the test")
    }

    /// The same, and says Welcome.
    pub async fn attach(&mut self) -> Link {
        self.attach_in(1).await
    }

    /// The same, as the leader of this term.
    pub async fn attach_in(&mut self, term: u64) -> Link {
        let link = self.hello().await;
        let welcome = ha::Welcome { cluster_id: "c-1".into(), epoch: term, term, ..ha::Welcome::default() };
        link.send(Down::Welcome(welcome)).await;
        link
    }

    /// Whether no Hello has come that nobody has looked at.
    pub fn is_left_alone(&self) -> bool {
        self.links.is_empty()
    }

    /// The next worker that wants to be told who leads.
    pub async fn follower(&mut self) -> Follower {
        soon("a follower", self.followers.recv()).await.expect("the server lives as long as the test")
    }
}

impl Link {
    pub async fn send(&self, frame: Down) {
        self.down.send(Ok(ha::WorkerDown { frame: Some(frame) })).await.expect("the worker listens");
    }

    /// The next frame that is no heartbeat. Heartbeats are answered.
    pub async fn next(&mut self) -> Up {
        loop {
            match soon("a frame", self.up.recv()).await.expect("the worker keeps the stream") {
                Up::Heartbeat(ha::Heartbeat { number }) => self.send(Down::LeaseAck(ha::LeaseAck { number })).await,
                frame => return frame,
            }
        }
    }

    /// The next heartbeat, which is not answered. Frames before it are passed over.
    pub async fn heartbeat(&mut self) -> u64 {
        loop {
            let frame = soon("a heartbeat", self.up.recv()).await.expect("the worker keeps the stream");
            if let Up::Heartbeat(ha::Heartbeat { number }) = frame {
                return number;
            }
        }
    }

    /// Waits until the worker has left this stream.
    pub async fn until_left(mut self) {
        soon("the end of the stream", async { while self.up.recv().await.is_some() {} }).await;
    }

    pub async fn start(&self, application: ha::Application) {
        self.start_session(SESSION, application).await;
    }

    pub async fn start_session(&self, session: u64, application: ha::Application) {
        self.start_executor(EXECUTOR, session, application).await;
    }

    pub async fn start_executor(&self, executor: u64, session: u64, application: ha::Application) {
        let start = ha::Start {
            executor,
            session,
            session_id: format!("s-{session}"),
            application: Some(application),
            common_data: Some("common".into()),
            batch_size: 1,
            ..ha::Start::default()
        };
        self.send(Down::Start(start)).await;
    }

    pub async fn ready(&mut self) -> ha::ExecutorReady {
        match self.next().await {
            Up::Ready(ready) => ready,
            other => panic!("Ready expected, not {other:?}"),
        }
    }

    /// Assigns tasks whose tokens are 101, 102 … and whose numbers are 1, 2 … from `first` on.
    pub async fn assign(&self, first: u64, inputs: &[&str]) {
        let task = |(at, input): (u64, &&str)| ha::Task {
            token: 100 + at,
            executor: EXECUTOR,
            session: SESSION,
            task: at,
            attempt: 1,
            input: Some(input.to_string().into()),
            timeout_ms: 0,
        };
        let tasks = (first..).zip(inputs).map(task).collect();
        self.send(Down::Assign(ha::Assign { tasks })).await;
    }

    /// Collects this many results, over as many frames as it takes.
    pub async fn results(&mut self, count: usize) -> Vec<ha::Completion> {
        let mut done = Vec::new();
        while done.len() < count {
            match self.next().await {
                Up::Complete(complete) => done.extend(complete.done),
                other => panic!("Complete expected, not {other:?}"),
            }
        }
        done
    }

    pub async fn failed(&mut self) -> ha::ExecutorFailed {
        match self.next().await {
            Up::Failed(failed) => failed,
            other => panic!("Failed expected, not {other:?}"),
        }
    }

    /// The return code and message of a bind failure.
    pub async fn bind_failure(&mut self) -> (i32, String) {
        match self.failed().await.cause {
            Some(ha::executor_failed::Cause::Bind(bind)) => (bind.return_code, bind.message),
            other => panic!("a bind failure expected, not {other:?}"),
        }
    }

    pub async fn revoke_answer(&mut self) -> (Vec<u64>, Vec<u64>) {
        match self.next().await {
            Up::RevokeAnswer(answer) => (answer.returned, answer.started),
            other => panic!("RevokeAnswer expected, not {other:?}"),
        }
    }

    pub async fn left(&mut self) {
        let frame = self.next().await;
        assert_eq!(frame, Up::Left(ha::ExecutorLeft { executor: EXECUTOR }));
    }

    pub async fn stopping(&mut self) {
        assert_eq!(self.next().await, Up::Stopping(ha::Stopping {}));
    }

    /// The last words of a worker: nothing follows but the end of the stream.
    pub async fn goodbye(&mut self) {
        assert_eq!(self.next().await, Up::Goodbye(ha::Goodbye {}));
        let after = soon("the end of the stream", self.up.recv()).await;
        assert_eq!(after, None, "Goodbye is the last frame");
    }
}

/// Waits for something that must come.
pub async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(SOON, event).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not come within {SOON:?}"),
    }
}

/// Waits until something is true.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    soon(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

struct Service {
    attached: mpsc::Sender<Link>,
    answers: Arc<Mutex<VecDeque<Down>>>,
}

#[tonic::async_trait]
impl WorkerHub for Service {
    type AttachStream = Pin<Box<dyn futures::Stream<Item = Result<ha::WorkerDown, Status>> + Send>>;

    async fn attach(&self, request: Request<Streaming<ha::WorkerUp>>) -> Result<Response<Self::AttachStream>, Status> {
        let mut frames = request.into_inner();
        let Some(Up::Hello(hello)) = frames.message().await?.and_then(|message| message.frame) else {
            return Err(Status::invalid_argument("the first frame must be Hello"));
        };
        let (down, stream) = mpsc::channel(16);
        let answer = self.answers.lock().unwrap().pop_front();
        match answer {
            Some(answer) => {
                let _ = down.send(Ok(ha::WorkerDown { frame: Some(answer) })).await;
            }
            None => {
                let (forward, up) = mpsc::channel(1024);
                tokio::spawn(async move {
                    while let Ok(Some(ha::WorkerUp { frame: Some(frame) })) = frames.message().await {
                        if forward.send(frame).await.is_err() {
                            return;
                        }
                    }
                });
                let _ = self.attached.send(Link { hello, down, up }).await;
            }
        }
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

struct News {
    following: mpsc::Sender<Follower>,
}

#[tonic::async_trait]
impl LeaderNews for News {
    type FollowStream = ReceiverStream<Result<ha::Leading, Status>>;

    async fn follow(&self, request: Request<ha::FollowLeader>) -> Result<Response<Self::FollowStream>, Status> {
        let (tell, told) = mpsc::channel(16);
        let _ = self.following.send(Follower { asked: request.into_inner(), tell }).await;
        Ok(Response::new(ReceiverStream::new(told)))
    }
}

struct Directory {
    caches: Arc<Mutex<Vec<ha::CacheNode>>>,
}

#[tonic::async_trait]
impl ObjectDirectory for Directory {
    async fn nodes(&self, _: Request<ha::CacheNodesRequest>) -> Result<Response<ha::CacheNodesReply>, Status> {
        Ok(Response::new(ha::CacheNodesReply { nodes: self.caches.lock().unwrap().clone() }))
    }

    async fn locate(&self, _: Request<ha::LocateObjectRequest>) -> Result<Response<ha::DirectoryEntry>, Status> {
        Err(Status::unimplemented("workers ask caches"))
    }

    async fn list(&self, _: Request<ha::ListDirectoryRequest>) -> Result<Response<ha::ListDirectoryReply>, Status> {
        Err(Status::unimplemented("workers list nothing"))
    }

    async fn delete(&self, _: Request<ha::DeleteEntriesRequest>) -> Result<Response<ha::DeleteEntriesReply>, Status> {
        Err(Status::unimplemented("workers delete nothing"))
    }

    async fn remove(&self, _: Request<ha::RemoveCacheRequest>) -> Result<Response<ha::RemoveCacheReply>, Status> {
        Err(Status::unimplemented("workers remove nobody"))
    }
}
