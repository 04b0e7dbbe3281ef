//! Orders of operators are sent again when their answers are lost; a refusal of a repeat is not believed.

use std::sync::{Arc, Mutex};

use flame_proto::ha;
use flame_proto::ha::operate_server::{Operate, OperateServer};
use flame_sdk::FlameError;
use flame_sdk::types::{NodeState, Resources};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, async_trait};

use crate::fake::connect;

/// What a fake server answers, one after the other; then it does what it is asked.
type Script = Arc<Mutex<Vec<Status>>>;

/// Knows one node, `w1`, and counts the orders.
struct Server {
    script: Script,
    orders: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn order(&self, order: String) -> Result<Response<ha::NodeLoad>, Status> {
        self.orders.lock().unwrap().push(order);
        let mut script = self.script.lock().unwrap();
        if script.is_empty() { Ok(Response::new(load())) } else { Err(script.remove(0)) }
    }
}

fn load() -> ha::NodeLoad {
    ha::NodeLoad {
        name: "w1".into(),
        state: NodeState::Ready.number(),
        cordoned: true,
        allocated: Some(ha::Resources { cpu: 2, memory: 1, gpu: 0 }),
        ..ha::NodeLoad::default()
    }
}

#[async_trait]
impl Operate for Server {
    async fn list_node_loads(
        &self,
        _request: Request<ha::ListNodeLoadsRequest>,
    ) -> Result<Response<ha::ListNodeLoadsReply>, Status> {
        Ok(Response::new(ha::ListNodeLoadsReply { nodes: vec![load()] }))
    }

    async fn get_node_load(&self, request: Request<ha::GetNodeLoadRequest>) -> Result<Response<ha::NodeLoad>, Status> {
        self.order(format!("get {}", request.into_inner().name))
    }

    async fn cordon_node(&self, request: Request<ha::CordonNodeRequest>) -> Result<Response<ha::NodeLoad>, Status> {
        let ha::CordonNodeRequest { name, on } = request.into_inner();
        self.order(format!("cordon {name} {on}"))
    }

    async fn drain_node(&self, request: Request<ha::DrainNodeRequest>) -> Result<Response<ha::NodeLoad>, Status> {
        self.order(format!("drain {}", request.into_inner().name))
    }

    async fn explain_task(
        &self,
        _request: Request<ha::ExplainTaskRequest>,
    ) -> Result<Response<ha::ExplainTaskReply>, Status> {
        Err(Status::unimplemented("explain_task"))
    }

    async fn list_cluster_events(
        &self,
        request: Request<ha::ListClusterEventsRequest>,
    ) -> Result<Response<ha::ListClusterEventsReply>, Status> {
        let number = request.into_inner().after + 1;
        let event = ha::ClusterEvent { number, kind: "leader".into(), ..ha::ClusterEvent::default() };
        Ok(Response::new(ha::ListClusterEventsReply { events: vec![event], oldest: 1, newest: number }))
    }
}

/// A client of a server with this script, and the orders that come.
async fn client(script: Vec<Status>) -> (flame_sdk::Connection, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let orders = Arc::new(Mutex::new(Vec::new()));
    let server = Server { script: Arc::new(Mutex::new(script)), orders: orders.clone() };
    let serving = tonic::transport::Server::builder().add_service(OperateServer::new(server));
    tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));
    (connect(&[address]), orders)
}

fn lost() -> Status {
    Status::deadline_exceeded("no answer within the deadline; the outcome is unknown")
}

#[tokio::test]
async fn an_order_whose_answer_is_lost_is_given_again() {
    let (connection, orders) = client(vec![lost(), Status::unavailable("no leader")]).await;
    let load = connection.drain_node("w1").await.unwrap();
    assert_eq!(load.allocated, Resources { cpu: 2, memory: 1, gpu: 0 });
    assert!(load.cordoned && load.state.is(NodeState::Ready));
    assert_eq!(*orders.lock().unwrap(), ["drain w1"; 3]);
    connection.cordon_node("w1", false).await.unwrap();
    assert_eq!(orders.lock().unwrap().last().unwrap(), "cordon w1 false");
}

#[tokio::test]
async fn a_refusal_says_that_nothing_was_done_unless_an_answer_was_lost() {
    let not_found = || Status::not_found("node w1 not found");
    let (connection, _) = client(vec![not_found()]).await;
    let error = connection.cordon_node("w1", true).await.unwrap_err();
    assert_eq!(error, FlameError::NotFound("node w1 not found".into()));
    let (connection, _) = client(vec![lost(), not_found()]).await;
    let error = connection.cordon_node("w1", true).await.unwrap_err();
    assert!(matches!(error, FlameError::UnknownOutcome(_)), "{error:?}");
}

#[tokio::test]
async fn what_is_read_is_what_was_said() {
    let (connection, _) = client(Vec::new()).await;
    let nodes = connection.list_node_loads().await.unwrap();
    assert_eq!(nodes, [connection.get_node_load("w1").await.unwrap()]);
    let events = connection.list_cluster_events(41, 0).await.unwrap();
    assert_eq!((events.events[0].number, events.newest), (42, 42));
    let error = connection.explain_task("s", flame_sdk::types::TaskNo(1)).await.unwrap_err();
    assert!(matches!(error, FlameError::Unimplemented(_)), "an older coordinator: {error:?}");
}
