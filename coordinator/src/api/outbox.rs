//! A reply stream that is bounded in messages and in bytes: a slow reader holds up its own stream, and never more memory
//! than this.
//!
//! Two accounts limit it. Each stream has its own bytes, and all streams of the node share what the memory budget gives to
//! messages that wait for their connections. Readers that stand still cannot starve the others: while the shared account
//! is empty, a stream goes on with one message at a time.
//!
//! **Invariant:** what waits is at most the shared bytes, and one message of each stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::Stream;
use tonic::Status;

/// Most messages that wait in one stream.
const MESSAGES_MAX: usize = 1024;

/// Most bytes that wait in one stream. One message may be larger, if it is alone.
const BYTES_MAX: u32 = 1 << 20;

/// The receiver has gone away.
#[derive(Debug)]
pub struct Gone;

/// The sending end.
pub struct Outbox<T> {
    messages: mpsc::Sender<Waiting<T>>,
    own: Arc<Semaphore>,
    shared: Arc<Semaphore>,
}

struct Waiting<T> {
    message: Result<T, Status>,
    _room: Option<Room>,
}

/// What a message takes until its connection takes it.
struct Room {
    _own: OwnedSemaphorePermit,
    _shared: Option<OwnedSemaphorePermit>,
}

/// The receiving end, as tonic wants it.
pub struct Messages<T> {
    waiting: mpsc::Receiver<Waiting<T>>,
}

/// Both ends of a stream. `shared` has a permit for each byte that may wait in all of them together.
pub fn outbox<T: Message>(shared: Arc<Semaphore>) -> (Outbox<T>, Messages<T>) {
    let (messages, waiting) = mpsc::channel(MESSAGES_MAX);
    let own = Arc::new(Semaphore::new(BYTES_MAX as usize));
    (Outbox { messages, own, shared }, Messages { waiting })
}

impl<T: Message> Outbox<T> {
    /// Sends a message; waits while the stream is full.
    pub async fn send(&self, message: T) -> Result<(), Gone> {
        let bytes = u32::try_from(message.encoded_len()).unwrap_or(u32::MAX).max(1);
        let room = tokio::select! {
            room = self.room(bytes) => room?,
            () = self.messages.closed() => return Err(Gone),
        };
        self.messages.send(Waiting { message: Ok(message), _room: Some(room) }).await.map_err(|_| Gone)
    }

    /// Ends the stream with an error.
    pub async fn fail(self, status: Status) {
        // Nobody listens any more: then nobody misses the error.
        let _unheard = self.messages.send(Waiting { message: Err(status), _room: None }).await;
    }

    /// Waits until the receiver has gone away.
    pub async fn gone(&self) {
        self.messages.closed().await;
    }

    async fn room(&self, bytes: u32) -> Result<Room, Gone> {
        let shared = self.shared.clone().try_acquire_many_owned(bytes).ok();
        // Without shared room it waits until nothing else of this stream does.
        let own = if shared.is_some() { bytes.min(BYTES_MAX) } else { BYTES_MAX };
        let own = self.own.clone().acquire_many_owned(own).await.map_err(|_| Gone)?;
        Ok(Room { _own: own, _shared: shared })
    }
}

impl<T> Stream for Messages<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.waiting.poll_recv(context).map(|waiting| waiting.map(|waiting| waiting.message))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use flame_proto::v1;
    use futures::FutureExt;
    use tokio_stream::StreamExt;

    use super::*;

    fn task(bytes: usize) -> v1::Task {
        let output = Some(Bytes::from(vec![0; bytes]));
        v1::Task { spec: Some(v1::TaskSpec { output, ..Default::default() }), ..Default::default() }
    }

    fn large() -> v1::Task {
        task(BYTES_MAX as usize / 2 + 1)
    }

    fn shared(bytes: usize) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(bytes))
    }

    /// How many small messages a stream takes whose reader stands still.
    fn taken(outbox: &Outbox<v1::Task>) -> usize {
        (0..MESSAGES_MAX).take_while(|_| outbox.send(task(10_000)).now_or_never().is_some()).count()
    }

    #[tokio::test]
    async fn the_second_large_message_waits_for_the_first_to_leave() {
        let (outbox, mut stream) = outbox(shared(1 << 30));
        outbox.send(large()).await.unwrap();
        let mut second = std::pin::pin!(outbox.send(large()));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(stream.next().await.unwrap().is_ok());
        second.await.unwrap();
        assert!(stream.next().await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn readers_that_stand_still_take_no_more_than_the_shared_room_and_one_message_each() {
        let room = shared(300_000);
        let streams: Vec<_> = (0..5).map(|_| outbox(room.clone())).collect();
        let waiting: Vec<usize> = streams.iter().map(|(outbox, _)| taken(outbox)).collect();
        assert_eq!(waiting.iter().sum::<usize>(), 29 + 4, "{waiting:?}");
        assert!(waiting[1..].iter().all(|count| *count == 1), "everybody has something: {waiting:?}");
    }

    #[tokio::test]
    async fn without_shared_room_a_stream_goes_on_one_by_one() {
        let room = shared(300_000);
        let (stuck, _unread) = outbox(room.clone());
        taken(&stuck);
        let (outbox, mut stream) = outbox(room.clone());
        let sending = async {
            for _ in 0..100 {
                outbox.send(task(10_000)).await.unwrap();
            }
            drop(outbox);
        };
        let reading = async {
            let mut count = 0;
            while let Some(message) = stream.next().await {
                message.unwrap();
                count += 1;
            }
            count
        };
        assert_eq!(futures::join!(sending, reading).1, 100);
    }

    #[tokio::test]
    async fn what_waits_gives_its_room_back_when_its_stream_goes() {
        let room = shared(300_000);
        let (outbox, stream) = outbox(room.clone());
        taken(&outbox);
        drop((outbox, stream));
        assert_eq!(room.available_permits(), 300_000);
    }

    #[tokio::test]
    async fn a_sender_learns_that_nobody_listens() {
        let (outbox, stream) = outbox(shared(1 << 30));
        drop(stream);
        outbox.gone().await;
        assert!(outbox.send(v1::Task::default()).await.is_err());
    }

    #[tokio::test]
    async fn an_error_comes_after_what_was_sent() {
        let (outbox, mut stream) = outbox(shared(1 << 30));
        outbox.send(v1::Task::default()).await.unwrap();
        outbox.fail(Status::unavailable("stopping")).await;
        assert!(stream.next().await.unwrap().is_ok());
        assert_eq!(stream.next().await.unwrap().unwrap_err().message(), "stopping");
        assert!(stream.next().await.is_none());
    }
}
