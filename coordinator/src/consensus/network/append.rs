//! The stream of entries: first both ends say who they are; then requests go out as fast as the peer takes them, and
//! answers come back in the same order. A request that only tells how far the log is committed is *quiet*: it is answered
//! only when the peer refuses it.
//!
//! **Invariant:** no request leaves before the peer's header was confirmed: whoever sits at the address of a member and
//! is not it hears of no term, no entry and no commit.
//! **Invariant:** a stream is opened only once there is something to send. The library's pause after a failure lies
//! before the first request, not before this call: who opens first tries a dead peer again without any pause.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flame_proto::ha::RaftFrame;
use flame_proto::ha::raft_client::RaftClient;
use flame_storage::{TypeConfig, codec};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use openraft::RPCTypes;
use openraft::errors::RPCError;
use openraft::network::{NetStreamAppend, RPCOption};
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use tokio::sync::oneshot;
use tonic::Streaming;

use super::super::audience::{Elsewhere, is_notice, paced};
use super::{Client, FRAME_BYTES_MAX, frame, unreachable};

/// A stream is open in this time, or the peer is not there. (The library's own limit, three quarters of a heartbeat
/// interval, would give up on a busy machine.)
const OPEN_MAX: Duration = Duration::from_millis(1000);

/// A stream on which requests wait and nothing is answered for one to two times this long is given up: the peer's
/// disk hangs, or the peer does.
const SILENCE_MAX: Duration = Duration::from_secs(5);

pub(super) type Answer = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

impl NetStreamAppend<TypeConfig> for Client {
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Answer>, RPCError<TypeConfig>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        Box::pin(async move {
            let mut input = input.peekable();
            if Pin::new(&mut input).peek().await.is_none() {
                return Ok(stream::empty().boxed());
            }
            if self.heartbeat.is_some() {
                return self.beat(input, &option).await;
            }
            let sent = Arc::new(AtomicU64::new(0));
            let counted = sent.clone();
            let mut is_first = true;
            let requests = paced(input, self.audience.clone()).map(move |request| {
                // The first one asks what the peer has.
                let quiet = !std::mem::take(&mut is_first) && is_notice(&request);
                if !quiet {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                RaftFrame { body: frame::encode_append(request), quiet, ..RaftFrame::default() }
            });
            let answers = self.open_in_time(requests, &option).await?;
            Ok(Answers { incoming: answers, sent, answered: 0, audience: self.audience.clone() }.into_stream())
        })
    }
}

impl Client {
    /// Opens a stream, or gives up in time.
    pub(super) async fn open_in_time(
        &self,
        requests: impl Stream<Item = RaftFrame> + Send + 'static,
        option: &RPCOption,
    ) -> Result<Streaming<RaftFrame>, RPCError<TypeConfig>> {
        let limit = OPEN_MAX.max(option.soft_ttl());
        match tokio::time::timeout(limit, self.open(requests)).await {
            Ok(opened) => opened,
            Err(_elapsed) => Err(self.timed_out(RPCTypes::AppendEntries, option)),
        }
    }

    /// Opens a stream with this node's header, reads the peer's, and lets the requests out if it is the right one. If
    /// not, the stream ends with the header.
    async fn open(
        &self,
        requests: impl Stream<Item = RaftFrame> + Send + 'static,
    ) -> Result<Streaming<RaftFrame>, RPCError<TypeConfig>> {
        let channel = self.stream.clone().ok_or_else(|| self.bad_address())?;
        let mut client = RaftClient::new(channel).max_decoding_message_size(FRAME_BYTES_MAX);
        let header = RaftFrame { header: Some(self.network.gate.header_to(self.target)), ..RaftFrame::default() };
        let (confirmed, is_confirmed) = oneshot::channel::<()>();
        let rest = async move {
            match is_confirmed.await {
                Ok(()) => requests.left_stream(),
                Err(_not_confirmed) => stream::empty().right_stream(),
            }
        };
        let outgoing = stream::iter([header]).chain(stream::once(rest).flatten());
        let mut incoming = client.append(outgoing).await.map_err(|status| self.refused(status))?.into_inner();
        let first = incoming.message().await.map_err(|status| self.refused(status))?;
        let header = first.as_ref().and_then(|frame| frame.header.as_ref());
        self.network.gate.confirm(self.target, header).map_err(unreachable)?;
        // An error means that the connection has ended meanwhile, which its reader will see.
        let _ = confirmed.send(());
        Ok(incoming)
    }
}

/// The answers of one stream.
struct Answers {
    incoming: Streaming<RaftFrame>,
    sent: Arc<AtomicU64>,
    answered: u64,
    audience: Elsewhere,
}

impl Answers {
    fn into_stream(self) -> BoxStream<'static, Answer> {
        let stream = stream::unfold(Some(self), |state| async move {
            let mut answers = state?;
            let answer = answers.next().await?;
            // After a failure or a refusal nothing more comes.
            let rest = matches!(answer, Ok(Ok(_))).then_some(answers);
            Some((answer, rest))
        });
        Box::pin(stream)
    }

    async fn next(&mut self) -> Option<Answer> {
        loop {
            let waiting = self.sent.load(Ordering::Relaxed) > self.answered;
            match tokio::time::timeout(SILENCE_MAX, self.incoming.message()).await {
                Ok(Ok(Some(frame))) => {
                    self.answered += 1;
                    self.audience.heard(frame.audience);
                    return Some(codec::decode_plain(&frame.body).map_err(unreachable));
                }
                Ok(Ok(None)) => return None,
                Ok(Err(status)) => return Some(Err(unreachable(status))),
                Err(_elapsed) if waiting => return Some(Err(unreachable("the peer does not answer"))),
                Err(_elapsed) => {}
            }
        }
    }
}
