//! Where objects lie, by what coordinators say; deletions are sent again when their answers are lost, with the same request id.

use std::sync::{Arc, Mutex};

use flame_proto::ha;
use flame_proto::ha::cluster_server::ClusterServer;
use flame_proto::ha::object_directory_server::{ObjectDirectory, ObjectDirectoryServer};
use flame_sdk::types::{ObjectKey, ObjectTarget};
use flame_sdk::{FlameError, StreamExt};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, async_trait};

use crate::fake::{Knowing, connect};

/// What a fake server was asked, and the request ids of changes.
#[derive(Clone, Default)]
struct Asked {
    targets: Arc<Mutex<Vec<String>>>,
    ids: Arc<Mutex<Vec<Option<bytes::Bytes>>>>,
}

/// Knows three objects, on pages of one, with an empty page in between; answers deletions by a script.
struct Server {
    asked: Asked,
    script: Mutex<Vec<Status>>,
}

fn entry(key: &str) -> ha::DirectoryEntry {
    let place = ha::ObjectPlace { cache: "c1".into(), endpoint: "grpc://c1:9090".into(), attached: true, away: false };
    ha::DirectoryEntry { key: key.into(), version: 2, size: 7, places: vec![place], ..ha::DirectoryEntry::default() }
}

#[async_trait]
impl ObjectDirectory for Server {
    async fn locate(&self, request: Request<ha::LocateObjectRequest>) -> Result<Response<ha::DirectoryEntry>, Status> {
        match request.into_inner().key.as_str() {
            "app/s/a" => Ok(Response::new(entry("app/s/a"))),
            key => Err(Status::not_found(format!("object {key} not found"))),
        }
    }

    async fn list(
        &self,
        request: Request<ha::ListDirectoryRequest>,
    ) -> Result<Response<ha::ListDirectoryReply>, Status> {
        let request = request.into_inner();
        self.asked.targets.lock().unwrap().push(request.target);
        let (key, next) = match request.after.as_str() {
            "" => (Some("app/s/a"), "app/s/a"),
            "app/s/a" => (None, "app/s/b"),
            "app/s/b" => (Some("app/s/c"), "app/s/c"),
            "app/s/c" => (Some("app/s/d"), ""),
            other => return Err(Status::internal(format!("{other} was never the end of a page"))),
        };
        Ok(Response::new(ha::ListDirectoryReply { entries: key.into_iter().map(entry).collect(), next: next.into() }))
    }

    async fn delete(
        &self,
        request: Request<ha::DeleteEntriesRequest>,
    ) -> Result<Response<ha::DeleteEntriesReply>, Status> {
        let id = request.metadata().get_bin("flame-request-id-bin").map(|id| id.to_bytes().unwrap());
        self.asked.ids.lock().unwrap().push(id);
        self.asked.targets.lock().unwrap().push(request.into_inner().target);
        let mut script = self.script.lock().unwrap();
        if script.is_empty() { Ok(Response::new(ha::DeleteEntriesReply {})) } else { Err(script.remove(0)) }
    }

    async fn nodes(&self, _request: Request<ha::CacheNodesRequest>) -> Result<Response<ha::CacheNodesReply>, Status> {
        let node = ha::CacheNode { name: "c1".into(), objects: 3, away: true, ..ha::CacheNode::default() };
        Ok(Response::new(ha::CacheNodesReply { nodes: vec![node] }))
    }

    async fn remove(&self, request: Request<ha::RemoveCacheRequest>) -> Result<Response<ha::RemoveCacheReply>, Status> {
        let id = request.metadata().get_bin("flame-request-id-bin").map(|id| id.to_bytes().unwrap());
        let mut ids = self.asked.ids.lock().unwrap();
        ids.push(id);
        let left = 3 - ids.len() as u64;
        drop(ids);
        self.asked.targets.lock().unwrap().push(request.into_inner().cache);
        Ok(Response::new(ha::RemoveCacheReply { left }))
    }
}

async fn client(script: Vec<Status>) -> (flame_sdk::Connection, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Asked::default();
    let server = Server { asked: asked.clone(), script: Mutex::new(script) };
    let serving = tonic::transport::Server::builder()
        .add_service(ObjectDirectoryServer::new(server))
        .add_service(ClusterServer::new(Knowing(Arc::default())));
    tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));
    (connect(&[address]), asked)
}

#[tokio::test]
async fn objects_are_found_and_listed_over_all_pages() {
    let (connection, asked) = client(Vec::new()).await;
    let found = connection.locate_object(&ObjectKey::parse("app/s/a").unwrap()).await.unwrap();
    assert_eq!((found.version, found.size, found.is_lost()), (2, 7, false));
    assert_eq!(found.places[0].endpoint, "grpc://c1:9090");
    let missing = connection.locate_object(&ObjectKey::parse("app/s/x").unwrap()).await.unwrap_err();
    assert_eq!(missing, FlameError::NotFound("object app/s/x not found".into()));

    let target = ObjectTarget::parse("app/s").unwrap();
    let objects: Vec<_> = connection.list_objects(Some(&target)).collect().await;
    let keys: Vec<String> = objects.into_iter().map(|object| object.unwrap().key).collect();
    assert_eq!(keys, ["app/s/a", "app/s/c", "app/s/d"]);
    assert_eq!(*asked.targets.lock().unwrap(), ["app/s"; 4]);
    let nodes = connection.list_cache_nodes().await.unwrap();
    assert_eq!((nodes[0].name.as_str(), nodes[0].objects, nodes[0].away), ("c1", 3, true));
}

#[tokio::test]
async fn a_deletion_whose_answer_is_lost_is_sent_again_as_the_same() {
    let lost = Status::deadline_exceeded("no answer within the deadline; the outcome is unknown");
    let (connection, asked) = client(vec![lost, Status::unavailable("no leader")]).await;
    connection.delete_objects(&ObjectTarget::parse("app/*").unwrap()).await.unwrap();
    assert_eq!(*asked.targets.lock().unwrap(), ["app/*"; 3]);
    let ids = asked.ids.lock().unwrap().clone();
    assert!(ids[0].is_some() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test]
async fn a_cache_node_is_removed_piece_by_piece() {
    let (connection, asked) = client(Vec::new()).await;
    connection.remove_cache_node("c1").await.unwrap();
    assert_eq!(*asked.targets.lock().unwrap(), ["c1"; 3]);
    let ids = asked.ids.lock().unwrap().clone();
    assert!(ids[0].is_some() && ids[0] != ids[1] && ids[1] != ids[2], "each piece is a change of its own: {ids:?}");
}
