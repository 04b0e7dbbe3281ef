//! Any serde type as a payload, without a type of one's own.

use std::marker::PhantomData;
use std::ops::Deref;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::formats::{Codec, Json, MessagePack};
use super::message::FlameMessage;
use super::payload::IntoTaskInput;
use crate::FlameError;

/// A serde value that travels by the codec `C`.
///
/// ```
/// use flame_sdk::FlameMessage;
/// use flame_sdk::codec::{Typed, json, msgpack};
///
/// assert_eq!(&json(vec![1, 2]).encode()?[..], b"[1,2]");
/// let bytes = msgpack(vec![1, 2]).encode()?;
/// assert_eq!(Typed::<Vec<i32>, flame_sdk::codec::MessagePack>::decode(bytes)?.into_inner(), [1, 2]);
/// # Ok::<(), flame_sdk::FlameError>(())
/// ```
pub struct Typed<T, C = Json> {
    value: T,
    codec: PhantomData<fn() -> C>,
}

/// A value that travels as JSON.
#[must_use]
pub fn json<T>(value: T) -> Typed<T, Json> {
    Typed::new(value)
}

/// A value that travels as MessagePack.
#[must_use]
pub fn msgpack<T>(value: T) -> Typed<T, MessagePack> {
    Typed::new(value)
}

impl<T, C> Typed<T, C> {
    /// A value that travels by the codec `C`.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self { value, codec: PhantomData }
    }

    /// The value.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T, C> Deref for Typed<T, C> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Clone, C> Clone for Typed<T, C> {
    fn clone(&self) -> Self {
        Self::new(self.value.clone())
    }
}

impl<T: PartialEq, C> PartialEq for Typed<T, C> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: std::fmt::Debug, C> std::fmt::Debug for Typed<T, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: Serialize + DeserializeOwned, C: Codec> FlameMessage for Typed<T, C> {
    fn encode(&self) -> Result<Bytes, FlameError> {
        C::encode(&self.value)
    }

    fn decode(bytes: Bytes) -> Result<Self, FlameError> {
        C::decode(&bytes).map(Self::new)
    }
}

impl<T: Serialize, C: Codec> IntoTaskInput for Typed<T, C> {
    fn into_task_input(self) -> Result<Option<Bytes>, FlameError> {
        C::encode(&self.value).map(Some)
    }
}
