//! `flame.v1.ObjectCacheService`, as `flame-rs` 0.7.0 calls the cache.
//!
//! Its objects are parts numbered from 1, and their version is how many there are. So it is shown here, whatever the
//! versions are that other protocols see: a client of this one asks for what it does not have by the number of the last
//! part that it has. An object of native Arrow has one part, the stream of its messages, which every library of Arrow
//! reads.

mod service;
mod view;

pub use service::PublishedCache;
