//! `flame.ha.v1.ObjectDirectory`: where cached objects lie, and the deletion of them. The bytes are with the cache nodes.

use flame_machine::State;
use flame_machine::command::Command;
use flame_machine::view::{self, CacheView, ObjectView, PlaceView};
use flame_proto::ha;
use flame_proto::ha::object_directory_server::ObjectDirectory;
use flame_types::{NodeName, ObjectKey, ObjectTarget};
use tonic::{Request, Response, Status};

use super::call::Call;
use crate::drive::gateway::Gateway;

/// Most entries of one page, and as many as are looked at for it: apply waits meanwhile.
const ENTRIES_PER_PAGE_MAX: usize = 1000;

/// The service of this node.
pub struct DirectoryService {
    gateway: Gateway,
}

impl DirectoryService {
    /// A service that works through this gateway.
    #[must_use]
    pub fn new(gateway: Gateway) -> Self {
        Self { gateway }
    }

    async fn page(&self, call: Call, message: ha::ListDirectoryRequest) -> Result<ha::ListDirectoryReply, Status> {
        let target = Some(message.target).filter(|text| !text.is_empty()).map(|text| target(&text)).transpose()?;
        let after = Some(message.after).filter(|text| !text.is_empty()).map(|text| key(&text)).transpose()?;
        let limit = match message.limit as usize {
            0 => ENTRIES_PER_PAGE_MAX,
            limit => limit.min(ENTRIES_PER_PAGE_MAX),
        };
        self.gateway.barrier(call.deadline).await?;
        let look = move |state: &State| view::objects(state, target.as_ref(), after.as_ref(), limit);
        let (page, next) = self.gateway.with_state(look).await?;
        let next = next.map(|next| next.to_string()).unwrap_or_default();
        Ok(ha::ListDirectoryReply { entries: page.into_iter().map(shown).collect(), next })
    }
}

type Answer<T> = Result<Response<T>, Status>;

fn open<T>(request: Request<T>) -> (Call, T) {
    (Call::of(request.metadata()), request.into_inner())
}

#[tonic::async_trait]
impl ObjectDirectory for DirectoryService {
    async fn locate(&self, request: Request<ha::LocateObjectRequest>) -> Answer<ha::DirectoryEntry> {
        let (call, message) = open(request);
        let key = key(&message.key)?;
        self.gateway.barrier(call.deadline).await?;
        let wanted = key.clone();
        let found = self.gateway.with_state(move |state: &State| view::object(state, &wanted)).await?;
        let found = found.ok_or_else(|| Status::not_found(format!("object {key} not found")))?;
        Ok(Response::new(shown(found)))
    }

    async fn list(&self, request: Request<ha::ListDirectoryRequest>) -> Answer<ha::ListDirectoryReply> {
        let (call, message) = open(request);
        self.page(call, message).await.map(Response::new)
    }

    async fn delete(&self, request: Request<ha::DeleteEntriesRequest>) -> Answer<ha::DeleteEntriesReply> {
        let (call, message) = open(request);
        let target = target(&message.target)?;
        call.change(&self.gateway, Command::ObjectsDelete { target }).await?;
        Ok(Response::new(ha::DeleteEntriesReply {}))
    }

    async fn nodes(&self, request: Request<ha::CacheNodesRequest>) -> Answer<ha::CacheNodesReply> {
        let (call, _) = open(request);
        self.gateway.barrier(call.deadline).await?;
        let nodes = self.gateway.with_state(view::caches).await?;
        Ok(Response::new(ha::CacheNodesReply { nodes: nodes.into_iter().map(shown_cache).collect() }))
    }

    async fn remove(&self, request: Request<ha::RemoveCacheRequest>) -> Answer<ha::RemoveCacheReply> {
        let (call, message) = open(request);
        let cache = NodeName::parse(&message.cache).map_err(|error| Status::invalid_argument(error.to_string()))?;
        call.change(&self.gateway, Command::CacheRemove { cache: cache.clone() }).await?;
        let left = move |state: &State| state.directory().cache(cache.as_str()).map_or(0, |cache| cache.objects.len());
        let left = self.gateway.with_state(left).await.map_err(|error| call.made_but(error.into()))?;
        Ok(Response::new(ha::RemoveCacheReply { left: left as u64 }))
    }
}

fn key(text: &str) -> Result<ObjectKey, Status> {
    ObjectKey::parse(text).map_err(|error| Status::invalid_argument(error.to_string()))
}

fn target(text: &str) -> Result<ObjectTarget, Status> {
    ObjectTarget::parse(text).map_err(|error| Status::invalid_argument(error.to_string()))
}

fn shown(object: ObjectView) -> ha::DirectoryEntry {
    ha::DirectoryEntry {
        key: object.key.to_string(),
        version: object.version.0,
        size: object.size,
        data_type: object.data_type.to_string(),
        created_ms: object.created.0,
        copies: object.copies,
        places: object.places.into_iter().map(shown_place).collect(),
    }
}

fn shown_place(place: PlaceView) -> ha::ObjectPlace {
    let PlaceView { cache, endpoint, attached, is_away } = place;
    ha::ObjectPlace { cache: cache.to_string(), endpoint, attached, away: is_away }
}

fn shown_cache(cache: CacheView) -> ha::CacheNode {
    let name = cache.name.to_string();
    let hostname = if cache.host.name.is_empty() { name.clone() } else { cache.host.name };
    ha::CacheNode {
        name,
        endpoint: cache.endpoint,
        hostname,
        attached: cache.attached,
        away: cache.is_away,
        objects: cache.objects,
        bytes: cache.bytes,
        memory_bytes: cache.memory_bytes,
        disk_bytes: cache.disk_bytes,
        last_hello: cache.seen.0,
    }
}
