//! What is done to the directory of a node that does not run: a new cluster from a backup, or from what one node has left
//! of a cluster whose majority is gone.
//!
//! Both end alike ([`anew`]): two entries at the end of the log, in a term of their own. The first makes this node the
//! only member. The second begins a new generation: executors, leases and clients of the
//! one before mean nothing any more, and no token, client or executor number of it is ever given out again. The node
//! applies them as it would any others, so nothing is served before.
//!
//! **Invariant:** nothing here runs beside a coordinator: the lock of the directory is held all the time.
//! **Invariant:** a directory that was begun with and not finished cannot be served from.
//! **Invariant:** no index and no term goes back.

mod anew;
mod recover;
mod restore;
mod unpack;

pub use recover::{Recovered, Survey, Survivor};
pub use restore::{Restore, Restored, restore};
pub use unpack::{inspect, read_header};
