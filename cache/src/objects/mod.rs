//! What every protocol does with objects: the rules, without any protocol.
//!
//! | module | holds |
//! |---|---|
//! | [`service`] | [`Objects`], the handle that protocols have |
//! | [`upload`] | bytes on their way in, with their limits |
//! | [`write`] | putting and patching |
//! | [`read`] | reading, listing, deleting |
//! | [`peers`] | other caches: what they have, and what they write |
//! | [`reference`] | references to objects, as bytes |
//!
//! **Invariant:** a durable object (sessions `shared` and `pkg`) is synced to disk, where there is one, and known to the
//! directory before it is acknowledged. Any other is acknowledged from memory.
//! **Invariant:** the version of a key only grows. It is assigned by the one cache that the directory names as its writer; any
//! other passes writes on to that one.

pub mod peers;
pub mod read;
pub mod reference;
pub mod service;
pub mod upload;
pub mod write;

pub use peers::Peers;
pub use read::Found;
pub use service::Objects;
pub use upload::Upload;
pub use write::{Draft, DraftContent, IfExists, Place, Scope};
