//! Workers and what they hold, and what operators order of them.

use flame_machine::State;
use flame_machine::command::Command;
use flame_machine::refusal::Refusal;
use flame_machine::state::Circle;
use flame_machine::view::{self, ExecutorLoad, NodeLoad};
use flame_proto::ha;
use flame_types::NodeName;
use tonic::Status;

use crate::api::call::Call;
use crate::api::errors::refused;
use crate::drive::gateway::Gateway;

/// Most workers that are looked at in one go: apply waits meanwhile, and it looks at their executors' queues.
const NODES_PER_READ_MAX: usize = 128;

pub async fn list(gateway: &Gateway, call: Call) -> Result<ha::ListNodeLoadsReply, Status> {
    gateway.barrier(call.deadline).await?;
    let mut list = ha::ListNodeLoadsReply::default();
    let mut after: Option<NodeName> = None;
    loop {
        let look = move |state: &State| view::node_loads(state, after.as_ref(), NODES_PER_READ_MAX);
        let page = gateway.with_state(look).await?;
        after = page.last().map(|load| load.node.name.clone());
        list.nodes.extend(page.into_iter().map(|load| shown(load, Vec::new())));
        if after.is_none() {
            return Ok(list);
        }
    }
}

pub async fn get(gateway: &Gateway, call: Call, name: &str) -> Result<ha::NodeLoad, Status> {
    let name = known_name(name)?;
    gateway.barrier(call.deadline).await?;
    present(gateway, name).await
}

pub async fn cordon(gateway: &Gateway, call: Call, name: &str, on: bool) -> Result<ha::NodeLoad, Status> {
    let node = known_name(name)?;
    call.change(gateway, Command::Cordon { node: node.clone(), on }).await?;
    present(gateway, node).await.map_err(|status| call.made_but(status))
}

pub async fn drain(gateway: &Gateway, call: Call, name: &str) -> Result<ha::NodeLoad, Status> {
    let node = known_name(name)?;
    call.change(gateway, Command::Drain { node: node.clone() }).await?;
    present(gateway, node).await.map_err(|status| call.made_but(status))
}

/// A worker that must be there: a name that breaks the rules is nobody's.
fn known_name(name: &str) -> Result<NodeName, Status> {
    NodeName::parse(name).map_err(|error| Status::not_found(format!("node not found: {error}")))
}

/// A worker as it is here and now. A change that was answered has been applied here.
async fn present(gateway: &Gateway, name: NodeName) -> Result<ha::NodeLoad, Status> {
    let wanted = name.clone();
    let look = move |state: &State| {
        let load = view::node_load(state, wanted.as_str())?;
        Some((load, view::executors_on(state, wanted.as_str())))
    };
    match gateway.with_state(look).await? {
        Some((load, executors)) => Ok(shown(load, executors)),
        None => Err(refused(&Refusal::NodeNotFound(name.to_string()))),
    }
}

fn shown(load: NodeLoad, executors: Vec<ExecutorLoad>) -> ha::NodeLoad {
    let NodeLoad { node, avoided_ms, sessions, running, queued } = load;
    let avoided_by = avoided_ms.map(|_| circle(&node.avoided_by)).unwrap_or_default();
    let name = node.name.to_string();
    let hostname = if node.host.name.is_empty() { name.clone() } else { node.host.name };
    ha::NodeLoad {
        name,
        hostname,
        state: node.state.number(),
        attached: node.attached,
        cordoned: node.cordoned,
        draining: node.draining,
        capacity: Some(node.capacity.into()),
        allocated: Some(node.allocated.into()),
        executors: node.executors,
        sessions,
        running,
        queued,
        bind_failures: node.bind_failures,
        last_hello: node.seen.0,
        shims: node.shims.into_iter().map(flame_types::Shim::number).collect(),
        arch: node.host.arch,
        os: node.host.os,
        held: executors.into_iter().map(shown_executor).collect(),
        avoided_ms: avoided_ms.unwrap_or_default(),
        avoided_by,
    }
}

/// Who avoids a worker.
fn circle(circle: &Circle) -> String {
    match circle {
        Circle::Nobody => String::new(),
        Circle::Session(_, app) => format!("a session of {app}"),
        Circle::App(app) => format!("all sessions of {app}"),
        Circle::Everybody => "all sessions".to_owned(),
    }
}

fn shown_executor(load: ExecutorLoad) -> ha::NodeExecutor {
    let ExecutorLoad { executor, running } = load;
    ha::NodeExecutor {
        id: executor.id,
        state: executor.state.number(),
        retiring: executor.retiring,
        application: executor.app.map(|name| name.to_string()).unwrap_or_default(),
        session_id: executor.session_id.map(|id| id.to_string()).unwrap_or_default(),
        resources: Some(executor.resources.into()),
        running,
        queued: executor.queued.saturating_sub(running),
    }
}
