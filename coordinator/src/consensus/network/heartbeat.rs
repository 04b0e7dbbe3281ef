//! Heartbeats: one question after the other on a stream that stays open. A stream for each of them would cost the opening,
//! both headers and a task on either side, ten times a second for every peer of an idle cluster.
//!
//! **Invariant:** an answer belongs to the question before it: a stream whose answer did not come, because nobody waited
//! for it any more or anything else went wrong, is not used again.

use flame_proto::ha::RaftFrame;
use flame_storage::{TypeConfig, codec};
use futures::stream::{self, BoxStream, Stream, StreamExt};
use openraft::errors::RPCError;
use openraft::network::RPCOption;
use openraft::raft::AppendEntriesRequest;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::append::Answer;
use super::{Client, frame, unreachable};

/// The standing stream to a peer, if there is one.
#[derive(Default)]
pub(super) struct Heartbeat(Option<Standing>);

struct Standing {
    questions: mpsc::Sender<RaftFrame>,
    answers: Streaming<RaftFrame>,
}

impl Client {
    /// Asks what the input holds, which for a heartbeat is one question, and gives the answers.
    pub(super) async fn beat(
        &mut self,
        mut input: impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin,
        option: &RPCOption,
    ) -> Result<BoxStream<'static, Answer>, RPCError<TypeConfig>> {
        let mut answers: Vec<Answer> = Vec::new();
        while let Some(request) = input.next().await {
            let question = RaftFrame { body: frame::encode_append(request), ..RaftFrame::default() };
            answers.push(Ok(self.ask_standing(question, option).await?));
        }
        Ok(stream::iter(answers).boxed())
    }

    async fn ask_standing(
        &mut self,
        question: RaftFrame,
        option: &RPCOption,
    ) -> Result<openraft::raft::StreamAppendResult<TypeConfig>, RPCError<TypeConfig>> {
        // It comes back only with its answer: this may be dropped at any await.
        let kept = self.heartbeat.as_mut().and_then(|heartbeat| heartbeat.0.take());
        let mut standing = match kept {
            Some(standing) => standing,
            None => self.stand(option).await?,
        };
        standing.questions.send(question).await.map_err(|_closed| unreachable("the stream of heartbeats has ended"))?;
        let frame = standing.answers.message().await.map_err(|status| self.refused(status))?;
        let frame = frame.ok_or_else(|| unreachable("the peer has ended the stream of heartbeats"))?;
        self.audience.heard(frame.audience);
        let answer = codec::decode_plain(&frame.body).map_err(unreachable)?;
        if let (Some(heartbeat), Ok(_)) = (self.heartbeat.as_mut(), &answer) {
            // After a refusal the peer ends the stream.
            heartbeat.0 = Some(standing);
        }
        Ok(answer)
    }

    async fn stand(&self, option: &RPCOption) -> Result<Standing, RPCError<TypeConfig>> {
        let (questions, outgoing) = mpsc::channel(1);
        let answers = self.open_in_time(ReceiverStream::new(outgoing), option).await?;
        Ok(Standing { questions, answers })
    }
}
