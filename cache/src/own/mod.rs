//! `flame.ha.v1.Objects`: the cache between its nodes, and for our own clients.

mod frames;
mod service;

pub use service::OwnCache;
