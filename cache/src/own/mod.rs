//! `flame.ha.v1.Objects`: the cache between its nodes, and for our own clients.

mod frames;
mod service;

pub(crate) use frames::info as object_info;
pub use service::OwnCache;
pub(crate) use service::{if_exists, scope};
