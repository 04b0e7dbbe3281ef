//! Putting and patching.
//!
//! **Invariant:** a write that has begun is seen through, also when its client goes away: a version that was told to the
//! directory is either shown or taken back.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use flame_proto::ha;
use flame_types::{ObjectKey, ObjectPrefix};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::directory::{CacheNode, Located, NotRecorded};
use crate::error::Refusal;
use crate::limits::{DATA_TYPE_BYTES_MAX, PATCHES_MAX};
use crate::metrics::Operation;
use crate::model::{ArrowMessage, Blob, Content, Info, Object, Part, PatchRefused};
use crate::objects::Objects;
use crate::objects::upload::too_large;
use crate::store::disk::{OnDisk, Sync};
use crate::store::{Lock, Origin, Reservation};

/// The type of what is bytes and nothing else, as published clients have it.
pub const RAW: &str = "raw";

/// Longest time that a client waits until its object is recorded, or until another write of it is over.
const RECORD_MAX: Duration = Duration::from_secs(10);

/// Where an object goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Under a name of its own among these.
    New(ObjectPrefix),
    /// There.
    At(ObjectKey, IfExists),
}

impl Place {
    /// Reads a key of three parts, or a prefix of two.
    ///
    /// # Errors
    /// [`Refusal::Name`] says what is wrong with it.
    pub fn parse(text: &str, if_exists: IfExists) -> Result<Self, Refusal> {
        if text.matches('/').count() == 1 {
            return Ok(Self::New(ObjectPrefix::parse(text)?));
        }
        Ok(Self::At(ObjectKey::parse(text)?, if_exists))
    }
}

/// What becomes of an object that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfExists {
    /// It is replaced.
    Replace,
    /// It stays, and whoever puts is refused.
    Refuse,
    /// It is replaced if it has this version; 0: if there is none.
    Expect(u64),
}

/// Who may do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Whichever cache is the writer of the object.
    Any,
    /// This one: it was passed on to it.
    Here,
}

/// An object that is to be.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The word of whoever puts it for what the bytes are.
    pub data_type: String,
    /// What it consists of.
    pub content: DraftContent,
}

/// What an object that is to be consists of.
#[derive(Clone, Debug)]
pub enum DraftContent {
    /// Bytes.
    Opaque(Blob),
    /// Messages of native Arrow, the schema first.
    Native(Vec<ArrowMessage>),
}

/// Who writes an object.
enum Writer {
    /// This cache.
    Here(Latest),
    /// Another one.
    There(CacheNode),
}

/// What the directory says of an object that this cache is to write.
#[derive(Clone, Debug, Default)]
struct Latest {
    /// Its version, at least; 0 when there is none or this cache knows better.
    version: u64,
    /// Why nobody has it, when it is known and nobody has.
    lost: Option<String>,
}

/// Says that the directory is asked to record something.
type Begun = oneshot::Sender<()>;

impl Objects {
    /// Makes an object, or replaces one.
    ///
    /// # Errors
    /// [`Refusal`] says why not; then all is as it was, unless it is [`Refusal::Unavailable`]: then nobody knows.
    pub async fn put(&self, place: Place, draft: Draft, room: Reservation, scope: Scope) -> Result<Info, Refusal> {
        let outcome = match self.writer_of_place(&place, scope).await {
            Ok(Writer::Here(latest)) => {
                let this = self.clone();
                see_through(|begun| async move { this.try_put(place, draft, room, latest, begun).await }).await
            }
            Ok(Writer::There(writer)) => self.pass_on(&writer, &place, draft).await,
            Err(refused) => Err(refused),
        };
        self.inner.metrics.count(Operation::Put, &outcome.as_ref().map(|info| info.size));
        outcome
    }

    async fn pass_on(&self, writer: &CacheNode, place: &Place, draft: Draft) -> Result<Info, Refusal> {
        let data_type = checked_data_type(draft.data_type)?;
        let Place::At(key, if_exists) = place else {
            return Err(Refusal::Wrong("an object without a name has no writer".to_owned()));
        };
        let (if_exists, expected_version) = match if_exists {
            IfExists::Replace => (ha::IfExists::Replace, 0),
            IfExists::Refuse => (ha::IfExists::Refuse, 0),
            IfExists::Expect(version) => (ha::IfExists::Expect, *version),
        };
        let header = ha::PutObjectHeader {
            key: key.to_string(),
            data_type,
            native: matches!(draft.content, DraftContent::Native(_)),
            if_exists: if_exists.into(),
            expected_version,
            local_only: true,
        };
        self.inner.peers.put(writer, header, draft.content).await
    }

    async fn writer_of_place(&self, place: &Place, scope: Scope) -> Result<Writer, Refusal> {
        match place {
            Place::New(_) => Ok(Writer::Here(Latest::default())),
            Place::At(key, _) => self.writer(key, scope).await,
        }
    }

    /// Whether this cache is certain to be the writer of an object that it has.
    pub(super) fn is_writer(&self, key: &ObjectKey) -> bool {
        let is_written_here = self.store().known(key).is_some_and(|entry| entry.is_here() && entry.is_written_here);
        is_written_here && self.inner.directory.is_certain()
    }

    /// Who writes this object.
    async fn writer(&self, key: &ObjectKey, scope: Scope) -> Result<Writer, Refusal> {
        if self.is_writer(key) {
            return Ok(Writer::Here(Latest::default()));
        }
        let Located { version, places, lost, .. } = self.inner.directory.locate(key).await?;
        let here = &self.inner.directory.here().name;
        match places.into_iter().next().filter(|writer| writer.name != *here) {
            Some(writer) if scope == Scope::Here => Err(Refusal::Unavailable(format!(
                "object {key} is written by the cache {}, and was passed on to {here}",
                writer.name
            ))),
            Some(writer) => Ok(Writer::There(writer)),
            None => Ok(Writer::Here(Latest { version, lost })),
        }
    }

    async fn try_put(
        &self,
        place: Place,
        draft: Draft,
        room: Reservation,
        latest: Latest,
        begun: Begun,
    ) -> Result<Info, Refusal> {
        let data_type = checked_data_type(draft.data_type)?;
        let app = match &place {
            Place::New(prefix) => prefix.app(),
            Place::At(key, _) => key.app(),
        };
        self.inner.directory.may_put(app)?;
        let (key, if_exists) = match place {
            // Nobody has had this name before.
            Place::New(prefix) => (prefix.key(&Uuid::new_v4().to_string())?, IfExists::Refuse),
            Place::At(key, if_exists) => (key, if_exists),
        };
        let lock = self.lock_to_write(&key).await?;
        let before = self.store().known(&key);
        // What is older than what others have written counts as nothing.
        let here = before.as_ref().filter(|entry| entry.is_here() && entry.info.version >= latest.version);
        let found = here.map_or(0, |entry| entry.info.version);
        match if_exists {
            IfExists::Refuse if found > 0 => return Err(Refusal::Exists(key)),
            IfExists::Expect(expected) if expected != found => {
                return Err(Refusal::OtherVersion { key, expected, found });
            }
            IfExists::Replace | IfExists::Refuse | IfExists::Expect(_) => {}
        }
        let version = before.as_ref().map_or(0, |entry| entry.info.version).max(latest.version) + 1;
        let content = match draft.content {
            DraftContent::Opaque(data) => Content::Opaque(vec![Arc::new(Part { version, data })]),
            DraftContent::Native(messages) => Content::Native(Arc::new(messages)),
        };
        let created_ms = here.map_or_else(|| self.inner.clock.wall().0, |entry| entry.info.created_ms);
        let data_type = Arc::from(data_type);
        let object = Arc::new(Object { key, data_type, created_ms, base_version: version, content });
        self.store().admit(&object.key, object.size())?;
        let file = match object.key.is_durable() {
            true => self.store().write(&object, Sync::Now).await?,
            false => None,
        };
        let change = Change { object, file, before: before.and_then(|entry| entry.file), room };
        self.finish(&lock, change, begun).await
    }

    /// Adds a part to an object; to the version that is expected, if one is.
    ///
    /// # Errors
    /// [`Refusal`] says why not; then all is as it was.
    pub async fn patch(
        &self,
        key: &ObjectKey,
        expected: Option<u64>,
        data: Blob,
        room: Reservation,
        scope: Scope,
    ) -> Result<Info, Refusal> {
        let bytes = data.len();
        let outcome = match self.writer(key, scope).await {
            Ok(Writer::Here(latest)) => {
                let (this, key) = (self.clone(), key.clone());
                let patch = Patch { expected, data, room };
                see_through(|begun| async move { this.try_patch(&key, patch, latest, begun).await }).await
            }
            Ok(Writer::There(writer)) => {
                let header = ha::PutObjectHeader {
                    key: key.to_string(),
                    expected_version: expected.unwrap_or_default(),
                    local_only: true,
                    ..ha::PutObjectHeader::default()
                };
                self.inner.peers.patch(&writer, header, data).await
            }
            Err(refused) => Err(refused),
        };
        self.inner.metrics.count(Operation::Patch, &outcome.as_ref().map(|_| bytes));
        outcome
    }

    async fn try_patch(
        &self,
        key: &ObjectKey,
        Patch { expected, data, room }: Patch,
        latest: Latest,
        begun: Begun,
    ) -> Result<Info, Refusal> {
        self.inner.directory.may_put(key.app())?;
        let (lock, object, before) = self.lock_in_memory(key).await.map_err(|refused| match latest.lost.clone() {
            Some(why) => refused.or_missing(key, why),
            None => refused,
        })?;
        let found = object.version();
        if found < latest.version {
            return Err(Refusal::missing(
                key,
                latest.lost.unwrap_or_else(|| "only an older version is here".to_owned()),
            ));
        }
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            return Err(Refusal::OtherVersion { key: key.clone(), expected, found });
        }
        let patched = Arc::new(object.patched(data).map_err(|refused| match refused {
            PatchRefused::Native => Refusal::Native(key.clone()),
            PatchRefused::TooMany => Refusal::Wrong(format!(
                "object {key} has {PATCHES_MAX} patches, and one has no more; put or update it with all of them in its base"
            )),
        })?);
        if patched.size() > self.inner.object_max {
            return Err(too_large(self.inner.object_max));
        }
        self.store().admit(key, patched.size())?;
        let file = match key.is_durable() {
            true => self.store().write_on(before, &patched, Sync::Now).await?,
            false => before,
        };
        self.finish(&lock, Change { object: patched, file, before, room }, begun).await
    }

    /// Tells the directory, and shows the object to everybody.
    async fn finish(&self, lock: &Lock, change: Change, begun: Begun) -> Result<Info, Refusal> {
        let Change { object, file, before, room } = change;
        let info = object.info();
        if !object.key.is_durable() {
            self.store().publish(lock, object, file, Origin::Here, room).await;
            // Under the lock: who deletes the object waits for what is to be told of it.
            self.inner.directory.record_soon(&info);
            return Ok(info);
        }
        // Whoever waits may have given up.
        let _ = begun.send(());
        match self.inner.directory.record(&info).await {
            Ok(recorded) => {
                self.store().publish(lock, object, file, Origin::Here, room).await;
                self.store().recorded(&info, recorded.generation).await;
                drop(recorded.until_shown);
                Ok(info)
            }
            Err(NotRecorded::Refused(refused)) => {
                self.store().discard(file, before).await;
                Err(refused)
            }
            Err(NotRecorded::Superseded) => {
                self.store().discard(file, before).await;
                self.store().forget(lock).await?;
                let key = info.key;
                Err(Refusal::Unavailable(format!("object {key} was changed by way of another cache meanwhile")))
            }
        }
    }

    /// The right to change an object, unless another change of it does not come to its end.
    async fn lock_to_write(&self, key: &ObjectKey) -> Result<Lock, Refusal> {
        timeout(RECORD_MAX, self.store().lock(key)).await.map_err(|_| {
            Refusal::Unavailable(format!("another change of object {key} is not recorded yet, for want of a leader"))
        })
    }

    /// The object, in memory and locked, and its file.
    async fn lock_in_memory(&self, key: &ObjectKey) -> Result<(Lock, Arc<Object>, Option<OnDisk>), Refusal> {
        loop {
            let object = self.find_here(key).await?;
            let lock = self.lock_to_write(key).await?;
            // It may have been changed, or have left memory, before the lock was there.
            if let Some(entry) = self.store().known(key)
                && entry.object.is_some()
                && entry.info.version == object.version()
            {
                return Ok((lock, object, entry.file));
            }
        }
    }
}

/// A part that is to be.
struct Patch {
    expected: Option<u64>,
    data: Blob,
    room: Reservation,
}

/// A version that nobody sees yet: its object and file, and the file of the version before.
struct Change {
    object: Arc<Object>,
    file: Option<OnDisk>,
    before: Option<OnDisk>,
    room: Reservation,
}

/// Does a write to its end, whether or not somebody still waits for it. Whoever does is told when the directory takes too
/// long.
async fn see_through<F>(write: impl FnOnce(Begun) -> F) -> Result<Info, Refusal>
where
    F: Future<Output = Result<Info, Refusal>> + Send + 'static,
{
    let (begun, has_begun) = oneshot::channel();
    let written = tokio::spawn(write(begun));
    let late = async {
        match has_begun.await {
            Ok(()) => sleep(RECORD_MAX).await,
            // It is over, or nothing is to be recorded.
            Err(_) => pending().await,
        }
    };
    tokio::select! {
        outcome = written => outcome.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())),
        () = late => Err(Refusal::Unavailable(format!(
            "no leader has recorded the object within {RECORD_MAX:?}; it may be yet"
        ))),
    }
}

/// The type as it is kept: what nobody has named is raw bytes.
fn checked_data_type(data_type: String) -> Result<String, Refusal> {
    if data_type.is_empty() {
        return Ok(RAW.to_owned());
    }
    if data_type.len() > DATA_TYPE_BYTES_MAX || !data_type.chars().all(|c| c.is_ascii_graphic()) {
        return Err(Refusal::Wrong(format!(
            "the type of an object is a word of at most {DATA_TYPE_BYTES_MAX} printable ASCII characters, like raw or json"
        )));
    }
    Ok(data_type)
}
