//! `flame.v1.Frontend`: what published clients call, both generations on one port.
//!
//! | file | holds |
//! |---|---|
//! | `service.rs` | the methods, each a call of one of the others |
//! | `applications.rs`, `schema.rs` | applications, and the check of their JSON Schemas |
//! | `sessions.rs` | sessions |
//! | `tasks.rs`, `events.rs` | tasks, and the story their events tell |
//! | `watch.rs`, `watch_many.rs` | following one task (0.6) and many on one stream (0.7) |
//! | `nodes.rs`, `executors.rs` | who runs them |

mod applications;
mod events;
mod executors;
mod nodes;
mod schema;
mod service;
mod sessions;
mod tasks;
mod watch;
mod watch_many;

pub use service::FrontendService;
pub(super) use sessions::known_id;
pub(super) use tasks::{deleted as session_deleted, found_session, idempotency_key, missing as missing_task};
pub(super) use watch::stopping;
pub use watch_many::WATCHED_TASKS_MAX;
