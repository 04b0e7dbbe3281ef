//! Typed payloads: what a program gives and takes, as bytes.
//!
//! A task's input and output are bytes. A [`FlameMessage`] is a type that says how it becomes bytes and back; most derive
//! it. The bytes are plain JSON or MessagePack, nothing around them, so both sides may be written in any language.
//!
//! **Invariant:** an absent payload and an empty one are different on both ends: `()` and `None` travel as nothing at
//! all, and whoever expects a message and gets nothing is told so.
//! **Invariant:** an error names the type and the codec that do not fit.
//!
//! | type | as bytes |
//! |---|---|
//! | derived [`FlameMessage`] | [`Json`], or what `#[flame(codec = …)]` says |
//! | numbers, `bool`, `String`, [`serde_json::Value`] | JSON |
//! | [`Bytes`], `Vec<u8>` | as they are |
//! | [`Typed<T, C>`](Typed), from [`json`] and [`msgpack`] | any serde type, without a type of one's own |

mod formats;
mod message;
mod payload;
mod typed;

pub use formats::{Codec, Json, MessagePack};
pub use message::FlameMessage;
pub use payload::{FromTaskInput, FromTaskOutput, IntoCommonData, IntoTaskInput, IntoTaskOutput};
pub use typed::{Typed, json, msgpack};

#[cfg(doc)]
use bytes::Bytes;
