//! A Frontend that answers from a script: what each test needs of it and nothing else.

use std::any::Any;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flame_proto::ha::cluster_server::{Cluster, ClusterServer};
use flame_proto::v1::frontend_server::{Frontend, FrontendServer};
use flame_proto::{ha, v1};
use flame_sdk::{Connection, Endpoints, Options};
use futures::Stream;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::fake_sessions::{Peer, Streams, sessions};

type Tasks = Pin<Box<dyn Stream<Item = Result<v1::Task, Status>> + Send>>;

/// What a fake server does and has seen.
pub struct Script {
    /// Answered instead of doing anything, one after the other.
    pub refusals: Vec<Status>,
    /// Do the change, but lose the answer, this often.
    pub lose_answers: u32,
    /// What is answered from then on, one after the other.
    pub refusals_after_loss: Vec<Status>,
    /// Sessions that exist, by id.
    pub sessions: HashMap<String, v1::SessionSpec>,
    /// Tasks that were made.
    pub tasks: u64,
    /// Idempotency keys of tasks, and their numbers.
    pub keys: Vec<(Vec<u8>, u64)>,
    /// The number of the next change with a request id, as it is told to whoever asks. 0: none is known.
    pub next_request: u64,
    /// Below it, requests are forgotten.
    pub forgotten_below: u64,
    /// Request id and number of every change that came, refused ones included, with the port at which it came.
    pub requests: Vec<Option<(Vec<u8>, u64)>>,
    pub ports: Vec<u16>,
    /// What was answered to each id.
    pub answers: HashMap<Vec<u8>, Box<dyn Any + Send>>,
    /// Applications that exist, by name.
    pub applications: HashMap<String, v1::ApplicationSpec>,
    /// How often anything was asked.
    pub calls: u32,
    /// Whether every call is refused.
    pub away: bool,
    /// Registrations of watches, in order.
    pub watched: Vec<String>,
    /// How GetTask answers, by number; the others are unknown.
    pub states: HashMap<u64, v1::TaskState>,
    /// Who leads, as this node knows it, and its address.
    pub leader: Option<SocketAddr>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            refusals: Vec::new(),
            lose_answers: 0,
            refusals_after_loss: Vec::new(),
            sessions: HashMap::new(),
            tasks: 0,
            keys: Vec::new(),
            next_request: 1,
            forgotten_below: 0,
            requests: Vec::new(),
            ports: Vec::new(),
            answers: HashMap::new(),
            applications: HashMap::new(),
            calls: 0,
            away: false,
            watched: Vec::new(),
            states: HashMap::new(),
            leader: None,
        }
    }
}

impl Script {
    /// What a change with this mark is answered, if it has been done or must not be.
    fn known<T: Clone + 'static>(&self, mark: Option<&(Vec<u8>, u64)>) -> Option<Result<T, Status>> {
        let (id, seen) = mark?;
        if let Some(answer) = self.answers.get(id) {
            return Some(answer.downcast_ref::<Result<T, Status>>().expect("the same change").clone());
        }
        (*seen < self.forgotten_below).then(|| {
            let mut status = Status::aborted("nobody remembers any more whether this request was done");
            status.metadata_mut().insert("flame-request-seen", self.next_request.into());
            Err(status)
        })
    }
}

/// A running fake server.
pub struct Fake {
    pub address: SocketAddr,
    pub script: Arc<Mutex<Script>>,
    /// A state of a task; none when this node goes away.
    updates: broadcast::Sender<Option<v1::Task>>,
    streams: Streams,
}

impl Fake {
    pub async fn start(script: Script) -> Self {
        Self::start_with(script, true).await
    }

    /// A server that lacks what the published protocol lacks.
    pub async fn published(script: Script) -> Self {
        Self::start_with(script, false).await
    }

    /// Another server of the same cluster.
    pub async fn beside(other: &Fake) -> Self {
        Self::serve(Arc::clone(&other.script), true).await
    }

    async fn start_with(script: Script, has_streams: bool) -> Self {
        Self::serve(Arc::new(Mutex::new(script)), has_streams).await
    }

    async fn serve(script: Arc<Mutex<Script>>, has_streams: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (updates, _) = broadcast::channel(64);
        let server = Server { script: Arc::clone(&script), updates: updates.clone(), port: address.port() };
        let (sessions, streams) = sessions();
        let serving = tonic::transport::Server::builder()
            .add_service(FrontendServer::new(server))
            .add_service(ClusterServer::new(Knowing(Arc::clone(&script))))
            .add_optional_service(has_streams.then_some(sessions))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(serving);
        Self { address, script, updates, streams }
    }

    /// The next stream that a client opens here.
    pub async fn stream(&mut self) -> Peer {
        self.streams.next().await
    }

    /// Every watcher hears of this state.
    pub fn update(&self, task: u64, state: v1::TaskState) {
        let _nobody_listens = self.updates.send(Some(self::task(task, state)));
    }

    /// Breaks every watch and answers nothing any more.
    pub fn go_away(&self) {
        self.script(|script| script.away = true);
        self.break_watches();
    }

    /// Breaks every watch, and goes on serving.
    pub fn break_watches(&self) {
        let _nobody_listens = self.updates.send(None);
    }

    pub fn script<T>(&self, look: impl FnOnce(&mut Script) -> T) -> T {
        look(&mut self.script.lock().unwrap())
    }
}

/// A client of these servers that gives up soon.
pub fn connect(addresses: &[SocketAddr]) -> Connection {
    connect_for(addresses, Duration::from_secs(20))
}

/// One whose calls end after this time.
pub fn connect_for(addresses: &[SocketAddr], deadline: Duration) -> Connection {
    connect_with(addresses, Options { deadline, ..Options::default() })
}

/// One with these options.
pub fn connect_with(addresses: &[SocketAddr], options: Options) -> Connection {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    Connection::open(Endpoints::parse(&texts).unwrap(), options).unwrap()
}

/// An address where nobody listens.
pub async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A server that takes connections and breaks them; counts them.
pub async fn breaker() -> (SocketAddr, Arc<Mutex<u32>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(0)));
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            *counter.lock().unwrap() += 1;
            // Read the request, so that it certainly was sent.
            let mut buffer = [0; 64];
            let _any = stream.readable().await;
            let _some = stream.try_read(&mut buffer);
        }
    });
    (address, count)
}

pub fn task(number: u64, state: v1::TaskState) -> v1::Task {
    let id = number.to_string();
    v1::Task {
        metadata: Some(v1::Metadata { id: id.clone(), name: id }),
        spec: Some(v1::TaskSpec { session_id: "s".into(), ..v1::TaskSpec::default() }),
        status: Some(v1::TaskStatus { state: state.into(), ..v1::TaskStatus::default() }),
    }
}

fn session(id: &str, spec: v1::SessionSpec) -> v1::Session {
    v1::Session {
        metadata: Some(v1::Metadata { id: id.into(), name: id.into() }),
        spec: Some(spec),
        status: Some(v1::SessionStatus::default()),
    }
}

struct Server {
    script: Arc<Mutex<Script>>,
    updates: broadcast::Sender<Option<v1::Task>>,
    port: u16,
}

impl Server {
    fn admit(&self) -> Result<(), Status> {
        let mut script = self.script.lock().unwrap();
        script.calls += 1;
        if script.away {
            return Err(Status::unavailable("this node goes away"));
        }
        if script.refusals.is_empty() { Ok(()) } else { Err(script.refusals.remove(0)) }
    }

    /// Does a change, once for each request id.
    fn change<M, T: Clone + Send + 'static>(
        &self,
        request: Request<M>,
        make: impl FnOnce(&mut Script, M) -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        let metadata = request.metadata();
        let id = metadata.get_bin("flame-request-id-bin").map(|id| id.to_bytes().unwrap().to_vec());
        let seen = metadata.get("flame-request-seen").map(|seen| seen.to_str().unwrap().parse().unwrap());
        let mark = id.zip(seen);
        {
            let mut script = self.script.lock().unwrap();
            script.requests.push(mark.clone());
            script.ports.push(self.port);
        }
        self.admit()?;
        let answer = {
            let mut script = self.script.lock().unwrap();
            script.known(mark.as_ref()).unwrap_or_else(|| {
                let answer = make(&mut script, request.into_inner());
                script.next_request += 1;
                mark.map(|(id, _)| script.answers.insert(id, Box::new(answer.clone())));
                answer
            })
        };
        self.answer(answer?)
    }

    /// The answer, or what a client sees when it is lost.
    fn answer<T>(&self, value: T) -> Result<Response<T>, Status> {
        let mut script = self.script.lock().unwrap();
        if script.lose_answers > 0 {
            script.lose_answers -= 1;
            let mut refusals = std::mem::take(&mut script.refusals_after_loss);
            script.refusals.append(&mut refusals);
            return Err(Status::deadline_exceeded("no answer within the deadline; the outcome is unknown"));
        }
        Ok(Response::new(value))
    }
}

/// Knows who leads.
pub struct Knowing(pub Arc<Mutex<Script>>);

#[async_trait]
impl Cluster for Knowing {
    async fn members(&self, _request: Request<ha::MembersRequest>) -> Result<Response<ha::MembersReply>, Status> {
        let (leader, next_request) = {
            let script = self.0.lock().unwrap();
            (script.leader, script.next_request)
        };
        let member = |address: SocketAddr| ha::Member { id: 7, client_endpoint: address.to_string(), ..<_>::default() };
        let members = leader.map(member).into_iter().collect();
        let leader = leader.map_or(0, |_| 7);
        Ok(Response::new(ha::MembersReply { leader, members, next_request, ..ha::MembersReply::default() }))
    }

    async fn member_status(
        &self,
        _request: Request<ha::MemberStatusRequest>,
    ) -> Result<Response<ha::MemberStatusReply>, Status> {
        Err(Status::unimplemented("member_status"))
    }

    async fn state_digest(
        &self,
        _request: Request<ha::StateDigestRequest>,
    ) -> Result<Response<ha::StateDigestReply>, Status> {
        Err(Status::unimplemented("state_digest"))
    }

    async fn cancel_task(
        &self,
        _request: Request<ha::CancelTaskRequest>,
    ) -> Result<Response<ha::CancelTaskReply>, Status> {
        Err(Status::unimplemented("cancel_task"))
    }

    async fn force_close_session(
        &self,
        _request: Request<ha::ForceCloseSessionRequest>,
    ) -> Result<Response<ha::ForceCloseSessionReply>, Status> {
        Err(Status::unimplemented("force_close_session"))
    }

    async fn transfer_leader(
        &self,
        _request: Request<ha::TransferLeaderRequest>,
    ) -> Result<Response<ha::TransferLeaderReply>, Status> {
        Err(Status::unimplemented("transfer_leader"))
    }

    async fn upgrade(&self, _request: Request<ha::UpgradeRequest>) -> Result<Response<ha::UpgradeReply>, Status> {
        Err(Status::unimplemented("upgrade"))
    }
}

macro_rules! absent {
    ($($method:ident($request:ty) -> $reply:ty;)+) => {
        #[async_trait]
        impl Frontend for Server {
            $(async fn $method(&self, _request: Request<$request>) -> Result<Response<$reply>, Status> {
                self.admit()?;
                Err(Status::unimplemented(stringify!($method)))
            })+

            type ListTaskStream = Tasks;
            type ListTasksStream = Tasks;
            type WatchTaskStream = Tasks;
            type WatchTasksStream = Tasks;

            async fn list_task(&self, _request: Request<v1::ListTaskRequest>) -> Result<Response<Tasks>, Status> {
                Err(Status::unimplemented("list_task"))
            }

            async fn watch_task(&self, _request: Request<v1::WatchTaskRequest>) -> Result<Response<Tasks>, Status> {
                Err(Status::unimplemented("watch_task"))
            }

            async fn list_tasks(&self, _request: Request<v1::ListTasksRequest>) -> Result<Response<Tasks>, Status> {
                self.admit()?;
                let mut script = self.script.lock().unwrap();
                let mut items: Vec<_> = (1..=script.tasks).map(|n| Ok(task(n, v1::TaskState::Pending))).collect();
                if script.lose_answers > 0 {
                    script.lose_answers -= 1;
                    items.truncate(items.len() / 2);
                    items.push(Err(Status::unknown("the stream was reset")));
                }
                Ok(Response::new(Box::pin(tokio_stream::iter(items))))
            }

            async fn watch_tasks(
                &self,
                request: Request<Streaming<v1::WatchTaskRequest>>,
            ) -> Result<Response<Tasks>, Status> {
                self.admit()?;
                let (tx, rx) = mpsc::channel(64);
                tokio::spawn(watch(Arc::clone(&self.script), self.updates.subscribe(), request.into_inner(), tx));
                Ok(Response::new(Box::pin(ReceiverStream::new(rx))))
            }

            async fn create_session(
                &self,
                request: Request<v1::CreateSessionRequest>,
            ) -> Result<Response<v1::Session>, Status> {
                self.change(request, |script, request| {
                    let (id, spec) = (request.session_id, request.session.unwrap());
                    if script.sessions.contains_key(&id) {
                        return Err(Status::already_exists(format!("session {id}")));
                    }
                    script.sessions.insert(id.clone(), spec.clone());
                    Ok(session(&id, spec))
                })
            }

            async fn get_session(
                &self,
                request: Request<v1::GetSessionRequest>,
            ) -> Result<Response<v1::Session>, Status> {
                self.admit()?;
                let id = request.into_inner().session_id;
                let spec = self.script.lock().unwrap().sessions.get(&id).cloned();
                self.answer(session(&id, spec.ok_or_else(|| Status::not_found(id.clone()))?))
            }

            async fn delete_session(
                &self,
                request: Request<v1::DeleteSessionRequest>,
            ) -> Result<Response<v1::Session>, Status> {
                self.change(request, |script, request| {
                    let spec = script.sessions.remove(&request.session_id);
                    let spec = spec.ok_or_else(|| Status::not_found(request.session_id.clone()))?;
                    Ok(session(&request.session_id, spec))
                })
            }

            async fn create_task(&self, request: Request<v1::CreateTaskRequest>) -> Result<Response<v1::Task>, Status> {
                let key = request.metadata().get_bin("flame-idempotency-key-bin");
                let key = key.map(|key| key.to_bytes().unwrap().to_vec());
                self.change(request, |script, _| {
                    let known = script.keys.iter().find(|(known, _)| Some(known) == key.as_ref());
                    if let Some((_, number)) = known {
                        return Ok(task(*number, v1::TaskState::Pending));
                    }
                    script.tasks += 1;
                    script.keys.extend(key.clone().map(|key| (key, script.tasks)));
                    Ok(task(script.tasks, v1::TaskState::Pending))
                })
            }

            async fn get_task(&self, request: Request<v1::GetTaskRequest>) -> Result<Response<v1::Task>, Status> {
                self.admit()?;
                let number = request.into_inner().task_id.parse().unwrap();
                let state = self.script.lock().unwrap().states.get(&number).copied();
                Ok(Response::new(task(number, state.ok_or_else(|| Status::not_found("no such task"))?)))
            }

            async fn update_application(
                &self,
                request: Request<v1::UpdateApplicationRequest>,
            ) -> Result<Response<v1::Result>, Status> {
                self.change(request, |script, request| {
                    script.applications.insert(request.name, request.application.unwrap());
                    Ok(v1::Result { return_code: 0, message: None })
                })
            }

            async fn get_application(
                &self,
                request: Request<v1::GetApplicationRequest>,
            ) -> Result<Response<v1::Application>, Status> {
                let name = request.into_inner().name;
                let spec = self.script.lock().unwrap().applications.get(&name).cloned();
                let spec = spec.ok_or_else(|| Status::not_found(name.clone()))?;
                Ok(Response::new(v1::Application {
                    metadata: Some(v1::Metadata { id: name.clone(), name }),
                    spec: Some(spec),
                    status: Some(v1::ApplicationStatus::default()),
                }))
            }
        }
    };
}

absent! {
    register_application(v1::RegisterApplicationRequest) -> v1::Result;
    unregister_application(v1::UnregisterApplicationRequest) -> v1::Result;
    list_application(v1::ListApplicationRequest) -> v1::ApplicationList;
    list_applications(v1::ListApplicationsRequest) -> v1::ApplicationList;
    list_executor(v1::ListExecutorRequest) -> v1::ExecutorList;
    list_executors(v1::ListExecutorsRequest) -> v1::ExecutorList;
    list_nodes(v1::ListNodesRequest) -> v1::NodeList;
    get_node(v1::GetNodeRequest) -> v1::GetNodeResponse;
    open_session(v1::OpenSessionRequest) -> v1::Session;
    close_session(v1::CloseSessionRequest) -> v1::Session;
    suspend_session(v1::SuspendSessionRequest) -> v1::Session;
    resume_session(v1::ResumeSessionRequest) -> v1::Session;
    list_session(v1::ListSessionRequest) -> v1::SessionList;
    list_sessions(v1::ListSessionsRequest) -> v1::SessionList;
}

/// A snapshot (Pending) for every registration, then what [`Fake::update`] says of registered tasks.
async fn watch(
    script: Arc<Mutex<Script>>,
    mut updates: broadcast::Receiver<Option<v1::Task>>,
    mut requests: Streaming<v1::WatchTaskRequest>,
    replies: mpsc::Sender<Result<v1::Task, Status>>,
) {
    let mut registered = Vec::new();
    loop {
        let reply = tokio::select! {
            request = requests.next() => match request {
                Some(Ok(request)) => {
                    script.lock().unwrap().watched.push(request.task_id.clone());
                    let number = request.task_id.parse().unwrap();
                    registered.push(request.task_id);
                    task(number, v1::TaskState::Pending)
                }
                _ => return,
            },
            update = updates.recv() => match update {
                Ok(Some(task)) if registered.contains(&task.metadata.as_ref().unwrap().id) => task,
                Ok(Some(_)) => continue,
                Ok(None) | Err(_) => {
                    let _gone = replies.send(Err(Status::unavailable("this node goes away"))).await;
                    return;
                }
            },
        };
        if replies.send(Ok(reply)).await.is_err() {
            return;
        }
    }
}
