//! Following one task (0.6): its present state, every further one, and the end of the stream after the last.

use bytes::Bytes;
use flame_proto::v1;
use flame_sdk::Connection;
use futures::{StreamExt, stream};
use prost::Message;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::stream::{Next, Replies, Stream};
use crate::told::{self, Told};

/// A watch, wherever it is served.
struct Watch {
    stream: Stream,
    told: Told,
    /// The last state was passed on.
    is_over: bool,
}

pub(crate) async fn watch(
    connection: &Connection,
    path: &'static str,
    metadata: MetadataMap,
    message: Bytes,
) -> Result<Replies, Status> {
    let stream = Stream::open(connection, path, metadata, message).await?;
    let watch = Watch { stream, told: Told::default(), is_over: false };
    let replies = stream::try_unfold(watch, |mut watch| async move {
        let next = watch.next().await?;
        Ok(next.map(|message| (message, watch)))
    });
    Ok(replies.boxed())
}

impl Watch {
    async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        while !self.is_over {
            let message = match self.stream.next().await? {
                Next::Message(message) => message,
                // The task has not ended: a client that believed it would wait for ever.
                Next::Ended => {
                    self.stream.go_on().await?;
                    self.told.on_reopened();
                    continue;
                }
                Next::Reopened => {
                    self.told.on_reopened();
                    continue;
                }
            };
            let state = state(&message)?;
            if self.told.hears(state) {
                self.is_over = told::is_last(state);
                return Ok(Some(message));
            }
        }
        Ok(None)
    }
}

fn state(message: &Bytes) -> Result<i32, Status> {
    let task = v1::Task::decode(message.clone())
        .map_err(|error| Status::internal(format!("the coordinator sent no task: {error}")))?;
    told::state(&task).ok_or_else(|| Status::internal("the coordinator sent a task without a state"))
}
