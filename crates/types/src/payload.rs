//! Opaque user bytes: task inputs and outputs, a session's common data.
//!
//! A payload is never part of a serialised header. Whoever encodes a value takes its payloads out with [`Payloads`],
//! writes the header and appends the bytes; whoever decodes slices the bytes out of the buffer they came in.
//! So a payload travels from socket to log to state row without being decoded or copied.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// User bytes, shared by reference. Serialises as nothing: the codec carries the bytes beside the header.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Payload(pub Bytes);

impl Payload {
    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes. An empty payload is still *present*: published clients tell it from none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&'static str> for Payload {
    fn from(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }
}

impl fmt::Debug for Payload {
    /// Length only: user data does not belong into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <()>::deserialize(deserializer)?;
        Ok(Self::default())
    }
}

/// A value with payloads in it.
pub trait Payloads {
    /// Calls `visit` once for each payload, always in the same order: the order decides which bytes belong to which
    /// field on decoding, so it is part of the format.
    fn visit_payloads(&mut self, visit: &mut dyn FnMut(&mut Payload));
}

impl Payloads for Payload {
    fn visit_payloads(&mut self, visit: &mut dyn FnMut(&mut Payload)) {
        visit(self);
    }
}

impl<T: Payloads> Payloads for Option<T> {
    fn visit_payloads(&mut self, visit: &mut dyn FnMut(&mut Payload)) {
        if let Some(inner) = self {
            inner.visit_payloads(visit);
        }
    }
}

impl<T: Payloads> Payloads for Vec<T> {
    fn visit_payloads(&mut self, visit: &mut dyn FnMut(&mut Payload)) {
        for inner in self {
            inner.visit_payloads(visit);
        }
    }
}
