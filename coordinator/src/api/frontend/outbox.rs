//! A reply stream of tasks, bounded in messages and in bytes: a slow reader holds up its own stream, and never more
//! memory than this.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use flame_proto::v1;
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::Stream;
use tonic::Status;

/// Most messages that wait in one stream.
const MESSAGES_MAX: usize = 1024;

/// Most bytes that wait in one stream.
const BYTES_MAX: u32 = 8 << 20;

/// The receiver has gone away.
#[derive(Debug)]
pub struct Gone;

/// The sending end.
pub struct Outbox {
    messages: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
}

type Waiting = (Result<v1::Task, Status>, Option<OwnedSemaphorePermit>);

/// The receiving end, as tonic wants it.
pub struct TaskStream {
    messages: mpsc::Receiver<Waiting>,
}

/// Both ends.
pub fn outbox() -> (Outbox, TaskStream) {
    let (sender, messages) = mpsc::channel(MESSAGES_MAX);
    let room = Arc::new(Semaphore::new(BYTES_MAX as usize));
    (Outbox { messages: sender, room }, TaskStream { messages })
}

impl Outbox {
    /// Sends a task; waits while the stream is full.
    pub async fn send(&self, task: v1::Task) -> Result<(), Gone> {
        let bytes = u32::try_from(task.encoded_len()).unwrap_or(u32::MAX).clamp(1, BYTES_MAX);
        let room = tokio::select! {
            room = self.room.clone().acquire_many_owned(bytes) => room.map_err(|_| Gone)?,
            () = self.messages.closed() => return Err(Gone),
        };
        self.messages.send((Ok(task), Some(room))).await.map_err(|_| Gone)
    }

    /// Ends the stream with an error.
    pub async fn fail(self, status: Status) {
        // Nobody listens any more: then nobody misses the error.
        let _unheard = self.messages.send((Err(status), None)).await;
    }

    /// Waits until the receiver has gone away.
    pub async fn gone(&self) {
        self.messages.closed().await;
    }
}

impl Stream for TaskStream {
    type Item = Result<v1::Task, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.messages.poll_recv(context).map(|message| message.map(|(task, _room)| task))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio_stream::StreamExt;

    use super::*;

    fn large() -> v1::Task {
        let output = Some(Bytes::from(vec![0; BYTES_MAX as usize / 2 + 1]));
        v1::Task { spec: Some(v1::TaskSpec { output, ..Default::default() }), ..Default::default() }
    }

    #[tokio::test]
    async fn the_second_large_task_waits_for_the_first_to_leave() {
        let (outbox, mut stream) = outbox();
        outbox.send(large()).await.unwrap();
        let second = tokio::spawn(async move { outbox.send(large()).await });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        assert!(stream.next().await.unwrap().is_ok());
        assert!(stream.next().await.unwrap().is_ok());
        second.await.unwrap().unwrap();
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn a_sender_learns_that_nobody_listens() {
        let (outbox, stream) = outbox();
        drop(stream);
        outbox.gone().await;
        assert!(outbox.send(v1::Task::default()).await.is_err());
    }

    #[tokio::test]
    async fn an_error_comes_after_what_was_sent() {
        let (outbox, mut stream) = outbox();
        outbox.send(v1::Task::default()).await.unwrap();
        outbox.fail(Status::unavailable("stopping")).await;
        assert!(stream.next().await.unwrap().is_ok());
        assert_eq!(stream.next().await.unwrap().unwrap_err().message(), "stopping");
        assert!(stream.next().await.is_none());
    }
}
