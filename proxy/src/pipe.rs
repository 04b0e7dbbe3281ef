//! Streams to one coordinator: messages go through in both directions as they come.
//!
//! Their clients resume them by themselves, since only they know what was answered. So when the coordinator is gone the
//! stream ends with UNAVAILABLE, and the next one is opened at another coordinator.

use std::future::ready;

use bytes::Bytes;
use flame_sdk::Connection;
use flame_sdk::forward::Following;
use flame_sdk::reopen::Left;
use futures::{StreamExt, stream};
use tonic::metadata::MetadataMap;
use tonic::{Status, Streaming};

use crate::stream::Replies;

pub(crate) async fn pipe(
    connection: &Connection,
    path: &'static str,
    metadata: MetadataMap,
    requests: Streaming<Bytes>,
) -> Result<Replies, Status> {
    // A client that breaks off is noticed by its half of the replies.
    let requests = requests.take_while(|request| ready(request.is_ok())).filter_map(|request| ready(request.ok()));
    let following = connection.follow(path, metadata, requests).await.map_err(|left| status(connection, left))?;
    let replies = stream::try_unfold((connection.clone(), following), next);
    Ok(replies.boxed())
}

type Side = (Connection, Following);

async fn next((connection, mut following): Side) -> Result<Option<(Bytes, Side)>, Status> {
    match following.next().await {
        Ok(Some(message)) => Ok(Some((message, (connection, following)))),
        Ok(None) => Ok(None),
        Err(left) => Err(status(&connection, left)),
    }
}

fn status(connection: &Connection, left: Left) -> Status {
    match left {
        Left::Refused(status) => status,
        Left::Broken(broken) => connection.give_up(broken),
    }
}
