//! The stream in bare frames, on a socket of its own.

use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use flame_proto::ha;
use flame_types::limits::MESSAGE_BYTES_MAX;
use futures::{SinkExt, StreamExt};
use prost::Message;
use tokio::net::UnixListener;
use tokio_util::codec::LengthDelimitedCodec;
use tonic::Status;

use crate::echo::Echo;
use crate::stream::answers;

/// Serves one worker until it is gone.
pub(crate) async fn serve(echo: Arc<Echo>, listener: UnixListener) -> anyhow::Result<ExitCode> {
    let (socket, _) = listener.accept().await?;
    let (mut up, down) = LengthDelimitedCodec::builder().max_frame_length(MESSAGE_BYTES_MAX).new_framed(socket).split();
    let down = down.map(|frame| {
        let frame = frame.map_err(|error| Status::internal(error.to_string()))?;
        ha::ServiceDown::decode(frame).map_err(|error| Status::invalid_argument(error.to_string()))
    });
    let mut answers = answers(echo, Box::pin(down));
    while let Some(answer) = answers.next().await {
        up.send(Bytes::from(answer?.encode_to_vec())).await?;
    }
    Ok(ExitCode::SUCCESS)
}
