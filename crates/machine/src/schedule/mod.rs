//! Which executor should serve which session: a function from the state to commands. The leader proposes them, apply
//! checks each again, and what changes by them makes the planner run once more.
//!
//! **Invariant:** pure, and it never asks for what apply would refuse on the same state.
//!
//! **Invariant:** it costs as much as there are workers and sessions that lack executors, have some to give or wait for
//! something. Sessions that hold just what they want cost nothing while there is enough for everybody, and sessions that
//! want and hold nothing never do. Tasks are never looked at one by one.
//!
//! **Invariant:** a session that cannot be served (too large, no shim, broken) takes nothing from the others.
//!
//! How it decides, in this order:
//! 1. *Demand* (`claims.rs`): executors a session wants, within its limits; a gang whole or not at all.
//! 2. *Targets* (`shares.rs`): what each session should hold. Priority tiers first; inside a tier the session with the
//!    smallest dominant share goes next. What a session holds within its minimum is never taken.
//! 3. *Placement* (`place.rs`): sessions below their target get executors where there is room, first those that another
//!    session of the application has given up. What is coming free counts for those who wait for it.
//! 4. *Release* (`release.rs`): idle executors after their delay; executors of sessions above their target when another
//!    one waits for the room; everything of a session that is suspended.
//! 5. *Reasons* (`reasons.rs`): why a session still waits, or could not be served if it wanted something.
//!
//! Beside it stands [`explain_task`] (`explain.rs`): why one task does not run, for the operator who asks.

mod claims;
mod explain;
mod explain_nodes;
mod explain_words;
mod place;
mod plan;
mod reasons;
mod release;
mod rooms;
mod shares;

pub use explain::{Explanation, Reason, Standing, explain_task};
pub use explain_nodes::{Doing, ExecutorHere, NodeReason, NodeReasons, Shortage};
pub(crate) use plan::plan_thoroughly;
pub use plan::{PLAN_COMMANDS_MAX, explain, left_behind, plan};
pub(crate) use reasons::unservable;
