//! One client: what it asks for, what it holds.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flame_proto::ha;
use flame_proto::ha::arena_part::Place as PartPlace;
use flame_proto::ha::arena_reply::Reply;
use flame_proto::ha::arena_request::Request;
use flame_proto::ha::arena_seal::Content as Sealed;
use flame_types::ObjectKey;
use futures::{SinkExt, StreamExt};
use prost::Message;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use tonic::Status;

use crate::arena::segment::{Extent, Pin, Segment};
use crate::arena::socket::Host;
use crate::error::Refusal;
use crate::limits::{ARENA_DATA_MAX, ARENA_FRAME_BYTES_MAX, ARENA_HELD_MAX, ARENA_INLINE_MAX};
use crate::metrics::{ArenaOutcome, Operation};
use crate::model::{Blob, Object, Part, Since};
use crate::objects::upload::too_large;
use crate::objects::{Draft, DraftContent, Place};
use crate::own::{if_exists, object_info, scope};
use crate::store::Reservation;

/// How long a client may take to say who it is.
const HELLO_MAX: Duration = Duration::from_secs(5);

/// What a client holds until it gives it back, or its connection ends.
enum Holding {
    /// Room that it may write into.
    Room { extent: Arc<Extent>, memory: Reservation },
    /// What it reads. Nothing looks at it: it is kept, and dropped.
    Pins { _pins: Vec<Pin> },
}

struct Connection<'a> {
    host: &'a Host,
    held: HashMap<u64, Holding>,
    last_id: u64,
}

/// Serves a client to its end. The client decides when that is, but for one that breaks the rules: it is told an error.
///
/// # Errors
/// It has broken the rules, or does not read its replies.
pub(super) async fn serve(stream: UnixStream, host: &Host) -> io::Result<()> {
    let codec = LengthDelimitedCodec::builder().little_endian().max_frame_length(ARENA_FRAME_BYTES_MAX).new_codec();
    let mut frames = Framed::new(stream, codec);
    let Some(hello) = timeout(HELLO_MAX, frames.next()).await.map_err(|_| wrong("it says nothing"))? else {
        return Ok(());
    };
    match decode(hello?.freeze())?.request {
        Some(Request::Hello(hello)) if hello.token == host.token => {}
        _ => return Err(wrong("it does not say the token that Objects.Local tells")),
    }
    welcome(frames.get_ref(), host.arena.segment()).await?;
    let _client = host.metrics.client();
    let mut connection = Connection { host, held: HashMap::new(), last_id: 0 };
    while let Some(frame) = frames.next().await {
        let request = decode(frame?.freeze())?;
        connection.release(&request.released);
        let Some(request) = request.request else { continue };
        let reply = connection.answer(request).await.unwrap_or_else(|refused| {
            let status = Status::from(refused);
            Reply::Error(ha::ArenaError { code: status.code().into(), message: status.message().to_owned() })
        });
        frames.send(Bytes::from(ha::ArenaReply { reply: Some(reply) }.encode_to_vec())).await?;
    }
    Ok(())
}

fn decode(frame: Bytes) -> io::Result<ha::ArenaRequest> {
    ha::ArenaRequest::decode(frame).map_err(|error| wrong(error.to_string()))
}

fn wrong(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

/// Says how much memory there is, and gives its descriptor along.
async fn welcome(stream: &UnixStream, segment: &Segment) -> io::Result<()> {
    let message = ha::ArenaReply { reply: Some(Reply::Welcome(ha::ArenaWelcome { bytes: segment.bytes() })) };
    let message = message.encode_to_vec();
    let mut frame = (message.len() as u32).to_le_bytes().to_vec();
    frame.extend_from_slice(&message);
    let sent = stream.async_io(Interest::WRITABLE, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let memory = [segment.as_fd()];
        if !control.push(SendAncillaryMessage::ScmRights(&memory)) {
            return Err(io::Error::other("there is no room for a descriptor"));
        }
        Ok(sendmsg(stream, &[IoSlice::new(&frame)], &mut control, SendFlags::NOSIGNAL)?)
    });
    if sent.await? < frame.len() {
        return Err(io::Error::other("the first message did not fit into an empty socket"));
    }
    Ok(())
}

fn elsewhere(reason: impl Into<String>) -> Reply {
    Reply::Elsewhere(ha::ArenaElsewhere { reason: reason.into() })
}

impl Connection<'_> {
    async fn answer(&mut self, request: Request) -> Result<Reply, Refusal> {
        match request {
            Request::Hello(_) => Err(Refusal::Wrong("one says hello once".to_owned())),
            Request::Create(create) => self.create(create.size).await,
            Request::Seal(seal) => self.seal(seal).await,
            Request::Get(get) => self.get(get).await,
        }
    }

    fn release(&mut self, ids: &[u64]) {
        for id in ids {
            // One that was used up when its object was sealed is not there any more.
            self.held.remove(id);
        }
        if !ids.is_empty() {
            self.host.objects.store().look_again();
        }
    }

    fn hold(&mut self, holding: Holding) -> u64 {
        self.last_id += 1;
        self.held.insert(self.last_id, holding);
        self.last_id
    }

    fn is_full(&self) -> bool {
        self.held.len() >= ARENA_HELD_MAX
    }

    async fn create(&mut self, size: u64) -> Result<Reply, Refusal> {
        let Host { arena, objects, metrics, .. } = self.host;
        if size > objects.part_max() {
            return Err(too_large(objects.part_max()));
        }
        if self.is_full() {
            metrics.count(Operation::Put, ArenaOutcome::Elsewhere);
            return Ok(elsewhere(format!("a client holds {ARENA_HELD_MAX} objects at most")));
        }
        let memory = objects.store().reserve(size).await?;
        let Some(extent) = arena.room(size).await else {
            metrics.count(Operation::Put, ArenaOutcome::Elsewhere);
            return Ok(elsewhere("the memory that is shared is full (cache.arena)"));
        };
        let offset = extent.offset();
        let id = self.hold(Holding::Room { extent, memory });
        Ok(Reply::Room(ha::ArenaRoom { id, offset }))
    }

    async fn seal(&mut self, seal: ha::ArenaSeal) -> Result<Reply, Refusal> {
        let Host { objects, metrics, .. } = self.host;
        let header = seal.header.unwrap_or_default();
        // The room is given back, whatever is wrong with the rest.
        let (data, memory) = match seal.content {
            Some(Sealed::Room(id)) => match self.held.remove(&id) {
                Some(Holding::Room { extent, memory }) => (Blob::from(extent), memory),
                _ => return Err(Refusal::Wrong(format!("there is no room of number {id}"))),
            },
            Some(Sealed::Data(data)) if data.len() <= ARENA_INLINE_MAX => {
                let memory = objects.store().reserve(data.len() as u64).await?;
                // A copy of its own: a message is no larger, but may share its memory with others.
                (Blob::from(Bytes::copy_from_slice(&data)), memory)
            }
            _ => return Err(Refusal::Wrong(format!("content of more than {ARENA_INLINE_MAX} bytes needs room"))),
        };
        if header.native {
            return Err(Refusal::Wrong("native Arrow does not come this way".to_owned()));
        }
        let outcome = if data.extent().is_some() { ArenaOutcome::Shared } else { ArenaOutcome::Inline };
        let place = Place::parse(&header.key, if_exists(&header))?;
        let scope = scope(header.local_only);
        let draft = Draft { data_type: header.data_type, content: DraftContent::Opaque(data) };
        let info = objects.put(place, draft, memory, scope).await?;
        metrics.count(Operation::Put, outcome);
        Ok(Reply::Sealed(object_info(objects.endpoint(), &info)))
    }

    async fn get(&mut self, get: ha::ArenaGet) -> Result<Reply, Refusal> {
        let Host { arena, objects, metrics, .. } = self.host;
        let key = ObjectKey::parse(&get.key)?;
        let object = objects.get(&key).await?;
        let refused = |reason: &str| {
            metrics.count(Operation::Get, ArenaOutcome::Elsewhere);
            Ok(elsewhere(reason))
        };
        if self.is_full() {
            return refused("a client holds only so many objects");
        }
        if object.parts_after(0).is_empty() {
            return refused("it is native Arrow");
        }
        if object.since(get.version) == Since::NotModified {
            metrics.count(Operation::Get, ArenaOutcome::Inline);
            let header = self.header(&object, ha::Extent::NotModified);
            return Ok(Reply::Object(ha::ArenaObject { header: Some(header), parts: Vec::new(), pin: 0 }));
        }
        let Some(object) = arena.share(object.object(), ARENA_INLINE_MAX as u64).await? else {
            return refused("the memory that is shared is full (cache.arena)");
        };
        let (extent, parts) = match object.since(get.version) {
            Since::NotModified => (ha::Extent::NotModified, &[][..]),
            Since::Patches(parts) => (ha::Extent::Patches, parts),
            Since::Full => (ha::Extent::Full, object.parts_after(0)),
        };
        let inline: u64 = parts.iter().filter(|part| part.data.extent().is_none()).map(|part| part.data.len()).sum();
        if inline > ARENA_DATA_MAX {
            return refused("it has many small parts");
        }
        let pins: Vec<Pin> = parts.iter().filter_map(|part| part.data.extent().cloned().map(Pin::new)).collect();
        metrics.count(Operation::Get, if pins.is_empty() { ArenaOutcome::Inline } else { ArenaOutcome::Shared });
        let parts = parts.iter().map(|part| self::part(part)).collect();
        let header = self.header(&object, extent);
        let pin = if pins.is_empty() { 0 } else { self.hold(Holding::Pins { _pins: pins }) };
        Ok(Reply::Object(ha::ArenaObject { header: Some(header), parts, pin }))
    }

    fn header(&self, object: &Object, extent: ha::Extent) -> ha::ObjectHeader {
        let info = object_info(self.host.objects.endpoint(), &object.info());
        ha::ObjectHeader { info: Some(info), extent: extent.into() }
    }
}

fn part(part: &Part) -> ha::ArenaPart {
    let place = match part.data.extent() {
        Some(extent) => PartPlace::Offset(extent.offset()),
        None => PartPlace::Data(part.data.to_bytes()),
    };
    ha::ArenaPart { version: part.version, size: part.data.len(), place: Some(place) }
}
