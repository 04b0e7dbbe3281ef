//! Disks whose power can be cut.
//!
//! A disk is an ext4 file system in a sparse file, behind a loop device. Cutting its power is the file system's own
//! shutdown call without a flush of its log: what was synced is there after the next mount, what was not is gone, as
//! after a power failure.
//!
//! | module | holds |
//! |---|---|
//! | [`disk`] | one disk: make, cut, mount again |
//! | [`journal`] | what was mounted and attached, so that it can be taken down after any kind of end |

pub mod disk;
pub mod journal;

pub use disk::Disks;
pub use journal::Journal;
pub(crate) use journal::{Deed, run};
