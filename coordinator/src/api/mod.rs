//! The gRPC services on the client port: both generations of the published protocol, and ours beside them.
//!
//! A change is translated and proposed; a read takes a read point of the whole cluster and then reads this node's own
//! state. So every node gives the same answers, and a client notices nothing of who leads.
//!
//! **Invariant:** nothing is decided here. What is allowed is decided by apply; here a message is checked for being
//! well formed, and refusals get their published codes and texts.
//!
//! **Invariant:** a watch never ends well before every task it was asked for has ended: published clients would wait for
//! ever.
//!
//! | module | holds |
//! |---|---|
//! | [`routes`] | all services of the client port |
//! | [`frontend`] | `flame.v1.Frontend`, one file per noun |
//! | [`stream`] | `flame.ha.v1.Sessions`: many tasks on one stream |
//! | [`cluster`] | `flame.ha.v1.Cluster` |
//! | `upgrade` | raising the feature level, one of its methods |
//! | [`membership`] | `flame.ha.v1.Membership` |
//! | [`backup`] | `flame.ha.v1.Backup`: the whole state as one file |
//! | [`operate`] | `flame.ha.v1.Operate`: workers, why tasks wait, what happened |
//! | [`directory`] | `flame.ha.v1.ObjectDirectory`: where cached objects lie |
//! | [`health`] | `grpc.health.v1.Health`: liveness, readiness, leader |
//! | [`read`] | sessions and tasks of this node, from memory and from rows |
//! | [`call`] | what a call brings along: its deadline, its generation |
//! | [`dialect`] | what a caller of each generation may be shown |
//! | `outbox` | a reply stream that is bounded in bytes |
//! | [`errors`] | refusals and failures as gRPC statuses |

pub mod backup;
pub mod call;
pub mod cluster;
pub mod dialect;
pub mod directory;
pub mod errors;
pub mod frontend;
pub mod health;
pub mod membership;
pub mod operate;
mod outbox;
pub mod read;
mod routes;
pub mod stream;
mod upgrade;

pub use routes::{directory_server, frontend_server, routes};
