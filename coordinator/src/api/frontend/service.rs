//! The methods of the published service. What a shared method may show is decided by the caller's user agent; an old
//! name shows what 0.6 knows, a new one everything.

use flame_proto::v1;
use flame_proto::v1::frontend_server::Frontend;
use tonic::{Request, Response, Status, Streaming};

use super::{applications, executors, nodes, sessions, tasks, watch, watch_many};
use crate::api::call::Call;
use crate::api::dialect::Dialect;
use crate::api::outbox::Messages;
use crate::drive::gateway::Gateway;

/// The published service of this node.
#[derive(Clone)]
pub struct FrontendService {
    gateway: Gateway,
}

impl FrontendService {
    /// A service that works through this gateway.
    #[must_use]
    pub fn new(gateway: Gateway) -> Self {
        Self { gateway }
    }
}

type Answer<T> = Result<Response<T>, Status>;

fn open<T>(request: Request<T>) -> (Call, T) {
    (Call::of(request.metadata()), request.into_inner())
}

fn open_as<T>(dialect: Dialect, request: Request<T>) -> (Call, T) {
    let (call, message) = open(request);
    (call.speaking(dialect), message)
}

#[tonic::async_trait]
impl Frontend for FrontendService {
    async fn register_application(&self, request: Request<v1::RegisterApplicationRequest>) -> Answer<v1::Result> {
        let (call, message) = open(request);
        applications::register(&self.gateway, call, message).await.map(Response::new)
    }

    async fn unregister_application(&self, request: Request<v1::UnregisterApplicationRequest>) -> Answer<v1::Result> {
        let (call, message) = open(request);
        applications::unregister(&self.gateway, call, message).await.map(Response::new)
    }

    async fn update_application(&self, request: Request<v1::UpdateApplicationRequest>) -> Answer<v1::Result> {
        let (call, message) = open(request);
        applications::update(&self.gateway, call, message).await.map(Response::new)
    }

    async fn get_application(&self, request: Request<v1::GetApplicationRequest>) -> Answer<v1::Application> {
        let (call, message) = open(request);
        applications::get(&self.gateway, call, message).await.map(Response::new)
    }

    async fn list_application(&self, request: Request<v1::ListApplicationRequest>) -> Answer<v1::ApplicationList> {
        let (call, _) = open_as(Dialect::V06, request);
        applications::list(&self.gateway, call, None).await.map(Response::new)
    }

    async fn list_applications(&self, request: Request<v1::ListApplicationsRequest>) -> Answer<v1::ApplicationList> {
        let (call, message) = open_as(Dialect::V07, request);
        applications::list(&self.gateway, call, message.state).await.map(Response::new)
    }

    async fn list_executor(&self, request: Request<v1::ListExecutorRequest>) -> Answer<v1::ExecutorList> {
        let (call, _) = open_as(Dialect::V06, request);
        executors::list(&self.gateway, call).await.map(Response::new)
    }

    async fn list_executors(&self, request: Request<v1::ListExecutorsRequest>) -> Answer<v1::ExecutorList> {
        let (call, _) = open_as(Dialect::V07, request);
        executors::list(&self.gateway, call).await.map(Response::new)
    }

    async fn list_nodes(&self, request: Request<v1::ListNodesRequest>) -> Answer<v1::NodeList> {
        let (call, _) = open(request);
        nodes::list(&self.gateway, call).await.map(Response::new)
    }

    async fn get_node(&self, request: Request<v1::GetNodeRequest>) -> Answer<v1::GetNodeResponse> {
        let (call, message) = open(request);
        nodes::get(&self.gateway, call, message).await.map(Response::new)
    }

    async fn create_session(&self, request: Request<v1::CreateSessionRequest>) -> Answer<v1::Session> {
        let (call, message) = open(request);
        sessions::create(&self.gateway, call, message).await.map(Response::new)
    }

    async fn delete_session(&self, request: Request<v1::DeleteSessionRequest>) -> Answer<v1::Session> {
        let (call, message) = open(request);
        sessions::delete(&self.gateway, call, message).await.map(Response::new)
    }

    async fn open_session(&self, request: Request<v1::OpenSessionRequest>) -> Answer<v1::Session> {
        let (call, message) = open(request);
        sessions::open(&self.gateway, call, message).await.map(Response::new)
    }

    async fn close_session(&self, request: Request<v1::CloseSessionRequest>) -> Answer<v1::Session> {
        let (call, message) = open(request);
        sessions::close(&self.gateway, call, message).await.map(Response::new)
    }

    async fn suspend_session(&self, request: Request<v1::SuspendSessionRequest>) -> Answer<v1::Session> {
        let (call, message) = open_as(Dialect::V07, request);
        sessions::suspend(&self.gateway, call, message).await.map(Response::new)
    }

    async fn resume_session(&self, request: Request<v1::ResumeSessionRequest>) -> Answer<v1::Session> {
        let (call, message) = open_as(Dialect::V07, request);
        sessions::resume(&self.gateway, call, message).await.map(Response::new)
    }

    async fn get_session(&self, request: Request<v1::GetSessionRequest>) -> Answer<v1::Session> {
        let (call, message) = open(request);
        sessions::get(&self.gateway, call, message).await.map(Response::new)
    }

    async fn list_session(&self, request: Request<v1::ListSessionRequest>) -> Answer<v1::SessionList> {
        let (call, _) = open_as(Dialect::V06, request);
        sessions::list(&self.gateway, call, v1::ListSessionsRequest::default()).await.map(Response::new)
    }

    async fn list_sessions(&self, request: Request<v1::ListSessionsRequest>) -> Answer<v1::SessionList> {
        let (call, message) = open_as(Dialect::V07, request);
        sessions::list(&self.gateway, call, message).await.map(Response::new)
    }

    async fn create_task(&self, request: Request<v1::CreateTaskRequest>) -> Answer<v1::Task> {
        let key = tasks::idempotency_key(request.metadata())?;
        let (call, message) = open(request);
        tasks::create(&self.gateway, call, message, key).await.map(Response::new)
    }

    async fn get_task(&self, request: Request<v1::GetTaskRequest>) -> Answer<v1::Task> {
        let (call, message) = open(request);
        tasks::get(&self.gateway, call, message).await.map(Response::new)
    }

    type ListTaskStream = Messages<v1::Task>;

    async fn list_task(&self, request: Request<v1::ListTaskRequest>) -> Answer<Messages<v1::Task>> {
        let (call, message) = open_as(Dialect::V06, request);
        tasks::list(&self.gateway, call, &message.session_id).await.map(Response::new)
    }

    type ListTasksStream = Messages<v1::Task>;

    async fn list_tasks(&self, request: Request<v1::ListTasksRequest>) -> Answer<Messages<v1::Task>> {
        let (call, message) = open_as(Dialect::V07, request);
        tasks::list(&self.gateway, call, &message.session_id).await.map(Response::new)
    }

    type WatchTaskStream = Messages<v1::Task>;

    async fn watch_task(&self, request: Request<v1::WatchTaskRequest>) -> Answer<Messages<v1::Task>> {
        let (call, message) = open_as(Dialect::V06, request);
        watch::watch(&self.gateway, call, message).await.map(Response::new)
    }

    type WatchTasksStream = Messages<v1::Task>;

    async fn watch_tasks(&self, request: Request<Streaming<v1::WatchTaskRequest>>) -> Answer<Messages<v1::Task>> {
        let (call, registrations) = open_as(Dialect::V07, request);
        Ok(Response::new(watch_many::watch(&self.gateway, call, registrations)))
    }
}
