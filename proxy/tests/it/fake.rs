//! A coordinator that does what a test says, and a proxy in front of several.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use flame_proto::instance::RawCodec;
use flame_proto::v1::frontend_client::FrontendClient;
use flame_proto::{ha, v1};
use flame_proxy::Proxy;
use flame_sdk::{Connection, Endpoints, Options};
use flame_types::limits::MESSAGE_BYTES_MAX;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use prost::Message;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::metadata::MetadataMap;
use tonic::server::Grpc;
use tonic::transport::Channel;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};
use tower::service_fn;

/// Nothing here takes so long, however busy the machine is.
pub const LIMIT: Duration = Duration::from_secs(30);

/// What changes name beside their request ids.
pub const NEXT_REQUEST: u64 = 7;

/// What a coordinator is asked.
pub struct Asked {
    /// The last part of the path.
    pub method: String,
    pub metadata: MetadataMap,
    pub requests: Streaming<Bytes>,
}

pub type Replies = BoxStream<'static, Result<Bytes, Status>>;

type Handler = Arc<dyn Fn(Asked) -> Result<Replies, Status> + Send + Sync>;

/// A running coordinator.
pub struct Fake {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    /// Its own, so that it can die as a process dies.
    runtime: Option<Runtime>,
}

impl Fake {
    /// One that answers everything so, but questions about the cluster.
    pub fn start(handler: impl Fn(Asked) -> Result<Replies, Status> + Send + Sync + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (handler, log): (Handler, _) = (Arc::new(handler), Arc::clone(&asked));
        runtime.spawn(async move {
            let incoming = TcpIncoming::from(TcpListener::from_std(listener).unwrap());
            let service = service_fn(move |request| answer(request, Arc::clone(&handler), Arc::clone(&log)));
            tonic::transport::Server::builder().serve_with_incoming(service, incoming).await.unwrap();
        });
        Self { address, asked, runtime: Some(runtime) }
    }

    /// Without a word.
    pub fn die(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// The methods it was asked for.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.die();
    }
}

async fn answer(
    request: http::Request<tonic::body::Body>,
    handler: Handler,
    log: Arc<Mutex<Vec<String>>>,
) -> Result<http::Response<tonic::body::Body>, Infallible> {
    let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
    let open = service_fn(|request: Request<Streaming<Bytes>>| {
        let (metadata, _, requests) = request.into_parts();
        let asked = Asked { method: method.clone(), metadata, requests };
        let reply = match asked.method.as_str() {
            // It knows nobody, and what a change has to name.
            "Members" => one(&ha::MembersReply { next_request: NEXT_REQUEST, ..ha::MembersReply::default() }),
            _ => {
                log.lock().unwrap().push(asked.method.clone());
                handler(asked)
            }
        };
        std::future::ready(reply.map(Response::new))
    });
    let codec = RawCodec::<Bytes, Bytes>::default();
    Ok(Grpc::new(codec).max_decoding_message_size(2 * MESSAGE_BYTES_MAX).streaming(open, request).await)
}

/// One message.
pub fn one(message: &impl Message) -> Result<Replies, Status> {
    Ok(several([Ok(encoded(message))]))
}

/// What comes one after the other; then the stream ends.
pub fn several(items: impl IntoIterator<Item = Result<Bytes, Status>>) -> Replies {
    let items: Vec<_> = items.into_iter().collect();
    stream::iter(items).boxed()
}

/// The same, and then nothing.
pub fn and_then_nothing(items: impl IntoIterator<Item = Result<Bytes, Status>>) -> Replies {
    several(items).chain(stream::pending()).boxed()
}

pub fn encoded(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

pub fn task(number: u64, state: v1::TaskState) -> v1::Task {
    let id = number.to_string();
    v1::Task {
        metadata: Some(v1::Metadata { id: id.clone(), name: id }),
        spec: Some(v1::TaskSpec { session_id: "s".into(), ..v1::TaskSpec::default() }),
        status: Some(v1::TaskStatus { state: state.into(), ..v1::TaskStatus::default() }),
    }
}

pub fn shown(number: u64, state: v1::TaskState) -> Result<Bytes, Status> {
    Ok(encoded(&task(number, state)))
}

/// An answer that is lost.
pub fn lost() -> Status {
    Status::deadline_exceeded("the outcome is unknown")
}

/// A proxy that serves.
pub struct Served {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    pub serving: JoinHandle<()>,
}

impl Served {
    pub async fn start(coordinators: &[SocketAddr]) -> Self {
        Self::start_with(coordinators, Options::default()).await
    }

    pub async fn start_with(coordinators: &[SocketAddr], options: Options) -> Self {
        let endpoints: Vec<String> = coordinators.iter().map(ToString::to_string).collect();
        let connection = Connection::open(Endpoints::parse(&endpoints).unwrap(), options).unwrap();
        let proxy = Proxy::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = proxy.address();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            let stopped = async {
                let _or_dropped = stopped.await;
            };
            proxy.serve(connection, stopped).await.unwrap();
        });
        Self { address, stop: Some(stop), serving }
    }

    pub fn stop(&mut self) {
        self.stop.take();
    }

    /// A published client: one endpoint, no second try.
    pub async fn client(&self) -> FrontendClient<Channel> {
        client(self.address).await
    }
}

pub async fn client(address: SocketAddr) -> FrontendClient<Channel> {
    let client = FrontendClient::connect(format!("http://{address}")).await.unwrap();
    client.max_decoding_message_size(2 * MESSAGE_BYTES_MAX)
}

/// The next message; none at the end.
pub async fn next(stream: &mut Streaming<v1::Task>) -> Result<Option<(u64, v1::TaskState)>, Status> {
    let message = timeout(LIMIT, stream.message()).await.expect("nothing is told")?;
    Ok(message.map(|task| {
        let state = task.status.unwrap().state();
        (task.metadata.unwrap().id.parse().unwrap(), state)
    }))
}

/// All that comes until the end.
pub async fn rest(stream: &mut Streaming<v1::Task>) -> Result<Vec<(u64, v1::TaskState)>, Status> {
    let mut all = Vec::new();
    while let Some(told) = next(stream).await? {
        all.push(told);
    }
    Ok(all)
}
