//! The server side of the peer protocol: hands what other coordinators send to Raft.
//!
//! **Invariant:** who speaks is checked before anything else, on every stream and every question
//! (see [`gate`](super::gate)); strangers get FAILED_PRECONDITION.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flame_proto::ha::raft_server::{Raft, RaftServer};
use flame_proto::ha::{RaftFrame, SnapshotFrame, SnapshotReply};
use flame_storage::{TypeConfig, codec};
use flame_types::CoordinatorId;
use futures::future;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use openraft::raft::{AppendEntriesRequest, TransferLeaderRequest, VoteRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::RaftHandle;
use super::audience::Audience;
use super::gate::Gate;
use super::network::{FRAME_BYTES_MAX, frame};
use super::receive::Receiver;

/// A stream whose opener does not say who it is in this time is closed.
const HEADER_MAX: Duration = Duration::from_secs(5);

/// Answers the other coordinators.
#[derive(Clone)]
pub struct RaftService {
    raft: RaftHandle,
    gate: Arc<Gate>,
    receiver: Receiver,
    audience: Audience,
}

impl RaftService {
    pub(super) fn new(receiver: Receiver, audience: Audience) -> Self {
        Self { raft: receiver.raft.clone(), gate: receiver.gate.clone(), receiver, audience }
    }

    pub(super) fn into_server(self) -> RaftServer<Self> {
        RaftServer::new(self).max_decoding_message_size(FRAME_BYTES_MAX).max_encoding_message_size(FRAME_BYTES_MAX)
    }

    /// Checks who asks and reads the question.
    fn question<Q: DeserializeOwned>(&self, frame: &RaftFrame) -> Result<(CoordinatorId, Q), Status> {
        let from = self.gate.admit(frame.header.as_ref())?;
        let question = codec::decode_plain(&frame.body).map_err(|error| Status::invalid_argument(error.to_string()))?;
        Ok((from, question))
    }

    fn answer<A: Serialize>(&self, to: CoordinatorId, answer: &A) -> Response<RaftFrame> {
        let header = Some(self.gate.header_to(to.0));
        Response::new(RaftFrame { header, body: codec::encode_plain(answer), ..RaftFrame::default() })
    }
}

fn stopped(why: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("this coordinator has stopped: {why}"))
}

/// Which of the requests under way are quiet, oldest first. Answers come in the order of the requests.
#[derive(Clone, Default)]
struct Quiet(Arc<Mutex<VecDeque<bool>>>);

impl Quiet {
    fn lock(&self) -> MutexGuard<'_, VecDeque<bool>> {
        // Nothing that is done under the lock can fail halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self, quiet: bool) {
        self.lock().push_back(quiet);
    }

    /// Whether the oldest request without an answer was quiet.
    fn answered(&self) -> bool {
        self.lock().pop_front().unwrap_or(false)
    }
}

/// The requests of a stream of entries, until it ends or something in it cannot be read.
fn requests(
    first: RaftFrame,
    frames: Streaming<RaftFrame>,
    from: CoordinatorId,
    quiet: Quiet,
) -> impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + 'static {
    let first = (!first.body.is_empty()).then_some(Ok(first));
    let decoded = stream::iter(first).chain(frames).map(move |received| {
        let is_quiet = received.as_ref().is_ok_and(|frame| frame.quiet);
        let request = request(received, from);
        if request.is_some() {
            quiet.asked(is_quiet);
        }
        request
    });
    decoded.take_while(|request| future::ready(request.is_some())).filter_map(future::ready)
}

fn request(received: Result<RaftFrame, Status>, from: CoordinatorId) -> Option<AppendEntriesRequest<TypeConfig>> {
    match received {
        Ok(received) => frame::decode_append(received.body)
            .inspect_err(|error| tracing::error!(from = from.0, %error, "an unreadable frame of entries"))
            .ok(),
        // The leader went away, or opened another stream.
        Err(status) => {
            tracing::debug!(from = from.0, %status, "a stream of entries has ended");
            None
        }
    }
}

#[tonic::async_trait]
impl Raft for RaftService {
    type AppendStream = BoxStream<'static, Result<RaftFrame, Status>>;

    async fn append(&self, request: Request<Streaming<RaftFrame>>) -> Result<Response<Self::AppendStream>, Status> {
        let mut frames = request.into_inner();
        let first = tokio::time::timeout(HEADER_MAX, frames.message())
            .await
            .map_err(|_elapsed| Status::deadline_exceeded("no header came"))??
            .ok_or_else(|| Status::invalid_argument("the stream ended before it began"))?;
        let from = self.gate.admit(first.header.as_ref())?;
        let header = RaftFrame { header: Some(self.gate.header_to(from.0)), ..RaftFrame::default() };
        let (quiet, audience) = (Quiet::default(), self.audience.clone());
        let answers = self.raft.stream_append(requests(first, frames, from, quiet.clone()));
        let answers = answers.filter_map(move |answer| {
            let is_quiet = quiet.answered();
            future::ready(match answer {
                Ok(Ok(_)) if is_quiet => None,
                Ok(answer) => {
                    let body = codec::encode_plain(&answer);
                    Some(Ok(RaftFrame { body, audience: audience.is_there(), ..RaftFrame::default() }))
                }
                Err(fatal) => Some(Err(stopped(fatal))),
            })
        });
        Ok(Response::new(stream::iter([Ok(header)]).chain(answers).boxed()))
    }

    async fn vote(&self, request: Request<RaftFrame>) -> Result<Response<RaftFrame>, Status> {
        let (from, question) = self.question::<VoteRequest<TypeConfig>>(request.get_ref())?;
        let answer = self.raft.vote(question).await.map_err(stopped)?;
        Ok(self.answer(from, &answer))
    }

    async fn pre_vote(&self, request: Request<RaftFrame>) -> Result<Response<RaftFrame>, Status> {
        let (from, question) = self.question::<VoteRequest<TypeConfig>>(request.get_ref())?;
        let answer = self.raft.pre_vote(question).await.map_err(stopped)?;
        Ok(self.answer(from, &answer))
    }

    async fn transfer_leader(&self, request: Request<RaftFrame>) -> Result<Response<RaftFrame>, Status> {
        let (from, question) = self.question::<TransferLeaderRequest<TypeConfig>>(request.get_ref())?;
        let answer = self.raft.handle_transfer_leader(question).await.map_err(stopped)?;
        Ok(self.answer(from, &answer))
    }

    type SnapshotStream = ReceiverStream<Result<SnapshotReply, Status>>;

    async fn snapshot(
        &self,
        request: Request<Streaming<SnapshotFrame>>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        self.receiver.clone().begin(request.into_inner()).await.map(Response::new)
    }
}
