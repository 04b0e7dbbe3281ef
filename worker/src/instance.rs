//! Calls on a service over its unix socket: enter, invoke, leave, in either published generation.
//!
//! **Invariant:** a call fails in one of two ways that mean different things. The service *answered* that it will not
//! do it: that is a result. Or the connection *broke*: nobody knows what happened, and the service is given up.

use std::error::Error;
use std::path::{Path, PathBuf};

use flame_proto::instance::{EnterReply, InstanceClient, InvokeReply, decode_enter_reply, decode_invoke_reply};
use flame_proto::{ha, v1};
use flame_types::limits::MESSAGE_BYTES_MAX;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};
use tower::service_fn;

/// Services of the published SDKs refuse a request whose `:authority` is not the name of a host.
const AUTHORITY: &str = "http://localhost";

/// Window of one call and of the connection, in bytes: an input of the largest size is not held up half-way.
const WINDOW_BYTES: u32 = 8 << 20;

/// A connected service.
#[derive(Debug)]
pub(crate) struct Service {
    client: InstanceClient<Channel>,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The service answered with an error instead of a reply.
    #[error("{0}")]
    Answered(String),
    /// There was no answer.
    #[error("the connection to the service broke: {0}")]
    Broken(String),
}

impl Service {
    /// Connects; the service must listen already.
    ///
    /// # Errors
    /// When nobody accepts, or the one who does speaks no HTTP/2.
    pub(crate) async fn connect(socket: &Path) -> Result<Self, tonic::transport::Error> {
        let socket = socket.to_owned();
        let endpoint = Endpoint::from_static(AUTHORITY)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        let channel = endpoint.connect_with_connector(service_fn(move |_| dial(socket.clone()))).await?;
        let client = InstanceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self { client })
    }

    /// `OnSessionEnter`.
    pub(crate) async fn enter(&mut self, start: &ha::Start) -> Result<EnterReply, CallError> {
        let reply = self.client.on_session_enter(session_context(start)).await;
        decode_enter_reply(body(reply)?).map_err(|error| not_understood(&error))
    }

    /// `OnTaskInvoke`.
    pub(crate) async fn invoke(&mut self, context: v1::TaskContext) -> Result<InvokeReply, CallError> {
        let reply = self.client.on_task_invoke(context).await;
        decode_invoke_reply(body(reply)?).map_err(|error| not_understood(&error))
    }

    /// `OnSessionLeave`. What it returns is ignored, as published.
    pub(crate) async fn leave(&mut self) -> Result<(), CallError> {
        body(self.client.on_session_leave(v1::EmptyRequest {}).await).map(drop)
    }
}

async fn dial(socket: PathBuf) -> std::io::Result<TokioIo<UnixStream>> {
    UnixStream::connect(socket).await.map(TokioIo::new)
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

fn body<T>(reply: Result<Response<T>, Status>) -> Result<T, CallError> {
    reply.map(Response::into_inner).map_err(|status| {
        // A status that the service sent stands alone; one that tonic made has the error it was made from.
        match status.source() {
            None => CallError::Answered(format!("{:?}: {}", status.code(), status.message())),
            Some(source) => CallError::Broken(format!("{} ({source})", status.message())),
        }
    })
}

fn not_understood(error: &dyn Error) -> CallError {
    CallError::Answered(format!("the reply of the service cannot be read: {error}"))
}
