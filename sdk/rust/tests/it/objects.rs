//! Objects of a cache whose nodes are away, fail in the middle or answer what was not asked for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use flame_proto::ha;
use flame_proto::ha::object_frame::Frame;
use flame_proto::ha::objects_server::{Objects, ObjectsServer};
use flame_proto::ha::put_object_frame::Frame as Put;
use flame_sdk::endpoints::Environment;
use flame_sdk::objects::{Destination, IfExists, ObjectCache, ObjectRef};
use flame_sdk::types::{ObjectKey, ObjectPrefix, ObjectTarget};
use flame_sdk::{FlameError, Stream, StreamExt, TlsFiles};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

/// The version of an object, and its parts with theirs.
type Kept = (u64, Vec<(u64, Bytes)>);

/// A node: its objects, what it answers instead of the next calls, and what it was asked.
#[derive(Clone, Default)]
struct Node {
    objects: Arc<Mutex<BTreeMap<String, Kept>>>,
    script: Arc<Mutex<Vec<Status>>>,
    asked: Arc<Mutex<Vec<String>>>,
    others: Arc<Mutex<Vec<String>>>,
    is_native: bool,
}

impl Node {
    async fn serve(&self) -> String {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let endpoint = format!("grpc://{}", listener.local_addr().unwrap());
        let serving = tonic::transport::Server::builder().add_service(ObjectsServer::new(self.clone()));
        tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));
        endpoint
    }

    fn will_say(&self, answers: impl IntoIterator<Item = Status>) {
        *self.script.lock().unwrap() = answers.into_iter().collect();
    }

    fn note(&self, asked: impl Into<String>) -> Result<(), Status> {
        self.asked.lock().unwrap().push(asked.into());
        let mut script = self.script.lock().unwrap();
        if script.is_empty() { Ok(()) } else { Err(script.remove(0)) }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    fn info(&self, key: &str, (version, parts): &Kept) -> ha::ObjectInfo {
        ha::ObjectInfo {
            endpoint: "grpc://elsewhere:1".into(),
            key: key.into(),
            version: *version,
            base_version: parts.first().map_or(0, |part| part.0),
            size: parts.iter().map(|part| part.1.len() as u64).sum(),
            data_type: "raw".into(),
            parts: parts.len() as u32,
            native: self.is_native,
            ..ha::ObjectInfo::default()
        }
    }

    async fn written(request: Request<Streaming<ha::PutObjectFrame>>) -> Result<(ha::PutObjectHeader, Bytes), Status> {
        let (mut frames, mut data) = (request.into_inner(), Vec::new());
        let Some(Put::Header(header)) = frames.message().await?.and_then(|first| first.frame) else {
            return Err(Status::invalid_argument("no header"));
        };
        while let Some(frame) = frames.message().await? {
            match frame.frame {
                Some(Put::Data(more)) => data.extend_from_slice(&more),
                other => return Err(Status::invalid_argument(format!("{other:?}"))),
            }
        }
        Ok((header, data.into()))
    }
}

type Frames = Pin<Box<dyn Stream<Item = Result<ha::ObjectFrame, Status>> + Send>>;

#[async_trait]
impl Objects for Node {
    type FetchStream = Frames;

    async fn fetch(&self, request: Request<ha::FetchObjectRequest>) -> Result<Response<Frames>, Status> {
        let ha::FetchObjectRequest { key, version: since, .. } = request.into_inner();
        let kept = self.objects.lock().unwrap().get(&key).cloned();
        let kept = kept.ok_or_else(|| Status::not_found(format!("object {key} not found")))?;
        let extent = match since {
            0 => ha::Extent::Full,
            since if since == kept.0 => ha::Extent::NotModified,
            _ => ha::Extent::Patches,
        };
        let header = ha::ObjectHeader { info: Some(self.info(&key, &kept)), extent: extent.into() };
        let mut frames = vec![Frame::Header(header)];
        for (number, data) in kept.1.iter().filter(|part| self.is_native || part.0 > since) {
            let head = if self.is_native { Bytes::from_static(b"heads") } else { Bytes::new() };
            let halves = [data.slice(..data.len() / 2), data.slice(data.len() / 2..)];
            let heads = [head, Bytes::new()];
            frames.extend(
                halves
                    .into_iter()
                    .zip(heads)
                    .map(|(data, head)| Frame::Piece(ha::ObjectPiece { number: *number, head, data })),
            );
        }
        let mut frames: Vec<_> = frames.into_iter().map(|frame| Ok(ha::ObjectFrame { frame: Some(frame) })).collect();
        if let Err(status) = self.note(format!("fetch {key} {since}")) {
            // In the middle of it.
            frames.truncate(2);
            frames.push(Err(status));
        }
        Ok(Response::new(Box::pin(tokio_stream::iter(frames))))
    }

    async fn put(&self, request: Request<Streaming<ha::PutObjectFrame>>) -> Result<Response<ha::ObjectInfo>, Status> {
        let (header, data) = Self::written(request).await?;
        let key = if header.key.split('/').count() == 2 { format!("{}/new", header.key) } else { header.key.clone() };
        let expected = header.expected_version;
        self.note(format!("put {key} {:?} {expected}", header.if_exists()))?;
        let mut objects = self.objects.lock().unwrap();
        let version = objects.get(&key).map_or(0, |kept| kept.0);
        if header.if_exists() == ha::IfExists::Expect && expected != version {
            return Err(Status::aborted(format!("object {key} has version {version}, not {expected}")));
        }
        let kept = (version + 1, vec![(version + 1, data)]);
        let info = self.info(&key, &kept);
        objects.insert(key, kept);
        Ok(Response::new(info))
    }

    async fn patch(&self, request: Request<Streaming<ha::PutObjectFrame>>) -> Result<Response<ha::ObjectInfo>, Status> {
        let (header, data) = Self::written(request).await?;
        self.note(format!("patch {}", header.key))?;
        let mut objects = self.objects.lock().unwrap();
        let kept = objects.get_mut(&header.key).ok_or_else(|| Status::not_found("nothing to patch"))?;
        kept.0 += 1;
        kept.1.push((kept.0, data));
        Ok(Response::new(self.info(&header.key, kept)))
    }

    async fn delete(
        &self,
        request: Request<ha::DeleteObjectsRequest>,
    ) -> Result<Response<ha::DeleteObjectsReply>, Status> {
        self.note(format!("delete {}", request.get_ref().target))?;
        Ok(Response::new(ha::DeleteObjectsReply { deleted: 0 }))
    }

    async fn list(&self, request: Request<ha::ListObjectsRequest>) -> Result<Response<ha::ListObjectsReply>, Status> {
        // One on a page.
        let after = request.into_inner().after;
        let objects = self.objects.lock().unwrap();
        let mut rest = objects.iter().filter(|(key, _)| **key > after);
        let page = rest.next().map(|(key, kept)| self.info(key, kept));
        Ok(Response::new(ha::ListObjectsReply { objects: page.into_iter().collect(), more: rest.next().is_some() }))
    }

    async fn metadata(&self, request: Request<ha::ObjectMetadataRequest>) -> Result<Response<ha::ObjectInfo>, Status> {
        let key = request.into_inner().key;
        let objects = self.objects.lock().unwrap();
        let kept = objects.get(&key).ok_or_else(|| Status::not_found(format!("object {key} not found")))?;
        Ok(Response::new(self.info(&key, kept)))
    }

    async fn nodes(&self, _: Request<ha::ObjectNodesRequest>) -> Result<Response<ha::ObjectNodesReply>, Status> {
        let others = self.others.lock().unwrap().clone();
        let nodes = others.into_iter().map(|endpoint| ha::ObjectNode { name: "other".into(), endpoint }).collect();
        Ok(Response::new(ha::ObjectNodesReply { nodes }))
    }

    async fn local(&self, _: Request<ha::LocalObjectsRequest>) -> Result<Response<ha::LocalObjectsReply>, Status> {
        Ok(Response::new(ha::LocalObjectsReply::default()))
    }
}

fn cache(endpoints: &[&str]) -> ObjectCache {
    let found = ObjectCache::discover(Some(&endpoints.join(",")), None, &Environment::default(), &TlsFiles::default());
    found.unwrap().unwrap()
}

async fn nobody() -> String {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    format!("grpc://{}", listener.local_addr().unwrap())
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).unwrap()
}

#[tokio::test]
async fn an_object_is_put_patched_and_read_and_only_what_is_new_comes() {
    let node = Node::default();
    let (gone, here) = (nobody().await, node.serve().await);
    let cache = cache(&[&gone, &here]);
    let first = cache.put(&ObjectPrefix::parse("app/s").unwrap(), &"base".to_owned()).await.unwrap();
    assert_eq!((first.key.as_str(), first.version, first.endpoint.as_str()), ("app/s/new", 1, "grpc://elsewhere:1"));
    // The reference names a node that is not there.
    let mut object = cache.get(&first).await.unwrap();
    assert_eq!((object.value::<String>().unwrap().as_str(), object.deltas::<u32>().unwrap()), ("base", vec![]));
    assert!(!cache.refresh(&mut object).await.unwrap());
    for delta in [7_u32, 8] {
        cache.patch(&first, &delta).await.unwrap();
    }
    assert!(cache.refresh(&mut object).await.unwrap());
    assert_eq!((object.info().version, object.deltas::<u32>().unwrap()), (3, vec![7, 8]));
    assert_eq!(object.value::<String>().unwrap(), "base", "it is still there");
    let fetched: Vec<_> = node.asked().into_iter().filter(|asked| asked.starts_with("fetch")).collect();
    assert_eq!(fetched, ["fetch app/s/new 0", "fetch app/s/new 1", "fetch app/s/new 1"]);
}

#[tokio::test]
async fn only_what_may_be_done_twice_is_sent_again_after_a_lost_answer() {
    let node = Node::default();
    let cache = cache(&[&node.serve().await]);
    let lost = || Status::deadline_exceeded("late");
    node.will_say([lost()]);
    let object = cache.put_at(&key("app/s/o"), &1_u32, IfExists::Replace).await.unwrap();
    assert_eq!(node.asked().len(), 2);
    node.will_say([lost()]);
    let error = cache.patch(&object, &2_u32).await.unwrap_err();
    assert!(matches!(error, FlameError::UnknownOutcome(_)) && node.asked() == ["patch app/s/o"], "{error:?}");
    node.will_say([lost()]);
    let error = cache.replace(&object, &2_u32).await.unwrap_err();
    assert!(matches!(error, FlameError::UnknownOutcome(_)) && node.asked() == ["put app/s/o Expect 1"], "{error:?}");
    // One that says that it has done nothing is asked again, whatever it is.
    node.will_say([Status::unavailable("no leader"), Status::unavailable("no leader")]);
    cache.patch(&object, &2_u32).await.unwrap();
    assert_eq!(node.asked().len(), 3);
}

#[tokio::test]
async fn who_has_read_an_older_version_replaces_nothing() {
    let node = Node::default();
    let cache = cache(&[&node.serve().await]);
    let first = cache.put_at(&key("app/s/o"), &1_u32, IfExists::Expect(0)).await.unwrap();
    let second = cache.replace(&first, &2_u32).await.unwrap();
    let error = cache.replace(&first, &3_u32).await.unwrap_err();
    assert_eq!(error, FlameError::FailedPrecondition("object app/s/o has version 2, not 1".into()));
    assert_eq!(cache.update(&first, &4_u32).await.unwrap().version, second.version + 1);
}

#[tokio::test]
async fn files_go_and_come_in_pieces_and_nothing_is_left_of_what_failed() {
    let node = Node::default();
    let cache = cache(&[&node.serve().await]);
    let folder = tempfile::tempdir().unwrap();
    let (file, copy) = (folder.path().join("file"), folder.path().join("copy"));
    let content: Vec<u8> = (0..2_500_000_u32).map(|number| (number % 251) as u8).collect();
    std::fs::write(&file, &content).unwrap();
    let destination = Destination::parse("app/s/o").unwrap();
    let info = cache.upload(&destination, &file, IfExists::Replace).await.unwrap();
    assert_eq!(info.size, content.len() as u64);
    // Half of it, and then all.
    node.will_say([Status::unavailable("stopping")]);
    cache.download(&info.reference(), &copy).await.unwrap();
    assert!(std::fs::read(&copy).unwrap() == content);
    let missing = ObjectRef { key: key("app/s/missing"), ..info.reference() };
    let error = cache.download(&missing, &copy).await.unwrap_err();
    assert_eq!(error, FlameError::NotFound("object app/s/missing not found".into()));
    assert!(std::fs::read(&copy).unwrap() == content, "what was there stays");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    let error = cache.upload(&destination, folder.path(), IfExists::Replace).await.unwrap_err();
    assert!(matches!(&error, FlameError::InvalidArgument(why) if why.contains("is a folder")), "{error:?}");
}

#[tokio::test]
async fn a_table_is_messages_and_in_a_file_a_stream_of_arrow() {
    let node = Node { is_native: true, ..Node::default() };
    let cache = cache(&[&node.serve().await]);
    let parts = vec![(0, Bytes::new()), (1, Bytes::from_static(b"body"))];
    node.objects.lock().unwrap().insert("app/s/t".into(), (1, parts));
    let reference = ObjectRef { endpoint: String::new(), key: key("app/s/t"), version: 0 };
    let table = cache.get(&reference).await.unwrap();
    let messages: Vec<_> = table.messages().iter().map(|message| (&message.head[..], &message.body[..])).collect();
    assert_eq!(messages, [(&b"heads"[..], &b""[..]), (b"heads", b"body")]);
    assert!(matches!(table.parts(), Err(FlameError::FailedPrecondition(_))));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("table.arrows");
    cache.download(&reference, &file).await.unwrap();
    let message = b"\xff\xff\xff\xff\x08\0\0\0heads\0\0\0";
    let expected = [&message[..], message, b"body\0\0\0\0", b"\xff\xff\xff\xff\0\0\0\0"].concat();
    assert_eq!(std::fs::read(&file).unwrap(), expected);
}

#[tokio::test]
async fn pages_follow_each_other_and_deletions_are_sent_again() {
    let node = Node::default();
    let cache = cache(&[&node.serve().await]);
    for name in ["c", "a", "b"] {
        cache.put_at(&key(&format!("app/s/{name}")), &1_u32, IfExists::Replace).await.unwrap();
    }
    let listed: Vec<_> = cache.list(None).map(|object| object.unwrap().key.to_string()).collect().await;
    assert_eq!(listed, ["app/s/a", "app/s/b", "app/s/c"]);
    assert_eq!(cache.info(&key("app/s/a")).await.unwrap().version, 1);
    node.asked();
    node.will_say([Status::deadline_exceeded("late")]);
    cache.delete(&ObjectTarget::parse("app/*").unwrap()).await.unwrap();
    assert_eq!(node.asked(), ["delete app/*"; 2]);
}

#[tokio::test]
async fn a_node_that_was_not_named_is_turned_to_once_it_is_heard_of() {
    let (node, other) = (Node::default(), Node::default());
    *node.others.lock().unwrap() = vec![other.serve().await];
    let cache = cache(&[&node.serve().await]);
    cache.put_at(&key("app/s/o"), &1_u32, IfExists::Replace).await.unwrap();
    node.will_say((0..1000).map(|_| Status::unavailable("stopping")));
    cache.put_at(&key("app/s/o"), &2_u32, IfExists::Replace).await.unwrap();
    assert_eq!(other.objects.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn nobody_there_is_said_with_all_nodes() {
    let (one, two) = (nobody().await, nobody().await);
    let error = cache(&[&one, &two]).info(&key("app/s/o")).await.unwrap_err();
    let FlameError::Unavailable(why) = &error else { panic!("{error:?}") };
    assert!([one, two].iter().all(|node| why.contains(&node["grpc://".len()..])), "{why}");
}
