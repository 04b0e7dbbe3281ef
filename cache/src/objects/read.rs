//! Reading, listing, deleting.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use flame_types::{ObjectKey, ObjectTarget};
use tokio::time::timeout;

use crate::directory::{CacheNode, Located};
use crate::error::Refusal;
use crate::limits::PAGE_MAX;
use crate::metrics::Operation;
use crate::model::{Info, Object};
use crate::objects::Objects;
use crate::store::Reservation;
use crate::store::index::Entry;

/// Longest wait of a deletion for changes that are under way.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// Why an object is not where it should be, or not at all.
const GONE: &str = "the cache that had it has it no more";
const FORGOTTEN: &str = "it had to leave memory, and this cache has no disk (cache.storage)";
const UNKNOWN: &str = "nobody has put it, or it was deleted";

/// Where an object is read.
enum Whereabouts {
    /// From what this cache has.
    Here,
    /// From those who have a later version.
    There(Located),
}

/// Nobody else has it, although the directory knows of it.
fn gone(key: &ObjectKey, located: Located) -> Refusal {
    Refusal::missing(key, located.lost.unwrap_or_else(|| GONE.to_owned()))
}

/// An object for whoever reads it.
#[derive(Debug)]
pub struct Found {
    object: Arc<Object>,
    /// Room for one that another cache has: it is not among the objects of this one, and takes memory until it is dropped.
    _room: Option<Reservation>,
}

impl Found {
    /// Itself.
    #[must_use]
    pub fn object(&self) -> &Arc<Object> {
        &self.object
    }

    /// These, made of the object: it is kept until they are.
    pub fn while_read<I: Iterator>(self, made: I) -> impl Iterator<Item = I::Item> + use<I> {
        made.inspect(move |_| {
            let _kept = &self;
        })
    }
}

impl Deref for Found {
    type Target = Object;

    fn deref(&self) -> &Object {
        &self.object
    }
}

impl From<Arc<Object>> for Found {
    fn from(object: Arc<Object>) -> Self {
        Self { object, _room: None }
    }
}

impl Objects {
    /// The object, for whoever reads it.
    ///
    /// # Errors
    /// [`Refusal::Missing`] when nobody has it.
    pub async fn get(&self, key: &ObjectKey) -> Result<Found, Refusal> {
        let outcome = self.find(key).await;
        self.inner.metrics.count(Operation::Get, &outcome.as_ref().map(|object| object.size()));
        outcome
    }

    /// The object, if this cache has it itself.
    ///
    /// # Errors
    /// [`Refusal::Missing`] when it does not.
    pub async fn get_here(&self, key: &ObjectKey) -> Result<Found, Refusal> {
        match self.store().get(key).await? {
            Some(Ok(object)) => Ok(object.into()),
            _ => Err(Refusal::missing(key, "this cache does not have it")),
        }
    }

    /// The object, from here or from another cache.
    async fn find(&self, key: &ObjectKey) -> Result<Found, Refusal> {
        let located = match self.whereabouts(key).await? {
            Whereabouts::Here => return self.find_here(key).await.map(Found::from),
            Whereabouts::There(located) => located,
        };
        let mut last = None;
        for node in self.others(&located) {
            match self.inner.peers.fetch(node, key, self.inner.object_max, self.store()).await {
                Ok((object, room)) => return Ok(Found { object: Arc::new(object), _room: Some(room) }),
                Err(refused) => last = Some(refused),
            }
        }
        Err(last.unwrap_or_else(|| gone(key, located)))
    }

    /// Where to read an object.
    ///
    /// A copy of what another cache writes may be behind: the directory knows, and is asked. Where it cannot be, what
    /// there is will do, as it would have a moment ago.
    async fn whereabouts(&self, key: &ObjectKey) -> Result<Whereabouts, Refusal> {
        if self.is_writer(key) {
            return Ok(Whereabouts::Here);
        }
        let known = self.store().known(key).filter(Entry::is_here);
        let located = match self.inner.directory.locate(key).await {
            Ok(located) => located,
            Err(_) if known.is_some() => return Ok(Whereabouts::Here),
            Err(refused) => return Err(refused),
        };
        let was_deleted = located.knows_all && located.version == 0;
        if was_deleted && known.as_ref().is_some_and(|entry| entry.recorded.is_some()) {
            return Err(Refusal::missing(key, "it was deleted"));
        }
        let is_latest = located.version == 0 || known.is_some_and(|entry| entry.info.version >= located.version);
        Ok(if is_latest { Whereabouts::Here } else { Whereabouts::There(located) })
    }

    fn others<'l>(&self, located: &'l Located) -> impl Iterator<Item = &'l CacheNode> {
        let here = self.inner.directory.here().name.clone();
        located.places.iter().filter(move |node| node.name != here)
    }

    /// The object, if this cache has it; else why it does not.
    pub(super) async fn find_here(&self, key: &ObjectKey) -> Result<Arc<Object>, Refusal> {
        let why = match self.store().get(key).await? {
            Some(Ok(object)) => return Ok(object),
            Some(Err(_)) => FORGOTTEN,
            None => UNKNOWN,
        };
        Err(Refusal::missing(key, why))
    }

    /// What is known of an object without its bytes.
    ///
    /// # Errors
    /// [`Refusal::Missing`] when nobody has it.
    pub async fn info(&self, key: &ObjectKey) -> Result<Info, Refusal> {
        let located = match self.whereabouts(key).await? {
            Whereabouts::Here => return self.info_here(key),
            Whereabouts::There(located) => located,
        };
        let mut last = None;
        for node in self.others(&located) {
            match self.inner.peers.info(node, key).await {
                Ok(info) => return Ok(info),
                Err(refused) => last = Some(refused),
            }
        }
        Err(last.unwrap_or_else(|| gone(key, located)))
    }

    /// The same, if this cache has it itself.
    ///
    /// # Errors
    /// [`Refusal::Missing`] when it does not.
    pub fn info_here(&self, key: &ObjectKey) -> Result<Info, Refusal> {
        match self.store().known(key) {
            Some(entry) if entry.is_here() => Ok(entry.info),
            Some(_) => Err(Refusal::missing(key, FORGOTTEN)),
            None => Err(Refusal::missing(key, UNKNOWN)),
        }
    }

    /// What this cache has of what is meant, in the order of the keys after this one; whether there is more.
    #[must_use]
    pub fn list(&self, target: Option<&ObjectTarget>, after: &str, limit: usize) -> (Vec<Info>, bool) {
        self.store().list(target, after, limit.min(PAGE_MAX))
    }

    /// Deletes all that is meant, wherever it is; says how many this cache had.
    ///
    /// # Errors
    /// The directory cannot be asked: then nothing is deleted.
    pub async fn delete(&self, target: &ObjectTarget) -> Result<u64, Refusal> {
        let outcome = self.try_delete(target).await;
        self.inner.metrics.count(Operation::Delete, &outcome);
        outcome
    }

    async fn try_delete(&self, target: &ObjectTarget) -> Result<u64, Refusal> {
        // What is here now is deleted. What is put from now on is, or stays, just as the directory hears of it.
        let held = timeout(LOOK_MAX, self.store().versions(target)).await.map_err(|_| {
            Refusal::Unavailable(format!("a change of objects of {target} is not recorded yet, for want of a leader"))
        })?;
        self.inner.directory.settle(target).await?;
        self.inner.directory.delete(target).await?;
        let mut deleted = 0;
        for (key, version) in held {
            deleted += u64::from(self.store().drop_version(&key, version).await?);
        }
        Ok(deleted)
    }

    /// Every cache node.
    ///
    /// # Errors
    /// The directory cannot be asked.
    pub async fn nodes(&self) -> Result<Vec<CacheNode>, Refusal> {
        self.inner.directory.nodes().await
    }
}
