//! The host side of a service: a process that a worker starts and whose tasks it runs.
//!
//! Served is the published Instance service, with the replies of its 0.7 generation, on the unix socket whose path is in
//! `FLAME_INSTANCE_ENDPOINT`.
//!
//! **Invariant:** an error or a panic of user code becomes an answer with code -1 and its text; it never takes the
//! process or the connection down.
//! **Invariant:** on SIGTERM the calls that run are answered before the process ends.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use flame_proto::v1;
use flame_proto::v1::instance_server::{Instance, InstanceServer};
use flame_types::limits::{MESSAGE_BYTES_MAX, MESSAGE_TEXT_BYTES_MAX};
use futures::FutureExt;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status, async_trait};

use crate::FlameError;

/// Holds the path of the socket on which a service must listen.
pub const INSTANCE_VARIABLE: &str = "FLAME_INSTANCE_ENDPOINT";

const OK: i32 = 0;
const FAILED: i32 = -1;

/// The session a service enters.
#[derive(Clone, Default)]
pub struct SessionContext {
    /// Its id.
    pub session_id: String,
    /// The application it belongs to.
    pub application: ApplicationContext,
    /// What its client gave it for all tasks.
    pub common_data: Option<Bytes>,
    /// Secrets by service name.
    pub tokens: BTreeMap<String, String>,
    /// How many executors it holds at least while tasks start.
    pub batch_size: u32,
}

/// The application of a session, as far as a service may want to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationContext {
    /// Its name.
    pub name: String,
    /// Its container image.
    pub image: Option<String>,
    /// The program that runs.
    pub command: Option<String>,
}

/// One task to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskContext {
    /// Its number in its session, as text.
    pub task_id: String,
    /// Its session.
    pub session_id: String,
    /// What it takes. Absent is not the same as empty.
    pub input: Option<Bytes>,
}

/// What a service does. A worker calls `on_session_enter` once, `on_task_invoke` for each task, `on_session_leave` once.
#[async_trait]
pub trait FlameService: Send + Sync + 'static {
    /// A session begins. An error keeps the executor out of it.
    async fn on_session_enter(&self, _context: SessionContext) -> Result<(), FlameError> {
        Ok(())
    }

    /// Runs a task and gives its output. An error fails the task; its text is what the client reads.
    async fn on_task_invoke(&self, context: TaskContext) -> Result<Option<Bytes>, FlameError>;

    /// The session ends for this process.
    async fn on_session_leave(&self) -> Result<(), FlameError> {
        Ok(())
    }
}

/// Serves `service` to the worker that started this process, until SIGTERM or SIGINT.
///
/// # Errors
/// [`FlameError::InvalidArgument`] when no worker started this process (the variable is unset) or the socket exists;
/// [`FlameError::Internal`] when listening fails.
pub async fn run(service: impl FlameService) -> Result<(), FlameError> {
    let path = std::env::var_os(INSTANCE_VARIABLE).map(PathBuf::from).ok_or_else(|| {
        FlameError::InvalidArgument(format!(
            "{INSTANCE_VARIABLE} is not set: a service is started by a worker, not by hand; register it with flmctl"
        ))
    })?;
    let failed = |error: std::io::Error| FlameError::Internal(format!("cannot wait for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    serve(service, &path, async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
    .await
}

/// Serves `service` on the socket `path` until `stop`.
///
/// # Errors
/// As [`run`].
pub async fn serve(
    service: impl FlameService,
    path: &Path,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), FlameError> {
    let listener = UnixListener::bind(path).map_err(|error| {
        let text = format!("cannot listen on {}: {error}", path.display());
        match error.kind() {
            std::io::ErrorKind::AddrInUse | std::io::ErrorKind::InvalidInput => FlameError::InvalidArgument(text),
            _ => FlameError::Internal(text),
        }
    })?;
    let instance = InstanceServer::new(Host { service: Arc::new(service) })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let served = tonic::transport::Server::builder()
        .add_service(instance)
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop)
        .await;
    // The worker may have removed it already.
    let _gone = std::fs::remove_file(path);
    served.map_err(|error| FlameError::Internal(format!("serving {} failed: {error}", path.display())))
}

struct Host<S> {
    service: Arc<S>,
}

#[async_trait]
impl<S: FlameService> Instance for Host<S> {
    async fn on_session_enter(
        &self,
        request: Request<v1::SessionContext>,
    ) -> Result<Response<v1::OnSessionEnterResponse>, Status> {
        let context = request.into_inner();
        let result = match context.application {
            Some(application) => {
                let context = SessionContext {
                    session_id: context.session_id,
                    application: ApplicationContext {
                        name: application.name,
                        image: application.image,
                        command: application.command,
                    },
                    common_data: context.common_data,
                    tokens: context.tokens,
                    batch_size: context.batch_size.max(1),
                };
                shielded(self.service.on_session_enter(context)).await
            }
            None => Err("the session comes without its application".to_owned()),
        };
        let attributes = Some(v1::ExecutorAttributes::default());
        Ok(Response::new(v1::OnSessionEnterResponse { result: Some(plain(result)), attributes }))
    }

    async fn on_task_invoke(
        &self,
        request: Request<v1::TaskContext>,
    ) -> Result<Response<v1::OnTaskInvokeResponse>, Status> {
        let context = request.into_inner();
        let context = TaskContext { task_id: context.task_id, session_id: context.session_id, input: context.input };
        let task_result = match shielded(self.service.on_task_invoke(context)).await {
            Ok(output) => v1::TaskResult { return_code: OK, output, message: None },
            Err(text) => v1::TaskResult { return_code: FAILED, output: None, message: Some(text) },
        };
        let attributes = Some(v1::ExecutorAttributes::default());
        Ok(Response::new(v1::OnTaskInvokeResponse { task_result: Some(task_result), attributes }))
    }

    async fn on_session_leave(&self, _request: Request<v1::EmptyRequest>) -> Result<Response<v1::Result>, Status> {
        Ok(Response::new(plain(shielded(self.service.on_session_leave()).await)))
    }
}

/// Runs user code; what goes wrong in it becomes a text.
async fn shielded<T>(code: impl Future<Output = Result<T, FlameError>>) -> Result<T, String> {
    let text = match AssertUnwindSafe(code).catch_unwind().await {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => format!("the service panicked: {}", panic_text(panic.as_ref())),
    };
    Err(cut(text))
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a text")
}

fn cut(mut text: String) -> String {
    if text.len() > MESSAGE_TEXT_BYTES_MAX {
        const MARK: &str = "…";
        text.truncate(text.floor_char_boundary(MESSAGE_TEXT_BYTES_MAX - MARK.len()));
        text.push_str(MARK);
    }
    text
}

fn plain(result: Result<(), String>) -> v1::Result {
    match result {
        Ok(()) => v1::Result { return_code: OK, message: None },
        Err(text) => v1::Result { return_code: FAILED, message: Some(text) },
    }
}
