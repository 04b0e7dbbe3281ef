//! Cached objects: what is too large for a task, or is used by many of them. Tasks carry an [`ObjectRef`] instead.
//!
//! ```
//! # flame_sdk::__private::example(async {
//! use flame_sdk::objects::ObjectCache;
//! use flame_sdk::types::ObjectPrefix;
//!
//! let cache = ObjectCache::of_environment()?;
//! let weights = cache.put(&ObjectPrefix::parse("app/shared").unwrap(), &vec![0_u8; 1 << 20]).await?;
//! let object = cache.get(&weights).await?;
//! assert_eq!(object.value::<Vec<u8>>()?.len(), 1 << 20);
//! # Ok(()) });
//! ```
//!
//! The objects are the same that `flamepy` and `flame-rs` put and get: opaque bytes are written as data of type `raw`, and
//! whatever they hold is a [`FlameMessage`](crate::FlameMessage) here.
//!
//! **Invariant:** a change whose answer is lost is sent again only if it leaves the same when it is done twice.
//! **Invariant:** every call ends: nodes that are not there are given up after [`NOT_THERE_MAX`], those that say themselves
//! that they cannot serve now after [`UNABLE_MAX`], one that falls silent after [`SILENT_MAX`].
//!
//! | module | holds |
//! |---|---|
//! | [`cache`] | [`ObjectCache`]: the calls |
//! | [`object`] | [`Object`]: what was read, and [`ObjectInfo`]: what is known of it |
//! | [`reference`](mod@reference) | [`ObjectRef`]: what tasks carry |
//! | `read`, `write` | messages of the protocol from and to bytes and files |
//! | `tries` | which node is asked next, and when it is given up |

pub mod cache;
pub mod object;
mod read;
pub mod reference;
mod tries;
mod write;

pub use cache::{Destination, ObjectCache};
pub use object::{ArrowMessage, Object, ObjectInfo};
pub use reference::ObjectRef;
pub use tries::{NOT_THERE_MAX, SILENT_MAX, UNABLE_MAX};
pub use write::IfExists;

/// What the cache calls bytes that it does not look into (published).
pub(crate) const DATA_TYPE: &str = "raw";
