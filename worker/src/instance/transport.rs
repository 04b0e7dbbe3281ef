//! What carries the stream: gRPC, or frames on a socket of their own.

use flame_proto::ha;
use flame_proto::ha::service_stream_client::ServiceStreamClient;
use flame_types::limits::MESSAGE_BYTES_MAX;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::frames::Frames;
use super::reply::CallError;
use super::stream::FRAMES_AHEAD;

/// One of the two.
#[derive(Debug)]
pub(super) enum Transport {
    Grpc(Grpc),
    Frames(Frames),
}

/// The call `ServiceStream.Run`.
#[derive(Debug)]
pub(super) struct Grpc {
    up: mpsc::Sender<ha::ServiceDown>,
    down: Streaming<ha::ServiceUp>,
}

impl Transport {
    /// Hands a frame over; it leaves while somebody waits in [`receive`](Self::receive).
    pub(super) fn send(&mut self, frame: ha::ServiceDown) -> Result<(), CallError> {
        match self {
            Self::Grpc(grpc) => grpc.send(frame),
            Self::Frames(frames) => frames.send(&frame),
        }
    }

    /// The next frame; None when the service ended the stream. May be dropped and called again.
    pub(super) async fn receive(&mut self) -> Result<Option<ha::ServiceUp>, CallError> {
        match self {
            Self::Grpc(grpc) => Ok(grpc.down.message().await?),
            Self::Frames(frames) => frames.receive().await,
        }
    }
}

impl Grpc {
    /// Opens the stream.
    ///
    /// # Errors
    /// [`CallError::Answered`] when the service does not speak it.
    pub(super) async fn open(channel: Channel) -> Result<Self, CallError> {
        let (up, frames) = mpsc::channel(FRAMES_AHEAD);
        let mut client = ServiceStreamClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let down = client.run(ReceiverStream::new(frames)).await?.into_inner();
        Ok(Self { up, down })
    }

    fn send(&self, frame: ha::ServiceDown) -> Result<(), CallError> {
        self.up.try_send(frame).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CallError::Broken("it does not read".into()),
            mpsc::error::TrySendError::Closed(_) => CallError::Broken("it reads no more".into()),
        })
    }
}
