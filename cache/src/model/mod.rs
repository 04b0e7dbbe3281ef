//! What an object is, without disk, clock or network.
//!
//! An object has a version that only grows. Opaque objects are bytes in parts: the base, and patches behind it, each with
//! the version that came to be with it. Objects of native Arrow are the messages they came as, not decoded, so that
//! dictionaries and tables without rows are what they were. Bytes may lie in the arena ([`crate::arena`]).
//!
//! **Invariant:** an object never changes: writing makes another one, which shares what is the same.

pub mod blob;
pub mod object;

pub use blob::{Blob, Gathering};
pub use object::{ArrowMessage, Content, Info, Object, Part, PatchRefused, Since};
