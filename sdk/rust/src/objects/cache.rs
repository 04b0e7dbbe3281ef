//! The calls.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flame_proto::ha;
use flame_proto::ha::objects_client::ObjectsClient;
use flame_types::limits::MESSAGE_BYTES_MAX;
use flame_types::{ObjectKey, ObjectPrefix, ObjectTarget};
use futures::stream::{self, try_unfold};
use futures::{Stream, TryStreamExt};
use tonic::Status;
use tonic::transport::Channel;

use super::DATA_TYPE;
use super::object::{Content, Object, ObjectInfo};
use super::read::{self, Download, Failure};
use super::reference::ObjectRef;
use super::tries::{Tries, within, within_for};
use super::write::{self, IfExists, Upload};
use crate::cache_nodes::CacheNodes;
pub(super) use crate::cache_nodes::Node;
use crate::endpoints::Environment;
use crate::repeats::Kind;
use crate::{Connection, FlameError, FlameMessage, TlsFiles};

/// A client of the object cache. Cheap to clone; clones share their channels.
#[derive(Clone)]
pub struct ObjectCache {
    shared: Arc<Shared>,
}

struct Shared {
    nodes: CacheNodes,
    /// The node that answered last.
    current: Mutex<Option<Node>>,
    /// The other nodes were asked for.
    has_asked: AtomicBool,
}

/// Where an object is put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Under a name that the cache chooses.
    Among(ObjectPrefix),
    /// Under this name.
    At(ObjectKey),
}

impl Destination {
    /// Reads `application/session` or `application/session/object`.
    ///
    /// # Errors
    /// [`FlameError::InvalidArgument`] says which part breaks which rule.
    pub fn parse(text: &str) -> Result<Self, FlameError> {
        let parsed = match text.split('/').count() {
            2 => ObjectPrefix::parse(text).map(Self::Among),
            _ => ObjectKey::parse(text).map(Self::At),
        };
        parsed.map_err(|error| FlameError::InvalidArgument(error.to_string()))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Among(prefix) => prefix.fmt(f),
            Self::At(key) => key.fmt(f),
        }
    }
}

impl fmt::Debug for ObjectCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectCache").field("nodes", &self.shared.nodes.nodes()).finish_non_exhaustive()
    }
}

impl ObjectCache {
    /// The cache that `given`, the file `config` or the environment names; `None` when nothing does.
    ///
    /// # Errors
    /// [`FlameError::InvalidArgument`] says which text or file is wrong.
    pub fn discover(
        given: Option<&str>,
        config: Option<&Path>,
        environment: &Environment,
        tls: &TlsFiles,
    ) -> Result<Option<Self>, FlameError> {
        Ok(CacheNodes::discover(given, config, environment, tls)?.map(Self::new))
    }

    /// The cache that the environment of this process or `~/.flame/flame.yaml` names, as in a service.
    ///
    /// # Errors
    /// [`FlameError::InvalidArgument`] says that nothing does, or what is wrong.
    pub fn of_environment() -> Result<Self, FlameError> {
        let found = Self::discover(None, None, &Environment::of_process(), &TlsFiles::default())?;
        found.ok_or_else(CacheNodes::none_named)
    }

    /// The cache that the coordinators know.
    ///
    /// # Errors
    /// [`FlameError::InvalidArgument`] when they know none, [`FlameError::Unavailable`] when none of them answers.
    pub async fn of_cluster(connection: &Connection) -> Result<Self, FlameError> {
        CacheNodes::of_cluster(connection).await?.map(Self::new).ok_or_else(CacheNodes::none_named)
    }

    fn new(nodes: CacheNodes) -> Self {
        Self { shared: Arc::new(Shared { nodes, current: Mutex::default(), has_asked: AtomicBool::new(false) }) }
    }

    /// Puts a new object among those of a session; the cache chooses its name.
    ///
    /// # Errors
    /// [`FlameError::ResourceExhausted`] when there is no room for it, [`FlameError::Unavailable`] when no node answers.
    pub async fn put<T: FlameMessage>(&self, session: &ObjectPrefix, value: &T) -> Result<ObjectRef, FlameError> {
        let destination = Destination::Among(session.clone());
        Ok(self.write(&destination, value.encode()?, IfExists::Replace).await?.reference())
    }

    /// Puts an object under a name.
    ///
    /// # Errors
    /// As [`ObjectCache::put`], and what [`IfExists`] says.
    pub async fn put_at<T: FlameMessage>(
        &self,
        key: &ObjectKey,
        value: &T,
        if_exists: IfExists,
    ) -> Result<ObjectRef, FlameError> {
        Ok(self.write(&Destination::At(key.clone()), value.encode()?, if_exists).await?.reference())
    }

    /// Replaces an object together with its patches.
    ///
    /// # Errors
    /// As [`ObjectCache::put`].
    pub async fn update<T: FlameMessage>(&self, object: &ObjectRef, value: &T) -> Result<ObjectRef, FlameError> {
        self.put_at(&object.key, value, IfExists::Replace).await
    }

    /// Replaces an object if it still has the version of the reference: whoever reads, changes and writes loses nobody
    /// else's change.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// # use flame_sdk::objects::*;
    /// # use flame_sdk::types::*;
    /// # let cache = ObjectCache::of_environment()?;
    /// let first = cache.put(&ObjectPrefix::parse("app/s").unwrap(), &1_u64).await?;
    /// let second = cache.replace(&first, &2_u64).await?;
    /// assert!(cache.replace(&first, &3_u64).await.is_err());
    /// assert_eq!(second.version, first.version + 1);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::FailedPrecondition`] when it has another version: read it again. [`FlameError::UnknownOutcome`] when the
    /// answer was lost.
    pub async fn replace<T: FlameMessage>(&self, object: &ObjectRef, value: &T) -> Result<ObjectRef, FlameError> {
        self.put_at(&object.key, value, IfExists::Expect(object.version)).await
    }

    /// Adds a part to an object.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// # use flame_sdk::objects::*;
    /// # use flame_sdk::types::*;
    /// # let cache = ObjectCache::of_environment()?;
    /// let log = cache.put(&ObjectPrefix::parse("app/s").unwrap(), &"begun".to_owned()).await?;
    /// cache.patch(&log, &"step 1".to_owned()).await?;
    /// let read = cache.get(&log).await?;
    /// assert_eq!(read.value::<String>()?, "begun");
    /// assert_eq!(read.deltas::<String>()?, ["step 1"]);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::NotFound`] when there is none, [`FlameError::FailedPrecondition`] when it is a table of Arrow,
    /// [`FlameError::UnknownOutcome`] when the answer was lost: the part may be there.
    pub async fn patch<T: FlameMessage>(&self, object: &ObjectRef, delta: &T) -> Result<ObjectRef, FlameError> {
        let data = delta.encode()?;
        let header = header(object.key.as_str());
        let mut tries = Tries::new(self.order(Some(&object.endpoint)), Kind::Once);
        loop {
            let mut client = self.client(tries.node()?)?;
            let patch = client.patch(write::of_bytes(header.clone(), data.clone()));
            match within_for(data.len() as u64, patch).await {
                Ok(reply) => return Ok(self.done(&tries, reply.into_inner())?.reference()),
                Err(status) => self.failed(&mut tries, status).await?,
            }
        }
    }

    /// Puts a file, in pieces: it may be larger than memory.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// # use flame_sdk::objects::*;
    /// # use flame_sdk::types::*;
    /// # let cache = ObjectCache::of_environment()?;
    /// let file = std::path::Path::new("Cargo.toml");
    /// let model = Destination::parse("app/shared/model")?;
    /// let info = cache.upload(&model, file, IfExists::Replace).await?;
    /// assert_eq!(info.size, file.metadata().unwrap().len());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`ObjectCache::put_at`], and [`FlameError::InvalidArgument`] when the file cannot be read.
    pub async fn upload(
        &self,
        destination: &Destination,
        path: &Path,
        if_exists: IfExists,
    ) -> Result<ObjectInfo, FlameError> {
        let header = if_exists.apply(header(&destination.to_string()));
        let mut tries = Tries::new(self.order(None), kind(if_exists));
        loop {
            let upload = Upload::of(path).await?;
            let bytes = upload.bytes;
            let (failed, frames) = upload.into_frames(header.clone());
            let mut client = self.client(tries.node()?)?;
            let put = within_for(bytes, client.put(frames));
            let reply = tokio::select! {
                biased;
                Ok(error) = failed => {
                    return Err(FlameError::InvalidArgument(format!("cannot read {}: {error}", path.display())));
                }
                reply = put => reply,
            };
            match reply {
                Ok(reply) => return self.done(&tries, reply.into_inner()),
                Err(status) => self.failed(&mut tries, status).await?,
            }
        }
    }

    async fn write(
        &self,
        destination: &Destination,
        data: Bytes,
        if_exists: IfExists,
    ) -> Result<ObjectInfo, FlameError> {
        let header = if_exists.apply(header(&destination.to_string()));
        let mut tries = Tries::new(self.order(None), kind(if_exists));
        loop {
            let mut client = self.client(tries.node()?)?;
            let put = client.put(write::of_bytes(header.clone(), data.clone()));
            match within_for(data.len() as u64, put).await {
                Ok(reply) => return self.done(&tries, reply.into_inner()),
                Err(status) => self.failed(&mut tries, status).await?,
            }
        }
    }

    /// Reads an object, as it is now.
    ///
    /// # Errors
    /// [`FlameError::NotFound`] when it was deleted, or is lost with the node that had it.
    pub async fn get(&self, object: &ObjectRef) -> Result<Object, FlameError> {
        match self.fetch(&object.key, Some(&object.endpoint), 0).await? {
            (header, Some(content)) => Ok(Object { info: header.info, content }),
            (header, None) => Err(FlameError::Internal(format!("{} came without content", header.info.key))),
        }
    }

    /// Makes an object that was read what it is now. Only what is new comes. Answers whether anything was.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// # use flame_sdk::objects::*;
    /// # use flame_sdk::types::*;
    /// # let cache = ObjectCache::of_environment()?;
    /// let weights = cache.put(&ObjectPrefix::parse("app/s").unwrap(), &7_u64).await?;
    /// let mut read = cache.get(&weights).await?;
    /// assert!(!cache.refresh(&mut read).await?);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`ObjectCache::get`].
    pub async fn refresh(&self, object: &mut Object) -> Result<bool, FlameError> {
        let (key, endpoint, version) = (object.info.key.clone(), object.info.endpoint.clone(), object.info.version);
        let (header, content) = self.fetch(&key, Some(&endpoint), version).await?;
        match (content, &mut object.content) {
            (None, _) => return Ok(false),
            (Some(Content::Opaque(more)), Content::Opaque(parts)) if header.extent == ha::Extent::Patches => {
                parts.extend(more);
            }
            (Some(content), present) => *present = content,
        }
        object.info = header.info;
        Ok(true)
    }

    /// What is new since a version; nothing when nothing is.
    async fn fetch(
        &self,
        key: &ObjectKey,
        first: Option<&str>,
        version: u64,
    ) -> Result<(read::Header, Option<Content>), FlameError> {
        let request = ha::FetchObjectRequest { key: key.to_string(), version, local_only: false };
        let mut tries = Tries::new(self.order(first), Kind::Read);
        loop {
            let client = self.client(tries.node()?)?;
            match read_from(client, request.clone()).await {
                Ok(read) => {
                    self.note(&tries);
                    return Ok(read);
                }
                Err(Failure::Here(error)) => return Err(error),
                Err(Failure::Node(status)) => self.failed(&mut tries, status).await?,
            }
        }
    }

    /// Reads an object into a file, in pieces: bytes as they are, the base first and its patches after it; a table as a
    /// stream of Arrow's interprocess format. The file is there once all of it is, in place of what was there.
    ///
    /// # Errors
    /// As [`ObjectCache::get`], and [`FlameError::Internal`] when the file cannot be written.
    pub async fn download(&self, object: &ObjectRef, path: &Path) -> Result<ObjectInfo, FlameError> {
        let mut name = path
            .file_name()
            .map(ToOwned::to_owned)
            .ok_or_else(|| FlameError::InvalidArgument(format!("{} is no name of a file", path.display())))?;
        name.push(format!(".{}.part", std::process::id()));
        let part = path.with_file_name(name);
        let info = match self.download_into(object, &part).await {
            Ok(info) => info,
            Err(error) => {
                // It may never have been made.
                let _ = tokio::fs::remove_file(&part).await;
                return Err(error);
            }
        };
        let renamed = tokio::fs::rename(&part, path).await;
        renamed.map_err(|error| FlameError::Internal(format!("cannot write {}: {error}", path.display())))?;
        Ok(info)
    }

    async fn download_into(&self, object: &ObjectRef, part: &Path) -> Result<ObjectInfo, FlameError> {
        let request = ha::FetchObjectRequest { key: object.key.to_string(), version: 0, local_only: false };
        let mut file = Download::to(part).await?;
        let mut tries = Tries::new(self.order(Some(&object.endpoint)), Kind::Read);
        loop {
            let client = self.client(tries.node()?)?;
            match write_from(client, request.clone(), &mut file).await {
                Ok(info) => {
                    self.note(&tries);
                    return Ok(info);
                }
                Err(Failure::Here(error)) => return Err(error),
                Err(Failure::Node(status)) => self.failed(&mut tries, status).await?,
            }
        }
    }

    /// What is known of an object.
    ///
    /// # Errors
    /// As [`ObjectCache::get`].
    pub async fn info(&self, key: &ObjectKey) -> Result<ObjectInfo, FlameError> {
        let request = ha::ObjectMetadataRequest { key: key.to_string(), local_only: false };
        let mut tries = Tries::new(self.order(None), Kind::Read);
        loop {
            let mut client = self.client(tries.node()?)?;
            match within(client.metadata(request.clone())).await {
                Ok(reply) => return self.done(&tries, reply.into_inner()),
                Err(status) => self.failed(&mut tries, status).await?,
            }
        }
    }

    /// The objects of a session or an application, or all, in the order of their keys, as far as the node that answers has
    /// them. Where all of a cluster's objects lie is known to the coordinators ([`Connection::list_objects`]).
    ///
    /// Its items are [`FlameError::Unavailable`] when no node answers; nothing comes after an error.
    pub fn list(
        &self,
        target: Option<&ObjectTarget>,
    ) -> impl Stream<Item = Result<ObjectInfo, FlameError>> + Send + use<> {
        let first = ha::ListObjectsRequest {
            target: target.map(ToString::to_string).unwrap_or_default(),
            ..ha::ListObjectsRequest::default()
        };
        let pages = try_unfold((self.clone(), Some(first)), |(cache, request)| async move {
            let Some(request) = request else { return Ok::<_, FlameError>(None) };
            let ha::ListObjectsReply { objects, more } = cache.list_page(&request).await?;
            let after = objects.last().map(|last| last.key.clone()).filter(|_| more);
            let next = after.map(|after| ha::ListObjectsRequest { after, ..request });
            let items = objects.into_iter().map(ObjectInfo::try_from);
            Ok(Some((stream::iter(items), (cache, next))))
        });
        pages.try_flatten()
    }

    async fn list_page(&self, request: &ha::ListObjectsRequest) -> Result<ha::ListObjectsReply, FlameError> {
        let mut tries = Tries::new(self.order(None), Kind::Read);
        loop {
            let mut client = self.client(tries.node()?)?;
            match within(client.list(request.clone())).await {
                Ok(reply) => {
                    self.note(&tries);
                    return Ok(reply.into_inner());
                }
                Err(status) => self.failed(&mut tries, status).await?,
            }
        }
    }

    /// Deletes objects wherever they lie. Succeeds also when there is nothing.
    ///
    /// # Errors
    /// [`FlameError::Unavailable`] when no node answers, [`FlameError::UnknownOutcome`] when an answer was lost.
    pub async fn delete(&self, target: &ObjectTarget) -> Result<(), FlameError> {
        let request = ha::DeleteObjectsRequest { target: target.to_string() };
        let mut tries = Tries::new(self.order(None), Kind::Idempotent);
        loop {
            let mut client = self.client(tries.node()?)?;
            match within(client.delete(request.clone())).await {
                Ok(_) => {
                    self.note(&tries);
                    return Ok(());
                }
                Err(status) => self.failed(&mut tries, status).await?,
            }
        }
    }

    /// An attempt has failed. Before the next one, nodes that were heard of meanwhile are added.
    async fn failed(&self, tries: &mut Tries, status: Status) -> Result<(), FlameError> {
        tries.failed(status).await?;
        tries.add(self.shared.nodes.nodes());
        Ok(())
    }

    fn client(&self, node: &Node) -> Result<ObjectsClient<Channel>, FlameError> {
        Ok(ObjectsClient::new(self.shared.nodes.channel(node)?).max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// All nodes: the one that is named first, if it can be reached, then the one that answered last.
    fn order(&self, first: Option<&str>) -> Vec<Node> {
        let first = first.and_then(|text| Node::parse(text).ok()).filter(|node| self.shared.nodes.can_reach(node));
        let last = self.shared.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut order = Vec::new();
        for node in first.into_iter().chain(last).chain(self.shared.nodes.nodes()) {
            if !order.contains(&node) {
                order.push(node);
            }
        }
        order
    }

    fn done(&self, tries: &Tries, info: ha::ObjectInfo) -> Result<ObjectInfo, FlameError> {
        self.note(tries);
        ObjectInfo::try_from(info)
    }

    /// A node has answered: it is the one to turn to, and it is asked once who else could be.
    fn note(&self, tries: &Tries) {
        let Ok(node) = tries.node() else { return };
        *self.shared.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(node.clone());
        if self.shared.has_asked.swap(true, Ordering::Relaxed) {
            return;
        }
        let Ok(mut client) = self.client(node) else { return };
        let shared = Arc::downgrade(&self.shared);
        tokio::spawn(async move {
            let asked = within(client.nodes(ha::ObjectNodesRequest {})).await;
            match (asked, shared.upgrade()) {
                (Ok(reply), Some(shared)) => {
                    shared.nodes.learn(reply.get_ref().nodes.iter().map(|node| node.endpoint.as_str()));
                }
                (Err(status), _) => tracing::debug!(%status, "the object cache does not say who else serves"),
                (Ok(_), None) => {}
            }
        });
    }
}

/// Whether a put may be done twice.
fn kind(if_exists: IfExists) -> Kind {
    match if_exists {
        IfExists::Replace => Kind::Idempotent,
        IfExists::Refuse | IfExists::Expect(_) => Kind::Once,
    }
}

fn header(key: &str) -> ha::PutObjectHeader {
    ha::PutObjectHeader { key: key.to_owned(), data_type: DATA_TYPE.to_owned(), ..ha::PutObjectHeader::default() }
}

async fn read_from(
    mut client: ObjectsClient<Channel>,
    request: ha::FetchObjectRequest,
) -> Result<(read::Header, Option<Content>), Failure> {
    let mut frames = within(client.fetch(request)).await?.into_inner();
    let header = read::header(&mut frames).await?;
    let content = match header.extent {
        ha::Extent::NotModified => None,
        _ => Some(read::content(&mut frames, &header.info).await?),
    };
    Ok((header, content))
}

async fn write_from(
    mut client: ObjectsClient<Channel>,
    request: ha::FetchObjectRequest,
    file: &mut Download,
) -> Result<ObjectInfo, Failure> {
    let mut frames = within(client.fetch(request)).await?.into_inner();
    let header = read::header(&mut frames).await?;
    file.take(&mut frames, &header.info).await?;
    Ok(header.info)
}
