//! What installs wrote on workers. Only the leader has their streams.

use flame_proto::ha;
use flame_types::limits::INSTALL_LOG_NODES_MAX;
use flame_types::{AppName, NodeName, kept_text};
use futures::future::join_all;
use tonic::Status;

use crate::api::call::Call;
use crate::drive::gateway::Gateway;
use crate::drive::hub::Hub;

pub async fn read(
    gateway: &Gateway,
    hub: &Hub,
    call: Call,
    request: ha::ReadInstallLogsRequest,
) -> Result<ha::ReadInstallLogsReply, Status> {
    let application =
        AppName::parse(&request.application).map_err(|error| Status::invalid_argument(error.to_string()))?;
    if !hub.is_open() {
        let leader = gateway.membership().leader.map_or(0, |id| id.0);
        return Ok(ha::ReadInstallLogsReply { not_leader: true, leader, logs: Vec::new() });
    }
    let nodes = match request.node.as_str() {
        "" => everybody(hub)?,
        name => vec![NodeName::parse(name).map_err(|error| Status::not_found(format!("node not found: {error}")))?],
    };
    let asked = nodes.into_iter().map(async |node| {
        let answer = hub.install_log(&node, application.as_str(), call.deadline).await;
        shown(&node, answer)
    });
    let logs = join_all(asked).await.into_iter().flatten().collect();
    Ok(ha::ReadInstallLogsReply { not_leader: false, leader: 0, logs })
}

fn everybody(hub: &Hub) -> Result<Vec<NodeName>, Status> {
    let names = hub.attached_names(INSTALL_LOG_NODES_MAX + 1);
    if names.len() > INSTALL_LOG_NODES_MAX {
        return Err(Status::invalid_argument(format!(
            "there are more than {INSTALL_LOG_NODES_MAX} workers; name the one that is to be asked"
        )));
    }
    Ok(names)
}

/// What a worker has; nothing when it has installed nothing of that application.
fn shown(node: &NodeName, answer: Result<ha::InstallLog, String>) -> Option<ha::NodeInstallLog> {
    let node = node.to_string();
    match answer {
        Err(error) => Some(ha::NodeInstallLog { node, error, ..ha::NodeInstallLog::default() }),
        Ok(log) if !log.error.is_empty() => {
            Some(ha::NodeInstallLog { node, error: kept_text(log.error), ..ha::NodeInstallLog::default() })
        }
        Ok(ha::InstallLog { found: true, text, written, cut, .. }) => {
            Some(ha::NodeInstallLog { node, text, written, cut, error: String::new() })
        }
        Ok(_) => None,
    }
}
