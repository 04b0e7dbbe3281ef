//! What the calls answer, as plain values.
//!
//! **Invariant:** field names are those of the published protocol: the JSON of these values is what `flmctl -o json`
//! prints and what scripts read. Bytes are base64, states are their names, times are milliseconds since 1970.
//! **Invariant:** a state this client does not know is kept as its number; it never breaks a list.

mod application;
mod backup;
mod bytes;
mod cluster;
mod directory;
mod node;
mod operate;
mod retention;
mod retry;
mod session;
mod state;
mod task;
mod upgrade;

pub use application::{Application, ApplicationSpec, ApplicationStatus, Environment, Schema};
pub use backup::BackupInfo;
pub use cluster::{Member, MemberStatus, Members, MembershipChange, MembershipPlan, StateDigest};
pub use directory::{CacheNode, ObjectEntry, ObjectPlace};
pub use node::{Executor, ExecutorSpec, ExecutorStatus, Node, NodeAddress, NodeInfo, NodeSpec, NodeStatus};
pub use operate::{
    ClusterEvent, ClusterEvents, ExecutorReason, InstallLog, NodeExecutor, NodeLoad, NodeReasons, Reason,
    TaskExplanation,
};
pub use retention::Retention;
pub use retry::{Attempt, Retries, Retry};
pub use session::{Kept, Session, SessionSpec, SessionStatus};
pub use state::State;
pub use task::{Task, TaskSpec, TaskStatus};
pub use upgrade::{MemberLevels, Upgrade};

use flame_proto::v1;
use flame_types::Resources;
use serde::Serialize;

use crate::FlameError;

/// Id and name of a thing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// What calls name it by.
    pub id: String,
    /// What people call it; often the id.
    pub name: String,
}

/// Something that happened to a session or a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Of a task: the number of its state. Of a session: 1001 and up.
    pub code: i32,
    /// In words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When, in milliseconds since 1970.
    pub creation_time: i64,
}

impl From<v1::Event> for Event {
    fn from(event: v1::Event) -> Self {
        Self { code: event.code, message: event.message, creation_time: event.creation_time }
    }
}

pub(crate) fn events(events: Vec<v1::Event>) -> Vec<Event> {
    events.into_iter().map(Event::from).collect()
}

pub(crate) fn metadata(metadata: Option<v1::Metadata>, of: &'static str) -> Result<Metadata, FlameError> {
    let metadata = part(metadata, of, "metadata")?;
    Ok(Metadata { id: metadata.id, name: metadata.name })
}

/// A part that every reply has.
pub(crate) fn part<T>(part: Option<T>, of: &'static str, name: &'static str) -> Result<T, FlameError> {
    part.ok_or_else(|| FlameError::Internal(format!("the server's reply lacks the {name} of {of}")))
}

pub(crate) fn resources(resources: v1::ResourceRequirement) -> Resources {
    Resources { cpu: resources.cpu, memory: resources.memory, gpu: u32::try_from(resources.gpu).unwrap_or(0) }
}

pub(crate) fn requirement(resources: Resources) -> Result<v1::ResourceRequirement, FlameError> {
    let gpu = i32::try_from(resources.gpu).map_err(|_| {
        FlameError::InvalidArgument(format!("{} GPUs are more than the protocol can say", resources.gpu))
    })?;
    Ok(v1::ResourceRequirement { cpu: resources.cpu, memory: resources.memory, gpu })
}

pub(crate) fn count(number: i32) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
