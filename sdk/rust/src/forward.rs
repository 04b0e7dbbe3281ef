//! Calls of somebody else, passed on as the bytes they came in: what a proxy is made of.
//!
//! A call with one answer goes the way of this client's own calls: to the next coordinator when one fails, again after a
//! lost answer where that is safe, and never for longer than its time. A stream is opened once, at the leader if it can be
//! turned to; when to open it again ([`Reopening`](crate::reopen::Reopening)) and what the other side is told then, only
//! its owner can know.
//!
//! **Invariant:** the answer of a coordinator is passed on as it is: code, text, details and metadata. What no coordinator
//! has answered is said in the words of this client.

use std::time::Duration;

use bytes::Bytes;
use flame_proto::instance::RawCodec;
use flame_types::limits::MESSAGE_BYTES_MAX;
use futures::Stream;
use http::uri::PathAndQuery;
use tokio::time::{sleep, timeout};
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use crate::Connection;
use crate::connection::{Failed, Why};
use crate::reopen::{Broken, Left};
use crate::repeats::Kind;
use crate::request::{Mark, is_marked, not_anew};

/// A call with one answer.
#[derive(Clone, Debug)]
pub struct Call {
    /// `/package.Service/Method`.
    pub path: &'static str,
    /// The request, encoded.
    pub message: Bytes,
    /// What the request brings along, without what belongs to its connection.
    pub metadata: MetadataMap,
    /// Whether it may be sent again after a lost answer.
    pub repeat: Repeat,
    /// How long it may take with all its attempts; as long as this client's own calls when it does not say.
    pub within: Option<Duration>,
}

/// Whether a call may be sent again after a lost answer ([`crate::repeats`] says why).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It changes nothing: always.
    Read,
    /// It is done once, whatever is sent: all attempts carry one request id.
    Change,
    /// Done twice, it leaves what done once would have left: always.
    Same,
    /// Never.
    Never,
}

/// A stream at one coordinator.
#[derive(Debug)]
pub struct Following {
    at: usize,
    replies: Streaming<Bytes>,
}

type Codec = RawCodec<Bytes, Bytes>;

impl Connection {
    /// Makes a call whose answer is passed on.
    ///
    /// # Errors
    /// What the coordinator says, or why none has answered: UNAVAILABLE when nothing was done, DEADLINE_EXCEEDED when
    /// nobody can say.
    pub async fn forward(&self, call: Call) -> Result<Response<Bytes>, Status> {
        let Call { path, message, metadata, repeat, within } = call;
        let within = within.unwrap_or(self.options().deadline);
        let limit = self.options().attempt_timeout.min(within);
        let deadline = sleep(within);
        tokio::pin!(deadline);
        let attempt = |channel, mark: Option<Mark>| {
            let mut request = Request::new(message.clone());
            *request.metadata_mut() = metadata.clone();
            if let Some(mark) = mark {
                mark.put(request.metadata_mut());
            }
            // The coordinator answers what it knows before this client stops listening.
            request.set_timeout(limit);
            async move { ready(channel).await?.unary(request, PathAndQuery::from_static(path), Codec::default()).await }
        };
        let answer = match repeat {
            Repeat::Change if !is_marked(&metadata) => {
                self.change_until(|channel, mark| attempt(channel, Some(mark)), deadline.as_mut()).await
            }
            repeat => self.try_until(repeat.kind(), |channel| attempt(channel, None), deadline.as_mut()).await,
        };
        answer.map_err(|Failed { why, number }| match why {
            Why::GaveUp(error) => error.to_status(),
            Why::Refused(mut status) => {
                if number.is_none() {
                    not_anew(&mut status);
                }
                status
            }
        })
    }

    /// Opens a stream, once.
    ///
    /// # Errors
    /// Says whether another coordinator may serve it.
    pub async fn follow<S>(&self, path: &'static str, metadata: MetadataMap, requests: S) -> Result<Following, Left>
    where
        S: Stream<Item = Bytes> + Send + 'static,
    {
        self.turn_to_leader().await;
        let (at, channel) = self.channel();
        let limit = self.options().attempt_timeout;
        let mut request = Request::new(requests);
        *request.metadata_mut() = metadata;
        let opened =
            async { ready(channel).await?.streaming(request, PathAndQuery::from_static(path), Codec::default()).await };
        match timeout(limit, opened).await {
            Ok(Ok(reply)) => Ok(Following { at, replies: reply.into_inner() }),
            Ok(Err(status)) => Err(Left::with(at, status)),
            Err(_) => Err(Left::silent(at, limit)),
        }
    }

    /// Leaves the coordinator that failed. The status says that another one may serve it.
    pub fn give_up(&self, broken: Broken) -> Status {
        self.leave(broken.at);
        Status::unavailable(broken.trouble.why)
    }
}

impl Repeat {
    fn kind(self) -> Kind {
        match self {
            Self::Read => Kind::Read,
            Self::Change | Self::Same => Kind::Idempotent,
            Self::Never => Kind::Once,
        }
    }
}

impl Following {
    /// What comes next; none when the coordinator has ended the stream.
    ///
    /// # Errors
    /// Says whether another coordinator may serve it.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Left> {
        self.replies.message().await.map_err(|status| Left::with(self.at, status))
    }

    /// It must not end here: another coordinator may serve it.
    #[must_use]
    pub fn ended(&self) -> Broken {
        Broken { at: self.at, trouble: crate::fate::Trouble::with("the stream ended") }
    }
}

/// A client over this channel, once it takes a request.
async fn ready(channel: Channel) -> Result<Grpc<Channel>, Status> {
    let mut client = Grpc::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    client.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
    Ok(client)
}
