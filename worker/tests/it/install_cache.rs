//! Packages from an object cache, played by the test.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use flame_proto::v1;
use flame_proto::v1::cache_get_response::Payload;
use flame_proto::v1::object_cache_service_server::{ObjectCacheService, ObjectCacheServiceServer};
use futures::{Stream, stream};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use crate::hub::{EXECUTOR, Hub, SESSION};
use crate::install::{package, packaged, serve, versions};
use crate::worker::{Place, Worker};

const KEY: &str = "echo/pkg/app.tar.gz";

/// One object and its version, and how often it was read.
#[derive(Clone, Default)]
struct Cache {
    objects: Arc<Mutex<BTreeMap<String, (u64, Bytes)>>>,
    reads: Arc<Mutex<u32>>,
}

impl Cache {
    /// Serves on a port of its own; answers where.
    async fn serve(&self) -> String {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tonic::transport::Server::builder().add_service(ObjectCacheServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        address
    }

    /// Puts a package whose service says this version.
    fn put(&self, place: &Place, version: u64) {
        let file = place.path("app.tar.gz");
        package(&file, &[("bin/serve", &serve(&format!("v{version}")))]);
        self.objects.lock().unwrap().insert(KEY.to_owned(), (version, fs::read(file).unwrap().into()));
    }

    fn object(&self, key: &str) -> Result<(u64, Bytes), Status> {
        self.objects.lock().unwrap().get(key).cloned().ok_or_else(|| Status::not_found(format!("there is no {key}")))
    }

    fn reads(&self) -> u32 {
        *self.reads.lock().unwrap()
    }
}

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl ObjectCacheService for Cache {
    type GetStream = Replies<v1::CacheGetResponse>;
    type ListStream = Replies<v1::CacheObjectMetadata>;

    async fn get(&self, request: Request<v1::CacheGetRequest>) -> Result<Response<Self::GetStream>, Status> {
        let (_, bytes) = self.object(&request.into_inner().key)?;
        *self.reads.lock().unwrap() += 1;
        let header = Payload::Header(v1::CacheGetHeader { version: 1, data_type: "raw".into() });
        let chunks = bytes
            .chunks(100)
            .map(|data| Payload::Chunk(v1::CacheGetChunk { version: 1, data: Bytes::copy_from_slice(data) }));
        let replies: Vec<_> = std::iter::once(header)
            .chain(chunks)
            .map(|payload| Ok(v1::CacheGetResponse { payload: Some(payload) }))
            .collect();
        Ok(Response::new(Box::pin(stream::iter(replies))))
    }

    async fn get_metadata(
        &self,
        request: Request<v1::CacheGetMetadataRequest>,
    ) -> Result<Response<v1::CacheObjectMetadata>, Status> {
        let key = request.into_inner().key;
        let (version, bytes) = self.object(&key)?;
        let size = bytes.len() as u64;
        Ok(Response::new(v1::CacheObjectMetadata { key, version, size, ..v1::CacheObjectMetadata::default() }))
    }

    async fn put(
        &self,
        _: Request<Streaming<v1::CacheWriteRequest>>,
    ) -> Result<Response<v1::CacheObjectMetadata>, Status> {
        Err(Status::unimplemented("nobody puts here"))
    }

    async fn patch(
        &self,
        _: Request<Streaming<v1::CacheWriteRequest>>,
    ) -> Result<Response<v1::CacheObjectMetadata>, Status> {
        Err(Status::unimplemented("nobody patches here"))
    }

    async fn delete(&self, _: Request<v1::CacheDeleteRequest>) -> Result<Response<v1::CacheDeleteResponse>, Status> {
        Err(Status::unimplemented("nobody deletes here"))
    }

    async fn list(&self, _: Request<v1::CacheListRequest>) -> Result<Response<Self::ListStream>, Status> {
        Err(Status::unimplemented("nobody lists here"))
    }
}

/// A port on which nobody listens any more.
async fn nobody() -> String {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_package_is_read_once_for_each_version() {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let cache = Cache::default();
    let address = cache.serve().await;
    let _worker = Worker::start(&place, &[&hub.endpoint]);
    let mut link = hub.attach().await;
    let application = packaged(&place, "binary", format!("grpc://{address}/{KEY}"));
    link.start(application.clone()).await;
    let (code, message) = link.bind_failure().await;
    assert!(code == 10 && message.contains("does not have it") && message.contains(KEY), "{message}");
    cache.put(&place, 1);
    for executor in [1, 2] {
        link.start_executor(EXECUTOR + executor, SESSION, application.clone()).await;
        link.ready().await;
    }
    assert_eq!((versions(&place), cache.reads()), (vec!["v1".to_owned(), "v1".to_owned()], 1));
    cache.put(&place, 2);
    link.start_executor(EXECUTOR + 3, SESSION, application).await;
    link.ready().await;
    assert_eq!((versions(&place).last().map(String::as_str), cache.reads()), (Some("v2"), 2));
}

#[tokio::test]
async fn another_node_is_asked_when_the_one_of_the_url_is_gone() {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let cache = Cache::default();
    cache.put(&place, 1);
    let (gone, address) = (nobody().await, cache.serve().await);
    fs::create_dir_all(place.path("home/.flame")).unwrap();
    let settings = format!("cache: {{ endpoint: 'grpc://{gone},grpc://{address}' }}\n");
    fs::write(place.path("home/.flame/flame-cluster.yaml"), settings).unwrap();
    let _worker = Worker::start(&place, &[&hub.endpoint]);
    let mut link = hub.attach().await;
    link.start(packaged(&place, "binary", format!("grpc://{gone}/{KEY}"))).await;
    link.ready().await;
    assert_eq!(versions(&place), ["v1"]);
}

#[tokio::test]
async fn the_coordinators_know_who_else_has_it() {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let cache = Cache::default();
    cache.put(&place, 1);
    let (gone, away, address) = (nobody().await, nobody().await, cache.serve().await);
    let _worker = Worker::start(&place, &[&hub.endpoint]);
    let mut link = hub.attach().await;
    let application = packaged(&place, "binary", format!("grpc://{gone}/{KEY}"));
    hub.knows_cache(format!("grpc://{away}"), true);
    link.start(application.clone()).await;
    let (_, message) = link.bind_failure().await;
    assert!(message.contains(&gone) && !message.contains(&away), "{message}");
    hub.knows_cache(format!("grpc://{address}"), false);
    link.start_executor(EXECUTOR + 1, SESSION, application).await;
    link.ready().await;
    assert_eq!(versions(&place), ["v1"]);
}
