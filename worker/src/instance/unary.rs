//! The published calls: enter, invoke, leave, in either generation.

use std::error::Error;

use flame_proto::instance::{InstanceClient, InvokeReply, decode_enter_reply, decode_invoke_reply};
use flame_proto::{ha, v1};
use flame_types::limits::MESSAGE_BYTES_MAX;
use tonic::transport::Channel;

use super::reply::{CallError, Entered};

/// A service that is called task by task.
#[derive(Debug)]
pub(crate) struct Calls {
    client: InstanceClient<Channel>,
}

impl Calls {
    pub(super) fn new(channel: Channel) -> Self {
        Self { client: InstanceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX) }
    }

    /// `OnSessionEnter`.
    pub(super) async fn enter(&mut self, start: &ha::Start) -> Result<Entered, CallError> {
        let reply = self.client.on_session_enter(session_context(start)).await?.into_inner();
        let reply = decode_enter_reply(reply).map_err(|error| not_understood(&error))?;
        let v1::Result { return_code, message } = reply.result;
        Ok(Entered { return_code, message, attributes: reply.attributes })
    }

    /// `OnTaskInvoke`.
    pub(crate) async fn invoke(&mut self, context: v1::TaskContext) -> Result<InvokeReply, CallError> {
        let reply = self.client.on_task_invoke(context).await?.into_inner();
        decode_invoke_reply(reply).map_err(|error| not_understood(&error))
    }

    /// `OnSessionLeave`.
    pub(super) async fn leave(&mut self) -> Result<(), CallError> {
        self.client.on_session_leave(v1::EmptyRequest {}).await?;
        Ok(())
    }
}

fn session_context(start: &ha::Start) -> v1::SessionContext {
    let application = start.application.as_ref().map(|application| v1::ApplicationContext {
        name: application.name.clone(),
        shim: application.shim,
        image: application.image.clone(),
        command: application.command.clone(),
        working_directory: application.working_directory.clone(),
        url: application.url.clone(),
        installer: application.installer.clone(),
    });
    v1::SessionContext {
        session_id: start.session_id.clone(),
        application,
        common_data: start.common_data.clone(),
        tokens: start.tokens.clone(),
        batch_size: start.batch_size,
    }
}

fn not_understood(error: &dyn Error) -> CallError {
    CallError::Answered(format!("the reply of the service cannot be read: {error}"))
}
