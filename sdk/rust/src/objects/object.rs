//! An object that was read, and what is known of one.

use bytes::Bytes;
use flame_proto::ha;
use flame_types::ObjectKey;
use serde::Serialize;

use super::reference::ObjectRef;
use crate::{FlameError, FlameMessage};

/// What is known of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectInfo {
    /// A node that has it.
    pub endpoint: String,
    /// `application/session/object`.
    pub key: ObjectKey,
    /// Counts its changes.
    pub version: u64,
    /// The version of its base, which patches came after.
    pub base_version: u64,
    /// Bytes of all parts.
    pub size: u64,
    /// What it is said to hold.
    pub data_type: String,
    /// When it was made, in milliseconds since 1970.
    pub creation_time: i64,
    /// The base and its patches.
    pub parts: u32,
    /// It is a table of Arrow, and not bytes.
    pub native: bool,
}

impl ObjectInfo {
    /// A reference to it.
    #[must_use]
    pub fn reference(&self) -> ObjectRef {
        ObjectRef { endpoint: self.endpoint.clone(), key: self.key.clone(), version: self.version }
    }
}

impl TryFrom<ha::ObjectInfo> for ObjectInfo {
    type Error = FlameError;

    fn try_from(info: ha::ObjectInfo) -> Result<Self, FlameError> {
        let key = ObjectKey::parse(&info.key)
            .map_err(|error| FlameError::Internal(format!("the cache names an object that cannot be: {error}")))?;
        Ok(Self {
            endpoint: info.endpoint,
            key,
            version: info.version,
            base_version: info.base_version,
            size: info.size,
            data_type: info.data_type,
            creation_time: info.creation_time_ms,
            parts: info.parts,
            native: info.native,
        })
    }
}

/// A message of Arrow's interprocess format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrowMessage {
    /// Its metadata, a flatbuffer.
    pub head: Bytes,
    /// Its buffers.
    pub body: Bytes,
}

/// An object, as somebody has read it.
#[derive(Clone, Debug)]
pub struct Object {
    pub(super) info: ObjectInfo,
    pub(super) content: Content,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    /// The base, then the patches.
    Opaque(Vec<Bytes>),
    /// The schema, then the rest.
    Native(Vec<ArrowMessage>),
}

impl Object {
    /// What is known of it.
    #[must_use]
    pub fn info(&self) -> &ObjectInfo {
        &self.info
    }

    /// A reference to it, with the version that this is.
    #[must_use]
    pub fn reference(&self) -> ObjectRef {
        self.info.reference()
    }

    /// The base and its patches as bytes.
    ///
    /// # Errors
    /// [`FlameError::FailedPrecondition`] when it is a table of Arrow: [`Object::messages`].
    pub fn parts(&self) -> Result<&[Bytes], FlameError> {
        match &self.content {
            Content::Opaque(parts) => Ok(parts),
            Content::Native(_) => {
                let key = &self.info.key;
                Err(FlameError::FailedPrecondition(format!("{key} is a table of Arrow: read its messages")))
            }
        }
    }

    /// The base as the type that was put, without its patches.
    ///
    /// # Errors
    /// [`FlameError::Codec`] when it is something else, [`FlameError::FailedPrecondition`] when it is a table of Arrow.
    pub fn value<T: FlameMessage>(&self) -> Result<T, FlameError> {
        let nothing = || FlameError::Internal(format!("{} came without content", self.info.key));
        T::decode(self.parts()?.first().cloned().ok_or_else(nothing)?)
    }

    /// The patches that came after the base, oldest first.
    ///
    /// # Errors
    /// As [`Object::value`].
    pub fn deltas<T: FlameMessage>(&self) -> Result<Vec<T>, FlameError> {
        self.parts()?.iter().skip(1).cloned().map(T::decode).collect()
    }

    /// The messages of a table of Arrow, its schema first; none when it is bytes.
    #[must_use]
    pub fn messages(&self) -> &[ArrowMessage] {
        match &self.content {
            Content::Opaque(_) => &[],
            Content::Native(messages) => messages,
        }
    }
}
