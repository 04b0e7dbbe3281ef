//! Tasks of a session, from the first to the last.
//!
//! Coordinators list tasks in the order of their numbers. A listing that breaks is begun again at another coordinator, and
//! what was passed on already is left out: nothing is gathered here, however long it is.

use bytes::Bytes;
use flame_proto::v1;
use flame_sdk::Connection;
use futures::{StreamExt, stream};
use prost::Message;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::stream::{Next, Replies, Stream};

/// A listing, wherever it is.
struct Listing {
    stream: Stream,
    /// The highest number that was passed on.
    last: u64,
    /// It was begun again.
    is_again: bool,
}

pub(crate) async fn list(
    connection: &Connection,
    path: &'static str,
    metadata: MetadataMap,
    message: Bytes,
) -> Result<Replies, Status> {
    let stream = Stream::open(connection, path, metadata, message).await?;
    let listing = Listing { stream, last: 0, is_again: false };
    let replies = stream::try_unfold(listing, |mut listing| async move {
        let next = listing.next().await?;
        Ok(next.map(|message| (message, listing)))
    });
    Ok(replies.boxed())
}

impl Listing {
    async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            let message = match self.stream.next().await? {
                Next::Message(message) => message,
                Next::Ended => return Ok(None),
                Next::Reopened => {
                    self.is_again = true;
                    continue;
                }
            };
            let number = number(&message)?;
            if self.is_again && number <= self.last {
                continue;
            }
            self.last = self.last.max(number);
            return Ok(Some(message));
        }
    }
}

fn number(message: &Bytes) -> Result<u64, Status> {
    let task = v1::Task::decode(message.clone())
        .map_err(|error| Status::internal(format!("the coordinator sent no task: {error}")))?;
    let number = task.metadata.and_then(|metadata| metadata.id.parse().ok());
    number.ok_or_else(|| Status::internal("the coordinator sent a task without a number"))
}
