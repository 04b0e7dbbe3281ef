//! A stream that one request opens, at one coordinator after the other.

use bytes::Bytes;
use flame_sdk::Connection;
use flame_sdk::forward::Following;
use flame_sdk::reopen::{Left, Reopening};
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::metadata::MetadataMap;

/// What a client reads.
pub(crate) type Replies = BoxStream<'static, Result<Bytes, Status>>;

/// A request, and the stream that it has opened.
pub(crate) struct Stream {
    connection: Connection,
    path: &'static str,
    metadata: MetadataMap,
    message: Bytes,
    reopening: Reopening,
    following: Option<Following>,
}

/// What a stream brings.
pub(crate) enum Next {
    Message(Bytes),
    /// The coordinator has ended it well.
    Ended,
    /// Another coordinator serves it from now on.
    Reopened,
}

impl Stream {
    /// Opens it at the first coordinator that serves it.
    pub(crate) async fn open(
        connection: &Connection,
        path: &'static str,
        metadata: MetadataMap,
        message: Bytes,
    ) -> Result<Self, Status> {
        let (connection, reopening) = (connection.clone(), Reopening::new(connection));
        let mut stream = Self { connection, path, metadata, message, reopening, following: None };
        stream.open_somewhere().await?;
        Ok(stream)
    }

    /// What comes next, wherever it comes from.
    pub(crate) async fn next(&mut self) -> Result<Next, Status> {
        let Some(following) = &mut self.following else {
            self.open_somewhere().await?;
            return Ok(Next::Reopened);
        };
        match following.next().await {
            Ok(Some(message)) => {
                self.reopening.heard();
                Ok(Next::Message(message))
            }
            Ok(None) => Ok(Next::Ended),
            Err(left) => {
                self.leave(left).await?;
                self.open_somewhere().await?;
                Ok(Next::Reopened)
            }
        }
    }

    /// It has ended where it must not: it goes on at another coordinator.
    pub(crate) async fn go_on(&mut self) -> Result<(), Status> {
        if let Some(following) = &self.following {
            let left = Left::Broken(following.ended());
            self.leave(left).await?;
        }
        self.open_somewhere().await
    }

    async fn open_somewhere(&mut self) -> Result<(), Status> {
        loop {
            let request = stream::iter([self.message.clone()]);
            match self.connection.follow(self.path, self.metadata.clone(), request).await {
                Ok(following) => {
                    self.following = Some(following);
                    return Ok(());
                }
                Err(left) => self.leave(left).await?,
            }
        }
    }

    async fn leave(&mut self, left: Left) -> Result<(), Status> {
        self.following = None;
        leave(&mut self.reopening, left).await
    }
}

/// Waits until the next coordinator may be tried; passes on what no coordinator will say otherwise.
pub(crate) async fn leave(reopening: &mut Reopening, left: Left) -> Result<(), Status> {
    match left {
        Left::Refused(status) => Err(status),
        Left::Broken(broken) => reopening.wait(broken).await.map_err(|error| error.to_status()),
    }
}

/// The same until the proxy stops: then its client is told that it may go on elsewhere.
pub(crate) fn until_stopped(replies: Replies, stop: CancellationToken) -> Replies {
    let stopped = stop.clone().cancelled_owned();
    let word = stream::once(std::future::ready(())).filter_map(move |()| {
        let word = stop.is_cancelled().then(|| Err(Status::unavailable("this proxy is stopping")));
        std::future::ready(word)
    });
    replies.take_until(stopped).chain(word).boxed()
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[tokio::test]
    async fn a_stream_of_a_proxy_that_stops_does_not_end_well() {
        let stop = CancellationToken::new();
        let endless = || stream::iter([Ok(Bytes::new())]).chain(stream::pending()).boxed();
        let mut replies = until_stopped(endless(), stop.clone());
        assert!(replies.next().await.unwrap().is_ok());
        stop.cancel();
        assert_eq!(replies.next().await.unwrap().unwrap_err().code(), Code::Unavailable);
        assert!(replies.next().await.is_none());
    }

    #[tokio::test]
    async fn a_stream_that_is_over_ends_as_it_did() {
        let replies = until_stopped(stream::iter([Ok(Bytes::new())]).boxed(), CancellationToken::new());
        assert_eq!(replies.collect::<Vec<_>>().await.len(), 1);
    }
}
