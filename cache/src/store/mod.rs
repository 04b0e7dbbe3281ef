//! Objects in memory over objects on disk.
//!
//! | module | holds |
//! |---|---|
//! | [`index`] | every object that this cache knows: what is in memory, what is on disk, in which order it was used |
//! | [`file`] | the file of one object |
//! | [`disk`] | the folder of all files |
//! | [`tiers`] | both together: start there |
//!
//! **Invariant:** an object is on disk before it leaves memory, if there is a disk.
//! **Invariant:** who waits for room holds no lock on an object: making room takes those locks.

pub mod disk;
pub mod file;
pub mod index;
pub mod tiers;

pub use disk::Disk;
pub use index::{Held, Reservation};
pub use tiers::{Lock, Origin, Store, StoreOptions};
