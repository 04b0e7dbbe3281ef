//! Workers (the published protocol calls them nodes) and executors.

use flame_proto::v1;
use flame_types::{ExecutorState, NodeState, Resources, Shim};
use serde::Serialize;

use super::{Metadata, State, metadata, part, resources};
use crate::FlameError;

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Its name.
    pub metadata: Metadata,
    /// What it said of itself.
    pub spec: NodeSpec,
    /// What became of it.
    pub status: NodeStatus,
}

/// What a worker said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NodeSpec {
    /// Its host.
    pub hostname: String,
}

/// What became of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    /// Whether tasks may run on it.
    pub state: State<NodeState>,
    /// What it has.
    pub capacity: Resources,
    /// What of that executors may use.
    pub allocatable: Resources,
    /// Its kind of machine.
    pub info: NodeInfo,
    /// Where it is reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<NodeAddress>,
    /// When it was heard of last, in seconds since 1970.
    pub last_heartbeat_time: i64,
}

/// A kind of machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NodeInfo {
    /// Its processor.
    pub arch: String,
    /// Its operating system.
    pub os: String,
}

/// Where a worker is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeAddress {
    /// What kind of address.
    pub r#type: String,
    /// The address.
    pub address: String,
}

/// A service process on a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Executor {
    /// Its id.
    pub metadata: Metadata,
    /// What it was made for.
    pub spec: ExecutorSpec,
    /// What became of it.
    pub status: ExecutorStatus,
}

/// What an executor was made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExecutorSpec {
    /// Its worker.
    pub node: String,
    /// What it may use.
    pub resreq: Resources,
    /// How its service is run.
    pub shim: State<Shim>,
    /// Whose service it is.
    pub application: String,
}

/// What became of an executor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExecutorStatus {
    /// Where it stands.
    pub state: State<ExecutorState>,
    /// The session it serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
}

impl TryFrom<v1::Node> for Node {
    type Error = FlameError;

    fn try_from(node: v1::Node) -> Result<Self, FlameError> {
        const OF: &str = "a node";
        let status = part(node.status, OF, "status")?;
        let info = status.info.unwrap_or_default();
        Ok(Self {
            metadata: metadata(node.metadata, OF)?,
            spec: NodeSpec { hostname: part(node.spec, OF, "spec")?.hostname },
            status: NodeStatus {
                state: status.state.into(),
                capacity: resources(status.capacity.unwrap_or_default()),
                allocatable: resources(status.allocatable.unwrap_or_default()),
                info: NodeInfo { arch: info.arch, os: info.os },
                addresses: status
                    .addresses
                    .into_iter()
                    .map(|address| NodeAddress { r#type: address.r#type, address: address.address })
                    .collect(),
                last_heartbeat_time: status.last_heartbeat_time,
            },
        })
    }
}

impl TryFrom<v1::Executor> for Executor {
    type Error = FlameError;

    fn try_from(executor: v1::Executor) -> Result<Self, FlameError> {
        const OF: &str = "an executor";
        let spec = part(executor.spec, OF, "spec")?;
        let status = part(executor.status, OF, "status")?;
        Ok(Self {
            metadata: metadata(executor.metadata, OF)?,
            spec: ExecutorSpec {
                node: spec.node,
                resreq: resources(spec.resreq.unwrap_or_default()),
                shim: spec.shim.into(),
                application: spec.application,
            },
            status: ExecutorStatus { state: status.state.into(), session_id: status.session_id },
        })
    }
}
