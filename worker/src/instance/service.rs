//! The connection to a service, and which way it is called.

use std::path::{Path, PathBuf};

use flame_proto::ha;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::Endpoint;
use tower::service_fn;

use super::frames::Frames;
use super::reply::{CallError, Entered};
use super::stream::Stream;
use super::unary::Calls;

/// Services of the published SDKs refuse a request whose `:authority` is not the name of a host.
const AUTHORITY: &str = "http://localhost";

/// Window of one call and of the connection, in bytes: an input of the largest size is not held up half-way.
const WINDOW_BYTES: u32 = 8 << 20;

/// A connected service.
#[derive(Debug)]
pub(crate) enum Service {
    /// It speaks our stream.
    Stream(Stream),
    /// It is called by the published protocol.
    Unary(Calls),
}

/// Where a service may listen.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    /// Speaking gRPC, as published.
    pub(crate) grpc: PathBuf,
    /// For bare frames.
    pub(crate) frames: PathBuf,
}

/// Why a service is not connected (yet).
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("nobody listens")]
    Nobody,
    #[error(transparent)]
    Socket(#[from] std::io::Error),
    #[error(transparent)]
    Transport(#[from] tonic::transport::Error),
    #[error(transparent)]
    Call(CallError),
}

impl Service {
    /// Connects by the socket that is there and finds out how the service is called.
    ///
    /// # Errors
    /// When nobody accepts (yet), or the one who does speaks no HTTP/2 where that is expected.
    pub(crate) async fn connect(sockets: &Sockets) -> Result<Self, ConnectError> {
        if sockets.frames.exists() {
            Ok(Self::Stream(Stream::over(Frames::connect(&sockets.frames).await?)))
        } else if sockets.grpc.exists() {
            Self::connect_grpc(&sockets.grpc).await
        } else {
            Err(ConnectError::Nobody)
        }
    }

    async fn connect_grpc(socket: &Path) -> Result<Self, ConnectError> {
        let socket = socket.to_owned();
        let endpoint = Endpoint::from_static(AUTHORITY)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        let channel = endpoint.connect_with_connector(service_fn(move |_| dial(socket.clone()))).await?;
        match Stream::open(channel.clone()).await {
            Ok(stream) => Ok(Self::Stream(stream)),
            Err(CallError::Answered(answer)) => {
                tracing::debug!(answer, "the service does not speak the stream; it is called task by task");
                Ok(Self::Unary(Calls::new(channel)))
            }
            Err(error @ CallError::Broken(_)) => Err(ConnectError::Call(error)),
        }
    }

    /// Enters a session.
    pub(crate) async fn enter(&mut self, start: &ha::Start) -> Result<Entered, CallError> {
        match self {
            Self::Stream(stream) => stream.enter(start).await,
            Self::Unary(calls) => calls.enter(start).await,
        }
    }

    /// Leaves the session. What the service returns is ignored, as published.
    pub(crate) async fn leave(&mut self) -> Result<(), CallError> {
        match self {
            Self::Stream(stream) => stream.leave().await,
            Self::Unary(calls) => calls.leave().await,
        }
    }
}

async fn dial(socket: PathBuf) -> std::io::Result<TokioIo<UnixStream>> {
    UnixStream::connect(socket).await.map(TokioIo::new)
}
