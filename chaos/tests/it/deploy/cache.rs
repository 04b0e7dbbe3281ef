//! An object cache in memory, by the published gRPC service, as far as packages need it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use flame_proto::v1;
use flame_proto::v1::cache_get_response::Payload;
use flame_proto::v1::cache_write_request::Payload as Written;
use flame_proto::v1::object_cache_service_server::{ObjectCacheService, ObjectCacheServiceServer};
use futures::{Stream, stream};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// Its objects, and how often one was put.
#[derive(Clone, Default)]
pub struct Cache {
    objects: Arc<Mutex<BTreeMap<String, Bytes>>>,
    puts: Arc<AtomicUsize>,
}

impl Cache {
    /// Serves on a port of its own until the test ends; answers where.
    pub async fn serve(&self) -> Result<String> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let endpoint = format!("grpc://{}", listener.local_addr()?);
        let server = tonic::transport::Server::builder().add_service(ObjectCacheServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        Ok(endpoint)
    }

    /// What is there.
    pub fn keys(&self) -> Vec<String> {
        self.objects.lock().expect("nobody panics here").keys().cloned().collect()
    }

    /// How often something was put.
    pub fn puts(&self) -> usize {
        self.puts.load(Ordering::SeqCst)
    }

    fn object(&self, key: &str) -> Result<Bytes, Status> {
        let objects = self.objects.lock().expect("nobody panics here");
        objects.get(key).cloned().ok_or_else(|| Status::not_found(format!("there is no {key}")))
    }
}

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl ObjectCacheService for Cache {
    type GetStream = Replies<v1::CacheGetResponse>;
    type ListStream = Replies<v1::CacheObjectMetadata>;

    async fn put(
        &self,
        request: Request<Streaming<v1::CacheWriteRequest>>,
    ) -> Result<Response<v1::CacheObjectMetadata>, Status> {
        let mut frames = request.into_inner();
        let (mut key, mut content) = (String::new(), BytesMut::new());
        while let Some(frame) = frames.message().await? {
            match frame.payload {
                Some(Written::Header(header)) => key = header.key,
                Some(Written::Data(data)) => content.extend_from_slice(&data),
                None => return Err(Status::invalid_argument("an empty frame")),
            }
        }
        self.puts.fetch_add(1, Ordering::SeqCst);
        let size = content.len() as u64;
        self.objects.lock().expect("nobody panics here").insert(key.clone(), content.freeze());
        Ok(Response::new(v1::CacheObjectMetadata { key, version: 1, size, ..v1::CacheObjectMetadata::default() }))
    }

    async fn get(&self, request: Request<v1::CacheGetRequest>) -> Result<Response<Self::GetStream>, Status> {
        let content = self.object(&request.into_inner().key)?;
        let frames = [
            Payload::Header(v1::CacheGetHeader { version: 1, data_type: "raw".to_owned() }),
            Payload::Chunk(v1::CacheGetChunk { version: 1, data: content }),
        ];
        let frames = frames.map(|payload| Ok(v1::CacheGetResponse { payload: Some(payload) }));
        Ok(Response::new(Box::pin(stream::iter(frames))))
    }

    async fn get_metadata(
        &self,
        request: Request<v1::CacheGetMetadataRequest>,
    ) -> Result<Response<v1::CacheObjectMetadata>, Status> {
        let key = request.into_inner().key;
        let size = self.object(&key)?.len() as u64;
        Ok(Response::new(v1::CacheObjectMetadata { key, version: 1, size, ..v1::CacheObjectMetadata::default() }))
    }

    async fn delete(
        &self,
        request: Request<v1::CacheDeleteRequest>,
    ) -> Result<Response<v1::CacheDeleteResponse>, Status> {
        self.objects.lock().expect("nobody panics here").remove(&request.into_inner().key);
        Ok(Response::new(v1::CacheDeleteResponse {}))
    }

    async fn patch(
        &self,
        _: Request<Streaming<v1::CacheWriteRequest>>,
    ) -> Result<Response<v1::CacheObjectMetadata>, Status> {
        Err(Status::unimplemented("nobody patches a package"))
    }

    async fn list(&self, _: Request<v1::CacheListRequest>) -> Result<Response<Self::ListStream>, Status> {
        Err(Status::unimplemented("nobody lists here"))
    }
}
