//! Other caches: what they have, and what they write.
//!
//! **Invariant:** what comes from another cache is an object of the key that was asked for, whole; anything else is refused.
//! **Invariant:** nobody passes on what was passed on: two caches that disagree about a writer say so, and do not send a write
//! around in circles.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flame_proto::ha;
use flame_proto::ha::object_frame::Frame;
use flame_proto::ha::objects_client::ObjectsClient;
use flame_proto::ha::put_object_frame::Frame as PutFrame;
use flame_tls::Client;
use flame_types::ObjectKey;
use futures::stream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use crate::directory::CacheNode;
use crate::error::Refusal;
use crate::limits::{CHUNK_BYTES, MESSAGES_MAX, PATCHES_MAX};
use crate::model::{ArrowMessage, Blob, Content, Gathering, Info, Object, Part};
use crate::objects::write::DraftContent;
use crate::store::{Reservation, Store};

/// Longest time to connect to another cache.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// Longest silence of another cache that is asked.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Connections to other caches. A handle: clones are of the same.
#[derive(Clone, Default)]
pub struct Peers {
    tls: Option<Client>,
    channels: Arc<Mutex<BTreeMap<String, Channel>>>,
}

impl Peers {
    /// Connections that are encrypted by `tls` where an endpoint wants that.
    #[must_use]
    pub fn new(tls: Option<Client>) -> Self {
        Self { tls, channels: Arc::default() }
    }

    fn client(&self, node: &CacheNode) -> Result<ObjectsClient<Channel>, Refusal> {
        // Nothing that is done under the lock can fail halfway.
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = match channels.get(&node.endpoint) {
            Some(channel) => channel.clone(),
            None => {
                let channel = self.connect(&node.endpoint)?;
                channels.insert(node.endpoint.clone(), channel.clone());
                channel
            }
        };
        Ok(ObjectsClient::new(channel).max_decoding_message_size(2 * CHUNK_BYTES))
    }

    /// A connection that is made when it is first used, and again when it must.
    fn connect(&self, endpoint: &str) -> Result<Channel, Refusal> {
        let wrong =
            || Refusal::Unavailable(format!("another cache is said to be at {endpoint:?}, which is no address"));
        let (is_secure, address) = match endpoint.split_once("://") {
            Some(("grpc", address)) => (false, address),
            Some(("grpcs" | "grpc+tls", address)) => (true, address),
            _ => return Err(wrong()),
        };
        let target = Endpoint::from_shared(format!("http://{address}")).map_err(|_| wrong())?;
        let target = target.connect_timeout(CONNECT_MAX).tcp_nodelay(true);
        match (is_secure, &self.tls) {
            (false, _) => Ok(flame_tls::client::channel(target, None)),
            (true, Some(tls)) => Ok(flame_tls::client::channel(target, Some(tls))),
            (true, None) => Err(Refusal::Unavailable(format!(
                "the cache at {endpoint} is encrypted, and this one has no certificates (cache.tls)"
            ))),
        }
    }

    /// The whole object, if that node has it, and the room that was made for it as it came.
    ///
    /// # Errors
    /// It does not, or cannot be asked, or there is no room here.
    pub async fn fetch(
        &self,
        node: &CacheNode,
        key: &ObjectKey,
        bytes_max: u64,
        store: &Store,
    ) -> Result<(Object, Reservation), Refusal> {
        let request = ha::FetchObjectRequest { key: key.to_string(), version: 0, local_only: true };
        let mut client = self.client(node)?;
        let frames = answer(node, client.fetch(request)).await?.into_inner();
        let (object, room) = read(node, frames, bytes_max, store).await?;
        if object.key != *key {
            return Err(Refusal::Unavailable(format!("the cache {} gave another object than {key}", node.name)));
        }
        Ok((object, room))
    }

    /// What that node knows of an object that it has.
    ///
    /// # Errors
    /// It does not have it, or cannot be asked.
    pub async fn info(&self, node: &CacheNode, key: &ObjectKey) -> Result<Info, Refusal> {
        let request = ha::ObjectMetadataRequest { key: key.to_string(), local_only: true };
        let mut client = self.client(node)?;
        info(answer(node, client.metadata(request)).await?.into_inner())
    }

    /// Has that node put an object.
    ///
    /// # Errors
    /// As it says, or it cannot be asked.
    pub async fn put(
        &self,
        node: &CacheNode,
        header: ha::PutObjectHeader,
        content: DraftContent,
    ) -> Result<Info, Refusal> {
        let frames = frames(header, content);
        let mut client = self.client(node)?;
        info(answer(node, client.put(frames)).await?.into_inner())
    }

    /// Has that node add a part to an object.
    ///
    /// # Errors
    /// As it says, or it cannot be asked.
    pub async fn patch(&self, node: &CacheNode, header: ha::PutObjectHeader, data: Blob) -> Result<Info, Refusal> {
        let frames = frames(header, DraftContent::Opaque(data));
        let mut client = self.client(node)?;
        info(answer(node, client.patch(frames)).await?.into_inner())
    }
}

fn frames(
    header: ha::PutObjectHeader,
    content: DraftContent,
) -> impl futures::Stream<Item = ha::PutObjectFrame> + Send + 'static {
    let (data, messages) = match content {
        DraftContent::Opaque(data) => (data, Vec::new()),
        DraftContent::Native(messages) => (Blob::default(), messages),
    };
    let data = data.chunks(CHUNK_BYTES).map(PutFrame::Data);
    let messages =
        messages.into_iter().map(|ArrowMessage { head, body }| PutFrame::Message(ha::ArrowMessage { head, body }));
    let frames = std::iter::once(PutFrame::Header(header)).chain(data).chain(messages);
    stream::iter(frames.map(|frame| ha::PutObjectFrame { frame: Some(frame) }))
}

/// The answer of another cache; what it refuses is refused here with its words.
async fn answer<T>(node: &CacheNode, call: impl Future<Output = Result<T, Status>>) -> Result<T, Refusal> {
    let late = || Status::deadline_exceeded("it does not answer");
    let answered = tokio::time::timeout(SILENCE_MAX, call).await.unwrap_or_else(|_| Err(late()));
    answered.map_err(|status| refusal(node, status))
}

fn refusal(node: &CacheNode, status: Status) -> Refusal {
    match status.code() {
        Code::NotFound
        | Code::InvalidArgument
        | Code::ResourceExhausted
        | Code::AlreadyExists
        | Code::Aborted
        | Code::FailedPrecondition => Refusal::ByAnother(status),
        _ => Refusal::Unavailable(format!("the cache {} at {}: {}", node.name, node.endpoint, status.message())),
    }
}

fn info(info: ha::ObjectInfo) -> Result<Info, Refusal> {
    Ok(Info {
        key: ObjectKey::parse(&info.key)?,
        data_type: Arc::from(info.data_type),
        created_ms: info.creation_time_ms,
        base_version: info.base_version,
        version: info.version,
        size: info.size,
        parts: info.parts as usize,
        is_native: info.native,
    })
}

/// Puts an object together from its frames.
async fn read(
    node: &CacheNode,
    mut frames: Streaming<ha::ObjectFrame>,
    bytes_max: u64,
    store: &Store,
) -> Result<(Object, Reservation), Refusal> {
    let wrong = |why: &str| Refusal::Unavailable(format!("the cache {} gave an object that {why}", node.name));
    let first = answer(node, frames.message()).await?.and_then(|first| first.frame);
    let Some(Frame::Header(ha::ObjectHeader { info: Some(header), .. })) = first else {
        return Err(wrong("has no header"));
    };
    let header = info(header)?;
    let mut pieces = Pieces::default();
    let mut bytes = 0;
    let mut room = store.nothing();
    while let Some(frame) = answer(node, frames.message()).await? {
        let Some(Frame::Piece(piece)) = frame.frame else { return Err(wrong("has two headers")) };
        let length = (piece.head.len() + piece.data.len()) as u64;
        bytes += length;
        if bytes > bytes_max {
            return Err(wrong("is larger than this one takes (cache.object_max)"));
        }
        room.join(store.reserve(length).await?);
        pieces.push(piece);
    }
    let object = pieces.into_object(&header).ok_or_else(|| wrong("is not what its header says"))?;
    if object.info() == header { Ok((object, room)) } else { Err(wrong("is not what its header says")) }
}

/// Pieces by their numbers, which grow.
#[derive(Default)]
struct Pieces {
    done: Vec<(u64, Bytes, Blob)>,
    last: Option<(u64, Bytes, Gathering)>,
}

impl Pieces {
    fn push(&mut self, piece: ha::ObjectPiece) {
        if self.last.as_ref().is_none_or(|(number, ..)| *number != piece.number) {
            self.close();
            self.last = Some((piece.number, piece.head, Gathering::default()));
        }
        if let Some((.., data)) = &mut self.last {
            data.push(piece.data);
        }
    }

    fn close(&mut self) {
        if let Some((number, head, data)) = self.last.take() {
            self.done.push((number, head, data.finish()));
        }
    }

    fn into_object(mut self, header: &Info) -> Option<Object> {
        self.close();
        let is_in_order = self.done.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if !is_in_order || self.done.is_empty() {
            return None;
        }
        let content = if header.is_native {
            let message = |(_, head, data): (u64, Bytes, Blob)| ArrowMessage { head, body: data.to_bytes() };
            Content::Native(Arc::new(self.done.into_iter().take(MESSAGES_MAX + 1).map(message).collect()))
        } else {
            let part = |(version, _, data)| Arc::new(Part { version, data });
            Content::Opaque(self.done.into_iter().take(PATCHES_MAX + 2).map(part).collect())
        };
        Some(Object {
            key: header.key.clone(),
            data_type: header.data_type.clone(),
            created_ms: header.created_ms,
            base_version: header.base_version,
            content,
        })
    }
}
