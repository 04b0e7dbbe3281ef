//! Orders of operators are sent again when their answers are lost, with the same request id.

use std::sync::{Arc, Mutex};

use flame_proto::ha;
use flame_proto::ha::cluster_server::ClusterServer;
use flame_proto::ha::operate_server::{Operate, OperateServer};
use flame_sdk::FlameError;
use flame_sdk::types::{NodeState, Resources};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, async_trait};

use crate::fake::{Knowing, connect};

/// What a fake server answers, one after the other; then it does what it is asked.
type Script = Arc<Mutex<Vec<Status>>>;

/// Knows one node, `w1`, and counts the orders.
struct Server {
    script: Script,
    orders: Arc<Mutex<Vec<String>>>,
    ids: Ids,
}

/// The request ids of the orders.
type Ids = Arc<Mutex<Vec<Option<bytes::Bytes>>>>;

impl Server {
    fn order<T>(&self, request: &Request<T>, order: String) -> Result<Response<ha::NodeLoad>, Status> {
        self.orders.lock().unwrap().push(order);
        let id = request.metadata().get_bin("flame-request-id-bin").map(|id| id.to_bytes().unwrap());
        self.ids.lock().unwrap().push(id);
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
        self.order(&request, format!("get {}", request.get_ref().name))
    }

    async fn cordon_node(&self, request: Request<ha::CordonNodeRequest>) -> Result<Response<ha::NodeLoad>, Status> {
        let ha::CordonNodeRequest { name, on } = request.get_ref();
        self.order(&request, format!("cordon {name} {on}"))
    }

    async fn drain_node(&self, request: Request<ha::DrainNodeRequest>) -> Result<Response<ha::NodeLoad>, Status> {
        self.order(&request, format!("drain {}", request.get_ref().name))
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

    async fn read_install_logs(
        &self,
        request: Request<ha::ReadInstallLogsRequest>,
    ) -> Result<Response<ha::ReadInstallLogsReply>, Status> {
        let ha::ReadInstallLogsRequest { application, node } = request.into_inner();
        let log = ha::NodeInstallLog { node, text: application, ..ha::NodeInstallLog::default() };
        Ok(Response::new(ha::ReadInstallLogsReply { logs: vec![log], ..ha::ReadInstallLogsReply::default() }))
    }
}

/// A client of a server with this script, and the orders that come.
async fn client(script: Vec<Status>) -> (flame_sdk::Connection, Arc<Mutex<Vec<String>>>, Ids) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let orders = Arc::new(Mutex::new(Vec::new()));
    let ids = Ids::default();
    let server = Server { script: Arc::new(Mutex::new(script)), orders: orders.clone(), ids: ids.clone() };
    let serving = tonic::transport::Server::builder()
        .add_service(OperateServer::new(server))
        .add_service(ClusterServer::new(Knowing(Arc::default())));
    tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));
    (connect(&[address]), orders, ids)
}

fn lost() -> Status {
    Status::deadline_exceeded("no answer within the deadline; the outcome is unknown")
}

#[tokio::test]
async fn an_order_whose_answer_is_lost_is_given_again() {
    let (connection, orders, ids) = client(vec![lost(), Status::unavailable("no leader")]).await;
    let load = connection.drain_node("w1").await.unwrap();
    assert_eq!(load.allocated, Resources { cpu: 2, memory: 1, gpu: 0 });
    assert!(load.cordoned && load.state.is(NodeState::Ready));
    assert_eq!(*orders.lock().unwrap(), ["drain w1"; 3]);
    let given = ids.lock().unwrap().clone();
    assert!(given[0].is_some() && given.iter().all(|id| *id == given[0]), "{given:?}");
    connection.cordon_node("w1", false).await.unwrap();
    assert_eq!(orders.lock().unwrap().last().unwrap(), "cordon w1 false");
    assert_ne!(ids.lock().unwrap().last().unwrap(), &given[0]);
}

#[tokio::test]
async fn a_refusal_says_that_nothing_was_done() {
    let not_found = || Status::not_found("node w1 not found");
    for script in [vec![not_found()], vec![lost(), not_found()]] {
        let (connection, ..) = client(script).await;
        let error = connection.cordon_node("w1", true).await.unwrap_err();
        assert_eq!(
            error,
            FlameError::NotFound("node w1 not found".into()),
            "also of the attempt whose answer was lost"
        );
    }
}

#[tokio::test]
async fn what_is_read_is_what_was_said() {
    let (connection, ..) = client(Vec::new()).await;
    let nodes = connection.list_node_loads().await.unwrap();
    assert_eq!(nodes, [connection.get_node_load("w1").await.unwrap()]);
    let events = connection.list_cluster_events(41, 0).await.unwrap();
    assert_eq!((events.events[0].number, events.newest), (42, 42));
    let logs = connection.read_install_logs("app", Some("w1")).await.unwrap();
    assert_eq!((logs[0].node.as_str(), logs[0].text.as_str()), ("w1", "app"));
    let error = connection.explain_task("s", flame_sdk::types::TaskNo(1)).await.unwrap_err();
    assert!(matches!(error, FlameError::Unimplemented(_)), "an older coordinator: {error:?}");
}
