//! The calls.

use std::pin::Pin;

use flame_proto::ha;
use flame_proto::ha::objects_server::{Objects as Served, ObjectsServer};
use flame_proto::ha::put_object_frame::Frame;
use flame_types::{ObjectKey, ObjectTarget};
use futures::{Stream, stream};
use tonic::{Request, Response, Status, Streaming};

use super::frames;
use crate::arena::Local;
use crate::error::Refusal;
use crate::flight::messages;
use crate::inflow::Inflow;
use crate::limits::PAGE_MAX;
use crate::model::{ArrowMessage, Info};
use crate::objects::{Draft, DraftContent, IfExists, Objects, Place, Scope, Upload};
use crate::wire;

/// The service.
#[derive(Clone)]
pub struct OwnCache {
    objects: Objects,
    local: Option<Local>,
}

impl OwnCache {
    /// The service of these objects, and how clients of this host share memory with them, if they do.
    #[must_use]
    pub fn server(objects: Objects, local: Option<Local>) -> ObjectsServer<Self> {
        let max = wire::message_max(&objects);
        ObjectsServer::new(Self { objects, local }).max_decoding_message_size(max)
    }

    fn info(&self, info: &Info) -> ha::ObjectInfo {
        frames::info(self.objects.endpoint(), info)
    }

    async fn header(&self, incoming: &mut Inflow<ha::PutObjectFrame>) -> Result<ha::PutObjectHeader, Status> {
        let first = incoming.next(&self.objects).await?;
        match first.and_then(|first| first.frame) {
            Some(Frame::Header(header)) => Ok(header),
            _ => Err(Refusal::Wrong("the first message is the header".to_owned()).into()),
        }
    }

    /// What follows a header, and nothing of another kind.
    async fn take(&self, incoming: &mut Inflow<ha::PutObjectFrame>, is_native: bool) -> Result<Upload, Status> {
        let mut upload = incoming.upload(&self.objects);
        while let Some(next) = incoming.next(&self.objects).await? {
            match next.frame {
                Some(Frame::Data(data)) if !is_native => upload.data(data).await?,
                Some(Frame::Message(ha::ArrowMessage { head, body })) if is_native => {
                    upload.message(head, body).await?
                }
                _ => {
                    let why = "data follows the header of an opaque object, messages that of a native one";
                    return Err(Refusal::Wrong(why.to_owned()).into());
                }
            }
        }
        Ok(upload)
    }
}

/// Messages that others will be given: the first is a schema, the others are not.
fn check(messages: &[ArrowMessage]) -> Result<(), Refusal> {
    let Some((schema, rest)) = messages.split_first() else {
        return Err(Refusal::Wrong("native Arrow begins with a schema".to_owned()));
    };
    if messages::incoming(&schema.head)? != messages::Incoming::Native {
        return Err(Refusal::Wrong("the metadata of the schema does not say that it is native Arrow".to_owned()));
    }
    rest.iter().try_for_each(|message| messages::kind(&message.head).map(drop))
}

pub(crate) fn scope(local_only: bool) -> Scope {
    if local_only { Scope::Here } else { Scope::Any }
}

pub(crate) fn if_exists(header: &ha::PutObjectHeader) -> IfExists {
    match header.if_exists() {
        ha::IfExists::Unspecified | ha::IfExists::Replace => IfExists::Replace,
        ha::IfExists::Refuse => IfExists::Refuse,
        ha::IfExists::Expect => IfExists::Expect(header.expected_version),
    }
}

#[tonic::async_trait]
impl Served for OwnCache {
    type FetchStream = Pin<Box<dyn Stream<Item = Result<ha::ObjectFrame, Status>> + Send>>;

    async fn fetch(&self, request: Request<ha::FetchObjectRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let ha::FetchObjectRequest { key, version, local_only } = request.into_inner();
        let key = ObjectKey::parse(&key).map_err(Refusal::from)?;
        let object = match local_only {
            true => self.objects.get_here(&key).await?,
            false => self.objects.get(&key).await?,
        };
        let frames = frames::frames(self.objects.endpoint(), &object, version);
        Ok(Response::new(Box::pin(stream::iter(object.while_read(frames).map(Ok)))))
    }

    async fn put(&self, request: Request<Streaming<ha::PutObjectFrame>>) -> Result<Response<ha::ObjectInfo>, Status> {
        let mut incoming = Inflow::of(request);
        let header = self.header(&mut incoming).await?;
        let place = Place::parse(&header.key, if_exists(&header))?;
        let scope = scope(header.local_only);
        let upload = self.take(&mut incoming, header.native).await?;
        let (content, room) = if header.native {
            let (messages, room) = upload.into_messages();
            check(&messages)?;
            (DraftContent::Native(messages), room)
        } else {
            let (blob, room) = upload.into_blob();
            (DraftContent::Opaque(blob), room)
        };
        let draft = Draft { data_type: header.data_type, content };
        Ok(Response::new(self.info(&self.objects.put(place, draft, room, scope).await?)))
    }

    async fn patch(&self, request: Request<Streaming<ha::PutObjectFrame>>) -> Result<Response<ha::ObjectInfo>, Status> {
        let mut incoming = Inflow::of(request);
        let header = self.header(&mut incoming).await?;
        let key = ObjectKey::parse(&header.key).map_err(Refusal::from)?;
        let (blob, room) = self.take(&mut incoming, false).await?.into_blob();
        let expected = Some(header.expected_version).filter(|expected| *expected > 0);
        Ok(Response::new(self.info(&self.objects.patch(&key, expected, blob, room, scope(header.local_only)).await?)))
    }

    async fn delete(
        &self,
        request: Request<ha::DeleteObjectsRequest>,
    ) -> Result<Response<ha::DeleteObjectsReply>, Status> {
        let target = ObjectTarget::parse(&request.get_ref().target).map_err(Refusal::from)?;
        let deleted = self.objects.delete(&target).await?;
        Ok(Response::new(ha::DeleteObjectsReply { deleted }))
    }

    async fn list(&self, request: Request<ha::ListObjectsRequest>) -> Result<Response<ha::ListObjectsReply>, Status> {
        let ha::ListObjectsRequest { target, after, limit } = request.into_inner();
        let target = match target.as_str() {
            "" => None,
            target => Some(ObjectTarget::parse(target).map_err(Refusal::from)?),
        };
        let limit = if limit == 0 { PAGE_MAX } else { PAGE_MAX.min(limit as usize) };
        let (found, more) = self.objects.list(target.as_ref(), &after, limit);
        let objects = found.iter().map(|info| self.info(info)).collect();
        Ok(Response::new(ha::ListObjectsReply { objects, more }))
    }

    async fn metadata(&self, request: Request<ha::ObjectMetadataRequest>) -> Result<Response<ha::ObjectInfo>, Status> {
        let ha::ObjectMetadataRequest { key, local_only } = request.into_inner();
        let key = ObjectKey::parse(&key).map_err(Refusal::from)?;
        let info = if local_only { self.objects.info_here(&key)? } else { self.objects.info(&key).await? };
        Ok(Response::new(self.info(&info)))
    }

    async fn nodes(&self, _request: Request<ha::ObjectNodesRequest>) -> Result<Response<ha::ObjectNodesReply>, Status> {
        let nodes = self.objects.nodes().await?;
        let nodes = nodes.into_iter().map(|node| ha::ObjectNode { name: node.name, endpoint: node.endpoint });
        Ok(Response::new(ha::ObjectNodesReply { nodes: nodes.collect() }))
    }

    async fn local(
        &self,
        _request: Request<ha::LocalObjectsRequest>,
    ) -> Result<Response<ha::LocalObjectsReply>, Status> {
        let local = self.local.clone().map(|Local { socket, token }| ha::LocalObjectsReply { socket, token });
        Ok(Response::new(local.unwrap_or_default()))
    }
}
