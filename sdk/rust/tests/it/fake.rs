//! A Frontend that answers from a script: what each test needs of it and nothing else.

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
#[derive(Default)]
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
    /// The key of every CreateTask that came, refused ones included.
    pub keys: Vec<Vec<u8>>,
    /// The task of every key.
    pub tasks_by_key: HashMap<Vec<u8>, u64>,
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

    async fn start_with(script: Script, has_streams: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(script));
        let (updates, _) = broadcast::channel(64);
        let server = Server { script: Arc::clone(&script), updates: updates.clone() };
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
struct Knowing(Arc<Mutex<Script>>);

#[async_trait]
impl Cluster for Knowing {
    async fn members(&self, _request: Request<ha::MembersRequest>) -> Result<Response<ha::MembersReply>, Status> {
        let leader = self.0.lock().unwrap().leader;
        let member = |address: SocketAddr| ha::Member { id: 7, client_endpoint: address.to_string(), ..<_>::default() };
        let members = leader.map(member).into_iter().collect();
        Ok(Response::new(ha::MembersReply { leader: leader.map_or(0, |_| 7), members, ..ha::MembersReply::default() }))
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
                self.admit()?;
                let request = request.into_inner();
                let spec = request.session.unwrap();
                let before = self.script.lock().unwrap().sessions.insert(request.session_id.clone(), spec.clone());
                if before.is_some() {
                    return Err(Status::already_exists(format!("session {}", request.session_id)));
                }
                self.answer(session(&request.session_id, spec))
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
                self.admit()?;
                let id = request.into_inner().session_id;
                let spec = self.script.lock().unwrap().sessions.remove(&id);
                self.answer(session(&id, spec.ok_or_else(|| Status::not_found(id.clone()))?))
            }

            async fn create_task(&self, request: Request<v1::CreateTaskRequest>) -> Result<Response<v1::Task>, Status> {
                let key = request.metadata().get_bin("flame-idempotency-key-bin").unwrap().to_bytes().unwrap().to_vec();
                self.script.lock().unwrap().keys.push(key.clone());
                self.admit()?;
                let number = {
                    let mut script = self.script.lock().unwrap();
                    let next = script.tasks + 1;
                    let number = *script.tasks_by_key.entry(key).or_insert(next);
                    script.tasks = script.tasks.max(number);
                    number
                };
                self.answer(task(number, v1::TaskState::Pending))
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
                self.admit()?;
                let request = request.into_inner();
                self.script.lock().unwrap().applications.insert(request.name, request.application.unwrap());
                self.answer(v1::Result { return_code: 0, message: None })
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
