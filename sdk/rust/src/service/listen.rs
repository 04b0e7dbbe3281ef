//! The socket of a service, and the thread that serves it.

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flame_clock::SystemClock;
use flame_proto::ha::service_stream_server::ServiceStreamServer;
use flame_proto::v1::instance_server::InstanceServer;
use flame_types::limits::MESSAGE_BYTES_MAX;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;

use super::api::FlameService;
use super::stream::Streams;
use super::unary::Calls;
use crate::FlameError;

/// Holds the path of the socket on which a service must listen.
pub const INSTANCE_VARIABLE: &str = "FLAME_INSTANCE_ENDPOINT";

/// Windows of one stream and of a connection, in bytes: a batch of inputs is not held up half-way.
const WINDOW_BYTES: u32 = 8 << 20;

/// Serves `service` to the worker that started this process, until SIGTERM or SIGINT. User code runs on the runtime that
/// this is called on; a runtime of one thread is the cheapest for short tasks, as they run one after the other.
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

/// Serves `service` on the socket `path` until `stop`. User code runs on the runtime that this is called on.
///
/// # Errors
/// As [`run`].
pub async fn serve(
    service: impl FlameService,
    path: &Path,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), FlameError> {
    let listener = bind(path)?;
    let failed =
        |error: &dyn std::fmt::Display| FlameError::Internal(format!("serving {} failed: {error}", path.display()));
    let stopping = CancellationToken::new();
    // The thread ends also when this future is dropped.
    let _stopped_at_the_latest = stopping.clone().drop_guard();
    let (ended, end) = oneshot::channel();
    let socket = Socket { service: Arc::new(service), user_code: Handle::current(), stopping: stopping.clone() };
    let thread = std::thread::Builder::new().name("flame-service".into());
    thread
        .spawn(move || {
            // Whoever waited for it is gone when this fails.
            let _ = ended.send(socket.serve(listener));
        })
        .map_err(|error| failed(&error))?;
    let mut end = std::pin::pin!(end);
    let served = tokio::select! {
        served = &mut end => served,
        () = stop => {
            stopping.cancel();
            end.await
        }
    };
    // The worker may have removed it already.
    let _gone = std::fs::remove_file(path);
    match served {
        Ok(served) => served.map_err(|error| failed(&error)),
        Err(_) => Err(failed(&"its thread panicked")),
    }
}

fn bind(path: &Path) -> Result<UnixListener, FlameError> {
    let listener = UnixListener::bind(path).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|error| {
        let text = format!("cannot listen on {}: {error}", path.display());
        match error.kind() {
            std::io::ErrorKind::AddrInUse | std::io::ErrorKind::InvalidInput => FlameError::InvalidArgument(text),
            _ => FlameError::Internal(text),
        }
    })
}

/// What the thread of the socket needs.
struct Socket<S> {
    service: Arc<S>,
    /// Where user code runs.
    user_code: Handle,
    stopping: CancellationToken,
}

impl<S: FlameService> Socket<S> {
    /// Serves until it is told to stop, and what runs then to its end.
    fn serve(self, listener: UnixListener) -> Result<(), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| text(&error))?;
        runtime.block_on(async move {
            let listener = tokio::net::UnixListener::from_std(listener).map_err(|error| text(&error))?;
            let Self { service, user_code, stopping } = self;
            let instance = InstanceServer::new(Calls::new(Arc::clone(&service), user_code.clone()))
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX);
            let streams = Streams::new(service, user_code, Arc::new(SystemClock), stopping.clone());
            let streams = ServiceStreamServer::new(streams)
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX);
            tonic::transport::Server::builder()
                .initial_stream_window_size(WINDOW_BYTES)
                .initial_connection_window_size(WINDOW_BYTES)
                .add_service(instance)
                .add_service(streams)
                .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stopping.cancelled_owned())
                .await
                .map_err(|error| text(&error))
        })
    }
}
