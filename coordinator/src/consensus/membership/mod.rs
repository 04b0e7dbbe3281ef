//! Changing who the coordinators are, while they work.
//!
//! A node comes in as a *learner*: it receives the log and has no vote. Once it has caught up it is *promoted*; the voters
//! change through a joint membership, in which the old and the new ones must both agree. A member that is removed gives its
//! id up for ever.
//!
//! * [`plan`] says what a change does to the quorum, and whether it is made: pure.
//! * [`change`] makes it, on the leader.
//! * [`finish`] ends a joint membership that somebody else has begun.
//!
//! **Invariant:** one change at a time: each is written on condition that the members are those it was planned for, and that
//! this node leads in the term in which it was.
//! **Invariant:** asked for twice, a change is made once.
//! **Invariant:** a membership stays joint no longer than there is a leader that can end it.

mod change;
mod finish;
mod plan;

use std::sync::Arc;

use tokio::sync::Mutex;

pub use change::{ChangeError, Changed, Wish};
pub(super) use finish::Finisher;
pub use plan::{BEHIND_MAX, Change, Plan, Refusal};

/// Held by whoever changes the members.
pub(super) type Turn = Arc<Mutex<()>>;
