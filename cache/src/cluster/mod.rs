//! One of several caches: what this one has is told to the coordinators' leader, and what others have is asked of any
//! coordinator.
//!
//! | module | holds |
//! |---|---|
//! | `coordinators` | who the coordinators are, and how they are reached |
//! | `queue` | what is to be told, and what was told and not answered |
//! | `lease` | whether this cache may count on what it was told |
//! | `agent` | the stream to the leader |
//! | `chores` | what its answers leave to be done on disk |
//! | `orders` | what the leader has this cache do |
//! | [`directory`] | the directory, as the rest of the cache uses it |
//!
//! **Invariant:** whatever is told and not answered is told again on the next stream.
//! **Invariant:** a cache whose lease may be over asks before it writes what it has written so far: another may do so now.

mod agent;
mod chores;
mod coordinators;
pub mod directory;
mod lease;
mod orders;
mod queue;

pub use directory::{Farewell, InCluster, Joining};
