//! Making room in the arena, and moving objects into it and out of it.
//!
//! Objects that clients read stay. Of the others those that nobody has used for longest move to ordinary memory, where they
//! count as much: nothing is lost by it, and nothing goes to disk for it.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::arena::segment::{Extent, Segment};
use crate::error::Refusal;
use crate::limits::CHUNK_BYTES;
use crate::model::{Blob, Content, Object, Part};
use crate::store::Store;

/// How many of the coldest objects are looked at at a time.
const VICTIMS: usize = 16;

/// The arena of a store. A handle: clones are of the same.
#[derive(Clone)]
pub struct Arena {
    segment: Segment,
    store: Store,
    /// Held by whoever makes room: two would move out more than is needed.
    making_room: Arc<Mutex<()>>,
}

impl Arena {
    /// The arena of this store.
    #[must_use]
    pub fn new(segment: Segment, store: Store) -> Self {
        Self { segment, store, making_room: Arc::default() }
    }

    /// The memory.
    #[must_use]
    pub fn segment(&self) -> &Segment {
        &self.segment
    }

    /// Room for so many bytes; `None` when there is none although all have left that may.
    pub async fn room(&self, len: u64) -> Option<Arc<Extent>> {
        if let Some(extent) = self.segment.allocate(len) {
            return Some(extent);
        }
        if len >= self.segment.bytes() {
            return None;
        }
        let _alone = self.making_room.lock().await;
        loop {
            if let Some(extent) = self.segment.allocate(len) {
                return Some(extent);
            }
            let victims = self.store.coldest_shared(VICTIMS);
            let mut moved = false;
            for key in victims {
                moved |= self.store.unshare(&key).await;
                if let Some(extent) = self.segment.allocate(len) {
                    return Some(extent);
                }
            }
            if !moved {
                return None;
            }
        }
    }

    /// The object with its large parts in the arena; `None` when there is no room. Others find it there, too.
    ///
    /// # Errors
    /// The system has no memory.
    pub async fn share(&self, object: &Arc<Object>, larger_than: u64) -> Result<Option<Arc<Object>>, Refusal> {
        let Content::Opaque(parts) = &object.content else { return Ok(None) };
        let is_small = |part: &Part| part.data.len() <= larger_than || part.data.extent().is_some();
        if parts.iter().all(|part| is_small(part)) {
            return Ok(Some(object.clone()));
        }
        let mut shared = Vec::with_capacity(parts.len());
        for part in parts {
            if is_small(part) {
                shared.push(part.clone());
                continue;
            }
            let Some(extent) = self.room(part.data.len()).await else { return Ok(None) };
            let data = copy(part.data.clone(), extent).await?;
            shared.push(Arc::new(Part { version: part.version, data }));
        }
        let shared = Arc::new(Object { content: Content::Opaque(shared), ..Object::clone(object) });
        self.store.exchange(object, &shared);
        Ok(Some(shared))
    }
}

/// Copies bytes into an extent of their length.
async fn copy(data: Blob, extent: Arc<Extent>) -> Result<Blob, Refusal> {
    let copied = tokio::task::spawn_blocking(move || -> Result<Blob, Refusal> {
        let mut at = 0;
        for chunk in data.chunks(CHUNK_BYTES) {
            extent.write(at, &chunk)?;
            at += chunk.len() as u64;
        }
        Ok(Blob::from(extent))
    });
    copied.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
