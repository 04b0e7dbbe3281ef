//! The methods.

use flame_proto::ha;
use flame_proto::ha::operate_server::Operate;
use tonic::{Request, Response, Status};

use super::{events, explain, logs, nodes};
use crate::api::call::Call;
use crate::drive::gateway::Gateway;
use crate::drive::hub::Hub;

/// The service of this node.
pub struct OperateService {
    gateway: Gateway,
    hub: Hub,
}

impl OperateService {
    /// A service that works through this gateway, and asks workers through this hub while this node leads.
    #[must_use]
    pub fn new(gateway: Gateway, hub: Hub) -> Self {
        Self { gateway, hub }
    }
}

type Answer<T> = Result<Response<T>, Status>;

fn open<T>(request: Request<T>) -> (Call, T) {
    (Call::of(request.metadata()), request.into_inner())
}

#[tonic::async_trait]
impl Operate for OperateService {
    async fn list_node_loads(&self, request: Request<ha::ListNodeLoadsRequest>) -> Answer<ha::ListNodeLoadsReply> {
        let (call, _) = open(request);
        nodes::list(&self.gateway, call).await.map(Response::new)
    }

    async fn get_node_load(&self, request: Request<ha::GetNodeLoadRequest>) -> Answer<ha::NodeLoad> {
        let (call, message) = open(request);
        nodes::get(&self.gateway, call, &message.name).await.map(Response::new)
    }

    async fn cordon_node(&self, request: Request<ha::CordonNodeRequest>) -> Answer<ha::NodeLoad> {
        let (call, message) = open(request);
        nodes::cordon(&self.gateway, call, &message.name, message.on).await.map(Response::new)
    }

    async fn drain_node(&self, request: Request<ha::DrainNodeRequest>) -> Answer<ha::NodeLoad> {
        let (call, message) = open(request);
        nodes::drain(&self.gateway, call, &message.name).await.map(Response::new)
    }

    async fn explain_task(&self, request: Request<ha::ExplainTaskRequest>) -> Answer<ha::ExplainTaskReply> {
        let (call, message) = open(request);
        explain::explain(&self.gateway, call, message).await.map(Response::new)
    }

    async fn list_cluster_events(
        &self,
        request: Request<ha::ListClusterEventsRequest>,
    ) -> Answer<ha::ListClusterEventsReply> {
        let (call, message) = open(request);
        events::list(&self.gateway, call, message).await.map(Response::new)
    }

    async fn read_install_logs(
        &self,
        request: Request<ha::ReadInstallLogsRequest>,
    ) -> Answer<ha::ReadInstallLogsReply> {
        let (call, message) = open(request);
        logs::read(&self.gateway, &self.hub, call, message).await.map(Response::new)
    }
}
