//! Arrow Flight, as `flamepy` 0.6.0 and `flame-rs` before 0.7 call the cache.
//!
//! | module | holds |
//! |---|---|
//! | [`messages`] | Arrow's messages: looked into as far as needed, and made |
//! | `put` | DoPut |
//! | `get` | DoGet |
//! | `describe` | what is listed and described |
//! | [`service`] | the calls |
//!
//! **Invariant:** native Arrow goes out as it came in, byte for byte, but for the version in the metadata of its schema.

mod describe;
mod get;
pub mod messages;
mod put;
pub mod service;

pub use service::FlightCache;
