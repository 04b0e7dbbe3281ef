//! The vocabulary of Flame: ids, states, specifications, resources, limits.
//!
//! Everything else speaks in these words. Nothing here decides anything.
//!
//! **Invariant:** no I/O, no clock, no randomness, no async. serde is the only heavy dependency.
//!
//! | module | holds |
//! |---|---|
//! | [`ids`] | newtypes for every key and name; a function never takes two bare `u64` |
//! | [`object_key`], [`data_type`] | names of cached objects, one or many, and of what they hold |
//! | [`time`] | wall time (display only) and cluster time (everything that expires) |
//! | [`payload`] | opaque user bytes and how they travel beside a header |
//! | [`resources`] | `cpu=1,mem=2g,gpu=0` and its arithmetic |
//! | [`states`] | the published states of applications, sessions, tasks, executors and nodes |
//! | [`retention`] | how long ended things are kept |
//! | [`retries`] | how often something is tried again, by cause |
//! | [`spec`] | what users ask for: applications, sessions, task options |
//! | [`limits`] | the size of everything that could grow |
//! | [`text`] | how much of a text for people is kept |
//! | [`error_code`] | how a refusal is classed for the one who receives it |

pub mod data_type;
pub mod error_code;
pub mod ids;
pub mod limits;
pub mod object_key;
pub mod payload;
pub mod resources;
pub mod retention;
pub mod retries;
pub mod spec;
pub mod states;
pub mod text;
pub mod time;

pub use data_type::DataType;
pub use error_code::ErrorCode;
pub use ids::{
    AppName, CacheKey, ClientId, CoordinatorId, Epoch, EventNo, ExecutorKey, Generation, HelloNo, Incarnation,
    LogIndex, NodeName, ObjectVersion, Position, RequestId, RequestNo, Seq, SessionId, SessionKey, TaskNo, Term, Token,
};
pub use object_key::{ObjectApp, ObjectKey, ObjectPrefix, ObjectTarget};
pub use payload::{Payload, Payloads};
pub use resources::Resources;
pub use retention::{ClosedRetention, InvalidRetention, Retention, TaskRetention};
pub use retries::{InvalidRetries, Retries, Retry, RetryCause, RetryLimit, RetryLimits};
pub use spec::{AppSpec, Schema, SessionSpec, TaskOptions};
pub use states::{AppState, ExecutorState, NodeState, SessionState, Shim, TaskState};
pub use text::kept_text;
pub use time::{ClusterMs, WallMs};
