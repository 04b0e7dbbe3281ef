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
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use crate::connection::NoResult;
use crate::key::IdempotencyKey;
use crate::reopen::{Broken, Left};
use crate::repeats::{Kind, Outcome};
use crate::{Connection, FlameError};

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
    /// It makes a task: with one key in all attempts.
    Submit,
    /// Done twice, it leaves what done once would have left.
    Change,
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
        let Call { path, message, mut metadata, repeat, within } = call;
        let kind = self.kind_of(repeat, &mut metadata);
        let within = within.unwrap_or(self.options().deadline);
        let attempt = self.options().attempt_timeout.min(within);
        let tried = self.tries(kind, within, |channel| {
            let mut request = Request::new(message.clone());
            *request.metadata_mut() = metadata.clone();
            // The coordinator answers what it knows before this client stops listening.
            request.set_timeout(attempt);
            async move { ready(channel).await?.unary(request, PathAndQuery::from_static(path), Codec::default()).await }
        });
        let tried = tried.await;
        tried.result.map_err(|none| match none {
            NoResult::GaveUp(error) => error.to_status(),
            NoResult::Refused(status) if tried.after_lost => unless_it_was_done(status),
            NoResult::Refused(status) => status,
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

    fn kind_of(&self, repeat: Repeat, metadata: &mut MetadataMap) -> Kind {
        match repeat {
            Repeat::Read => Kind::Read,
            Repeat::Change => Kind::Idempotent,
            Repeat::Never => Kind::Once,
            // One that came with a key keeps it: whoever has drawn it may send it again too.
            Repeat::Submit => match IdempotencyKey::of(metadata) {
                Some(bytes) => Kind::Keyed(self.adopt_key(bytes)),
                None => {
                    let key = self.draw_key();
                    key.put(metadata);
                    Kind::Keyed(key)
                }
            },
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

/// A refusal of a repeat cannot know what became of the attempt whose answer was lost.
fn unless_it_was_done(status: Status) -> Status {
    let refusal = FlameError::from_answer(&status);
    match (Outcome::<()> { result: Err(refusal), after_lost: true }).of_change() {
        Err(unknown @ FlameError::UnknownOutcome(_)) => unknown.to_status(),
        _ => status,
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic::metadata::MetadataValue;

    use super::*;
    use crate::{Endpoints, Options};

    fn connection() -> Connection {
        Connection::open(Endpoints::parse(&["127.0.0.1:1"]).unwrap(), Options::default()).unwrap()
    }

    #[tokio::test]
    async fn a_submit_has_one_key_whoever_has_drawn_it() {
        const KEY: &str = "flame-idempotency-key-bin";
        let connection = connection();
        let mut metadata = MetadataMap::new();
        assert!(matches!(connection.kind_of(Repeat::Submit, &mut metadata), Kind::Keyed(_)));
        assert_eq!(metadata.get_bin(KEY).unwrap().to_bytes().unwrap().len(), 16);
        let theirs = MetadataValue::from_bytes(&[7; 16]);
        let mut metadata = MetadataMap::new();
        metadata.insert_bin(KEY, theirs.clone());
        assert!(matches!(connection.kind_of(Repeat::Submit, &mut metadata), Kind::Keyed(_)));
        assert_eq!(metadata.get_all_bin(KEY).iter().collect::<Vec<_>>(), [&theirs]);
    }

    #[test]
    fn a_refusal_of_a_repeat_is_passed_on_only_when_it_holds_for_every_attempt() {
        assert_eq!(unless_it_was_done(Status::not_found("s")).code(), Code::DeadlineExceeded);
        assert_eq!(unless_it_was_done(Status::already_exists("s")).code(), Code::DeadlineExceeded);
        assert_eq!(unless_it_was_done(Status::invalid_argument("invalid task id")).code(), Code::InvalidArgument);
    }
}
