//! The calls.

use std::pin::Pin;

use bytes::Bytes;
use flame_proto::v1::cache_write_request::Payload;
use flame_proto::v1::object_cache_service_server::{ObjectCacheService, ObjectCacheServiceServer};
use flame_proto::v1::{
    CacheDeleteRequest, CacheDeleteResponse, CacheGetMetadataRequest, CacheGetRequest, CacheGetResponse,
    CacheListRequest, CacheObjectMetadata, CacheWriteHeader, CacheWriteRequest,
};
use flame_types::{ObjectKey, ObjectTarget};
use futures::{Stream, StreamExt, stream};
use tonic::{Request, Response, Status, Streaming};

use super::view;
use crate::error::Refusal;
use crate::inflow::Inflow;
use crate::model::Info;
use crate::objects::{Draft, DraftContent, IfExists, Objects, Place, Scope, Upload};
use crate::wire;

/// The service.
#[derive(Clone)]
pub struct PublishedCache {
    objects: Objects,
}

impl PublishedCache {
    /// The service of these objects.
    #[must_use]
    pub fn server(objects: Objects) -> ObjectCacheServiceServer<Self> {
        let max = wire::message_max(&objects);
        ObjectCacheServiceServer::new(Self { objects }).max_decoding_message_size(max)
    }

    fn metadata(&self, info: &Info) -> Response<CacheObjectMetadata> {
        Response::new(view::metadata(self.objects.endpoint(), info))
    }

    /// The header of a write, and all that follows.
    async fn take(&self, mut incoming: Inflow<CacheWriteRequest>) -> Result<(CacheWriteHeader, Upload), Status> {
        let wrong = || Refusal::Wrong("a write begins with one header; data follows, and no other header".to_owned());
        let first = incoming.next(&self.objects).await?;
        let Some(Payload::Header(header)) = first.and_then(|first| first.payload) else { return Err(wrong().into()) };
        let mut upload = incoming.upload(&self.objects);
        while let Some(request) = incoming.next(&self.objects).await? {
            match request.payload {
                Some(Payload::Data(data)) => upload.data(data).await?,
                Some(Payload::Header(_)) => return Err(wrong().into()),
                None => upload.data(Bytes::new()).await?,
            }
        }
        Ok((header, upload))
    }
}

#[tonic::async_trait]
impl ObjectCacheService for PublishedCache {
    type GetStream = Pin<Box<dyn Stream<Item = Result<CacheGetResponse, Status>> + Send>>;
    type ListStream = Pin<Box<dyn Stream<Item = Result<CacheObjectMetadata, Status>> + Send>>;

    async fn put(
        &self,
        request: Request<Streaming<CacheWriteRequest>>,
    ) -> Result<Response<CacheObjectMetadata>, Status> {
        let (header, upload) = self.take(Inflow::of(request)).await?;
        let place = Place::parse(&header.key, IfExists::Refuse)?;
        let (blob, room) = upload.into_blob();
        let draft = Draft { data_type: header.data_type, content: DraftContent::Opaque(blob) };
        Ok(self.metadata(&self.objects.put(place, draft, room, Scope::Any).await?))
    }

    async fn patch(
        &self,
        request: Request<Streaming<CacheWriteRequest>>,
    ) -> Result<Response<CacheObjectMetadata>, Status> {
        let (header, upload) = self.take(Inflow::of(request)).await?;
        let key = ObjectKey::parse(&header.key).map_err(Refusal::from)?;
        let (blob, room) = upload.into_blob();
        Ok(self.metadata(&self.objects.patch(&key, None, blob, room, Scope::Any).await?))
    }

    async fn get(&self, request: Request<CacheGetRequest>) -> Result<Response<Self::GetStream>, Status> {
        let CacheGetRequest { key, version } = request.into_inner();
        let key = ObjectKey::parse(&key).map_err(Refusal::from)?;
        let object = self.objects.get(&key).await?;
        let answer = view::answer(&object, version)?;
        Ok(Response::new(Box::pin(stream::iter(object.while_read(answer).map(Ok)))))
    }

    async fn delete(&self, request: Request<CacheDeleteRequest>) -> Result<Response<CacheDeleteResponse>, Status> {
        let target = ObjectTarget::parse(&request.get_ref().key).map_err(Refusal::from)?;
        self.objects.delete(&target).await?;
        Ok(Response::new(CacheDeleteResponse {}))
    }

    async fn get_metadata(
        &self,
        request: Request<CacheGetMetadataRequest>,
    ) -> Result<Response<CacheObjectMetadata>, Status> {
        let key = ObjectKey::parse(&request.get_ref().key).map_err(Refusal::from)?;
        Ok(self.metadata(&self.objects.info(&key).await?))
    }

    async fn list(&self, _request: Request<CacheListRequest>) -> Result<Response<Self::ListStream>, Status> {
        let endpoint = self.objects.endpoint().to_owned();
        let infos = wire::everything(self.objects.clone()).map(move |info| Ok(view::metadata(&endpoint, &info)));
        Ok(Response::new(Box::pin(infos)))
    }
}
