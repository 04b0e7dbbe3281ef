//! Memory that the cache shares with clients of its host: they write objects into it and read them out of it, and nothing
//! is copied through a connection.
//!
//! | module | holds |
//! |---|---|
//! | [`allocator`] | which parts of the memory are free, without the memory |
//! | [`segment`] | the memory, and objects in it |
//! | [`room`] | making room in it |
//! | [`connection`] | one client: what it asks for, what it holds |
//! | [`socket`] | who may come: start there |
//!
//! An object in the arena is in memory like any other: it counts as such, leaves memory as such, goes to disk as such. The
//! cache itself reads and writes the arena as the file it is (`pread`, `pwrite`).
//!
//! **Invariant:** a part of the memory is free again only when the last who knows of it is done: the store, readers of any
//! protocol, and the clients that have it pinned.
//! **Invariant:** what a client holds ends with its connection.

pub mod allocator;
mod connection;
pub mod room;
pub mod segment;
pub mod socket;

pub use room::Arena;
pub use segment::{Extent, Pin, Segment};
pub use socket::{Local, Served};
