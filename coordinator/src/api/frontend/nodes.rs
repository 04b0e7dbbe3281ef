//! Workers.

use flame_machine::State;
use flame_machine::refusal::Refusal;
use flame_machine::view::{self, NodeView};
use flame_proto::v1;
use flame_types::NodeName;
use tonic::Status;

use crate::api::call::Call;
use crate::api::errors::refused;
use crate::drive::gateway::Gateway;

/// Most workers that are looked at in one go: apply waits meanwhile.
const NODES_PER_READ_MAX: usize = 512;

pub async fn list(gateway: &Gateway, call: Call) -> Result<v1::NodeList, Status> {
    gateway.barrier(call.deadline).await?;
    let mut list = v1::NodeList::default();
    let mut after: Option<NodeName> = None;
    loop {
        let look = move |state: &State| view::nodes(state, after.as_ref(), NODES_PER_READ_MAX);
        let page = gateway.with_state(look).await?;
        after = page.last().map(|node| node.name.clone());
        list.nodes.extend(page.into_iter().map(shown));
        if after.is_none() {
            return Ok(list);
        }
    }
}

pub async fn get(gateway: &Gateway, call: Call, message: v1::GetNodeRequest) -> Result<v1::GetNodeResponse, Status> {
    let name = NodeName::parse(&message.name).map_err(|error| Status::not_found(format!("not found: {error}")))?;
    gateway.barrier(call.deadline).await?;
    let wanted = name.clone();
    let node = gateway.with_state(move |state: &State| view::node(state, wanted.as_str())).await?;
    match node {
        Some(node) => Ok(v1::GetNodeResponse { node: Some(shown(node)) }),
        None => Err(refused(&Refusal::NodeNotFound(name.to_string()))),
    }
}

fn shown(node: NodeView) -> v1::Node {
    const MS_PER_SECOND: i64 = 1000;
    let name = node.name.to_string();
    let hostname = if node.host.name.is_empty() { name.clone() } else { node.host.name };
    v1::Node {
        metadata: Some(v1::Metadata { id: name.clone(), name }),
        spec: Some(v1::NodeSpec { hostname }),
        status: Some(v1::NodeStatus {
            state: v1::NodeState::from(node.state) as i32,
            capacity: Some(node.capacity.into()),
            // As published: what executors may have in all, not what is free at the moment.
            allocatable: Some(node.capacity.into()),
            info: Some(v1::NodeInfo { arch: node.host.arch, os: node.host.os }),
            addresses: Vec::new(),
            last_heartbeat_time: node.seen.0 / MS_PER_SECOND,
        }),
    }
}
