//! Why a command was refused. Clients and tests match on some of these texts; those are marked *published*.

use flame_types::{ClientId, ErrorCode, ExecutorState, ObjectVersion, RequestId, RequestNo, Seq};
use serde::{Deserialize, Serialize};

/// A typed refusal. Its text is what the user reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// No such application.
    #[error("application {0} not found")]
    AppNotFound(String),
    /// The name is taken.
    #[error("application {0} already exists")]
    AppExists(String),
    /// The application takes no new sessions.
    #[error("application {0} is disabled")]
    AppDisabled(String),
    /// Its sessions must end first.
    #[error("{open} open sessions in the application {name}; close them first")]
    AppInUse { name: String, open: u64 },
    /// Published: tests look for "not found".
    #[error("session {0} not found")]
    SessionNotFound(String),
    /// The id is taken, by an open session or by one that is remembered.
    #[error("session {0} already exists")]
    SessionExists(String),
    /// Published: tests look for "is not open".
    #[error("session {0} is not open")]
    SessionNotOpen(String),
    /// Published: tests look for "spec mismatch" and the name of the field.
    #[error("session {id} spec mismatch: {field} differs (expected {expected}, got {got})")]
    SpecMismatch { id: String, field: String, expected: String, got: String },
    /// Published text. The class is INTERNAL, as published clients expect.
    #[error("Cannot close session with running tasks")]
    RunningTasks,
    /// Delete wants a closed session.
    #[error("session {0} is open; close it before you delete it")]
    SessionStillOpen(String),
    /// The specification itself is wrong.
    #[error("{0}")]
    InvalidSpec(String),
    /// No such task.
    #[error("task {task} not found in session {session}")]
    TaskNotFound { session: String, task: u64 },
    /// The task has ended.
    #[error("task {task} of session {session} has already ended")]
    TaskEnded { session: String, task: u64 },
    /// The same idempotency key was used for another submit.
    #[error("this idempotency key was used for another submit of session {0}")]
    IdempotencyMismatch(String),
    /// No such worker or cache node.
    #[error("node {0} not found")]
    NodeNotFound(String),
    /// A later life of this worker is known: this one must stop its services and exit.
    #[error("node {0} has been started again since; this process must exit")]
    Superseded(String),
    /// Another live worker has this name.
    #[error("node name {0} is in use by another live worker; give this worker a name of its own")]
    NameInUse(String),
    /// A report from an earlier lease of the node.
    #[error("node {node} has a newer lease (epoch {epoch})")]
    StaleEpoch { node: String, epoch: u64 },
    /// A Hello that was overtaken by a later one.
    #[error("node {0} has said a later Hello")]
    StaleHello(String),
    /// The worker has no room for it now.
    #[error("node {0} cannot take the executor: {1}")]
    NoRoom(String, String),
    /// No such executor.
    #[error("executor {0} not found")]
    ExecutorNotFound(u64),
    /// Not in this state.
    #[error("Executor is {0}")]
    ExecutorState(ExecutorState),
    /// The plan was made from an older state.
    #[error("the plan is out of date: {0}")]
    StalePlan(String),
    /// A named limit is reached.
    #[error("limit reached: {name} = {limit}")]
    Limit { name: String, limit: u64 },
    /// The client's id is not known (any more): what it sent is not applied.
    #[error("client {0} is not known any more; register again")]
    SessionExpired(ClientId),
    /// Below the client's own `below`: the reply is forgotten.
    #[error("reply {0} has been given up by its client")]
    Stale(Seq),
    /// A number after a gap. Not recorded; send again in order.
    #[error("out of order: expected {expected}")]
    OutOfOrder { expected: Seq },
    /// The same number with other bytes.
    #[error("sequence {0} was used for another command")]
    SequenceReused(Seq),
    /// The level is not above the present one, or not alone in its entry.
    #[error("feature level: {0}")]
    FeatureLevel(String),
    /// What is kept has reached its limit, and leaves only with age.
    #[error(
        "limit reached: {name} = {limit}; {kept} are in use, and finished tasks leave {age_ms_min} ms after their end"
    )]
    RetentionLimit { name: String, limit: u64, kept: u64, age_ms_min: u64 },
    /// Too many coordinators are short of disk for a majority to take more.
    #[error(
        "the coordinators are short of disk: give them more (`flmctl cluster status` shows which need it), or close and \
         delete sessions"
    )]
    DiskShort,
    /// The same request id with another change.
    #[error("request id {0} was used for another change; draw a new id for each change")]
    RequestReused(RequestId),
    /// The change may have been done and forgotten since: it is not done, lest it be done twice. A client that has sent it
    /// only this once knows that it was not done, and may send it anew with the number that is named here.
    #[error(
        "nobody remembers any more whether this request was done: its first attempt is older than what is remembered; \
         look before you ask for it again"
    )]
    RequestForgotten { next: RequestNo },
    /// Only a cache node that is gone can be removed.
    #[error("cache node {0} is attached, or its lease still runs; stop it first")]
    CacheLive(String),
}

impl Refusal {
    /// The published class of this refusal.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::AppNotFound(_)
            | Self::SessionNotFound(_)
            | Self::TaskNotFound { .. }
            | Self::NodeNotFound(_)
            | Self::ExecutorNotFound(_) => ErrorCode::NotFound,
            Self::AppExists(_) | Self::SessionExists(_) => ErrorCode::AlreadyExists,
            // Published: a state that does not allow it is INVALID_ARGUMENT for sessions.
            Self::SessionNotOpen(_)
            | Self::SpecMismatch { .. }
            | Self::InvalidSpec(_)
            | Self::AppDisabled(_)
            | Self::IdempotencyMismatch(_)
            | Self::ExecutorState(_)
            | Self::SequenceReused(_)
            | Self::RequestReused(_) => ErrorCode::InvalidArgument,
            Self::RunningTasks => ErrorCode::Internal,
            Self::AppInUse { .. }
            | Self::SessionStillOpen(_)
            | Self::TaskEnded { .. }
            | Self::Superseded(_)
            | Self::NameInUse(_)
            | Self::StaleEpoch { .. }
            | Self::StaleHello(_)
            | Self::NoRoom(..)
            | Self::StalePlan(_)
            | Self::SessionExpired(_)
            | Self::Stale(_)
            | Self::OutOfOrder { .. }
            | Self::CacheLive(_)
            | Self::FeatureLevel(_) => ErrorCode::FailedPrecondition,
            Self::Limit { .. } | Self::RetentionLimit { .. } | Self::DiskShort => ErrorCode::ResourceExhausted,
            Self::RequestForgotten { .. } => ErrorCode::Aborted,
        }
    }
}

/// Why an object that a cache node has is not in the directory. It says what the node is to do with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum ObjectRefusal {
    /// It was recorded and has been deleted since: it is to be dropped.
    #[error("the object was deleted")]
    Deleted,
    /// Another node has recorded this version or a later one: it is to be dropped.
    #[error("the object is at version {present}; another node has written it since")]
    Stale { present: ObjectVersion },
    /// There are as many copies as are wanted: it may be dropped.
    #[error("there are enough copies of the object")]
    Surplus,
    /// The objects of its application have as many bytes as they may.
    #[error("the objects of application {app} may have {limit} bytes together, and they would have {bytes}")]
    Quota { app: String, limit: u64, bytes: u64 },
    /// The directory is full.
    #[error("limit reached: {name} = {limit}")]
    Limit { name: String, limit: u64 },
    /// Too many coordinators are short of disk for a majority to take more.
    #[error("{}", Refusal::DiskShort)]
    DiskShort,
    /// It is not what an object can be.
    #[error("{0}")]
    Invalid(String),
}

impl ObjectRefusal {
    /// The class of this refusal, as whoever put the object is told.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Deleted | Self::Stale { .. } | Self::Surplus => ErrorCode::Aborted,
            Self::Quota { .. } | Self::Limit { .. } | Self::DiskShort => ErrorCode::ResourceExhausted,
            Self::Invalid(_) => ErrorCode::InvalidArgument,
        }
    }
}
