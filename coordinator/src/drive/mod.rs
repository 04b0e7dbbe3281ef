//! From calls and time to commands, and from effects to messages.
//!
//! ```text
//!  api ──▶ gateway ──link──▶ batcher (on the leader) ──▶ one Raft entry ──▶ apply on every node
//!             ▲                                                              │
//!             ├── replies  ◀───────────────────── sink (on every node) ◀─────┤
//!  watches ◀──┴── events   ◀─────────────────────────────────────────────────┤
//!  workers ◀────── hub     ◀── effects (leader only) ◀───────────────────────┘
//! ```
//!
//! * [`gateway`]: every node serves every client. A call becomes a numbered command, goes to the leader over one
//!   [`link`], and is answered from **this** node's apply, so it is also visible here when it is answered.
//! * [`batcher`]: the leader packs what has come in into one entry: no timer, the entries in flight are the window.
//! * [`forward`]: the leader's end of the links of other nodes.
//! * [`leader`]: what only a leader does: open its term, tick, plan placements.
//! * [`upgrade`]: how the feature level rises.
//! * [`hub`]: the streams of workers and cache nodes, their leases, and the effects they are sent.
//! * `directory`: what the leader does for the object directory.
//! * `opening`: whoever comes to a leader that is just beginning waits a moment.
//! * `retention`: what the leader lets go of, so that only so much is kept.
//! * [`disk`]: how much room this node has; [`shortage`]: what the leader does when too few have any.
//! * [`clients`]: which clients with windows of their own are still there.
//! * [`events`]: changes of sessions for the watches served by this node; [`results`]: what ended tasks gave.
//! * [`sink`]: hands what apply gives to all of the above, in order.
//!
//! **Invariant:** nothing here is needed after a crash: all of it is derived again from the log.

pub mod batcher;
pub mod clients;
mod directory;
pub mod disk;
pub mod events;
pub mod forward;
pub mod gateway;
pub mod hub;
pub mod leader;
pub mod link;
mod mailbox;
mod opening;
pub mod read_index;
pub mod replies;
pub mod results;
mod retention;
pub mod shortage;
pub mod sink;
pub mod upgrade;
