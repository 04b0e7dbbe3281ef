//! Executors.

use flame_machine::State;
use flame_machine::view::{self, ExecutorView};
use flame_proto::v1;
use flame_types::limits::MESSAGE_BYTES_MAX;
use flame_types::{ExecutorKey, Shim};
use prost::Message;
use tonic::Status;

use crate::api::call::Call;
use crate::drive::gateway::Gateway;

/// Most executors that are looked at in one go: apply waits meanwhile.
const EXECUTORS_PER_READ_MAX: usize = 512;

pub async fn list(gateway: &Gateway, call: Call) -> Result<v1::ExecutorList, Status> {
    gateway.barrier(call.deadline).await?;
    let mut list = v1::ExecutorList::default();
    let mut bytes = 0;
    let mut after: Option<ExecutorKey> = None;
    loop {
        let look = move |state: &State| view::executors(state, after, EXECUTORS_PER_READ_MAX);
        let page = gateway.with_state(look).await?;
        after = page.last().map(|executor| executor.key);
        for executor in page {
            let executor = call.dialect.executor(shown(executor));
            bytes += executor.encoded_len();
            if bytes > MESSAGE_BYTES_MAX {
                let why = format!("the executors do not fit into one reply of {MESSAGE_BYTES_MAX} bytes");
                return Err(Status::resource_exhausted(why));
            }
            list.executors.push(executor);
        }
        if after.is_none() {
            return Ok(list);
        }
    }
}

fn shown(executor: ExecutorView) -> v1::Executor {
    v1::Executor {
        metadata: Some(v1::Metadata { id: executor.id.clone(), name: executor.id }),
        spec: Some(v1::ExecutorSpec {
            node: executor.node.to_string(),
            resreq: Some(executor.resources.into()),
            shim: v1::Shim::from(executor.shim.unwrap_or(Shim::Host)) as i32,
            application: executor.app.map(|name| name.to_string()).unwrap_or_default(),
        }),
        status: Some(v1::ExecutorStatus {
            state: v1::ExecutorState::from(executor.state) as i32,
            session_id: executor.session_id.map(|id| id.to_string()),
        }),
    }
}
