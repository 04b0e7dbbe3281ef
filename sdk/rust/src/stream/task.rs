//! One submitted task, from acceptance to its end.
//!
//! **Invariant:** whoever holds the writing side ends the task once; dropping it is an end, too: nobody waits for ever.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use flame_types::{TaskNo, TaskState};

use super::queue::Listener;
use crate::FlameError;
use crate::model::State;

/// How a task has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskEnd {
    /// Its number in its session.
    pub task: TaskNo,
    /// Succeed, Failed or Cancelled.
    pub state: State<TaskState>,
    /// What its service gave. Absent is not the same as empty.
    pub output: Option<Bytes>,
    /// What its service said, or why it ended badly.
    pub message: Option<String>,
}

impl TaskEnd {
    /// Whether it ended well.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.state.is(TaskState::Succeed)
    }
}

/// A task on its way. Await it for its end, or drop it if the end does not matter: the task runs all the same.
#[derive(Debug)]
pub struct SubmittedTask {
    slot: Arc<Slot>,
    _listener: Listener,
}

impl SubmittedTask {
    /// Waits until the cluster has it, durably, and gives its number.
    ///
    /// # Errors
    /// Why it was refused; [`FlameError::UnknownOutcome`] when nobody can say whether it was accepted.
    pub async fn accepted(&mut self) -> Result<TaskNo, FlameError> {
        poll_fn(|context| self.slot.poll_accepted(context)).await
    }

    /// Waits for its end: the same as awaiting it.
    ///
    /// # Errors
    /// As [`SubmittedTask::accepted`]; once accepted, why its end can not be learned. A task that failed is no error:
    /// see [`TaskEnd::state`].
    pub async fn result(self) -> Result<TaskEnd, FlameError> {
        self.await
    }
}

impl Future for SubmittedTask {
    type Output = Result<TaskEnd, FlameError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.slot.poll_end(context)
    }
}

#[derive(Debug, Default)]
struct Slot(Mutex<Progress>);

#[derive(Debug, Default)]
struct Progress {
    task: Option<TaskNo>,
    end: Option<Result<TaskEnd, FlameError>>,
    /// There was an end, taken or not.
    has_ended: bool,
    /// Whoever waits for its number, and whoever waits for its end, may be different: neither takes the place of the
    /// other.
    on_accepted: Option<Waker>,
    on_end: Option<Waker>,
}

impl Slot {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().expect("no code panics while it holds this lock")
    }

    fn poll_accepted(&self, context: &mut Context<'_>) -> Poll<Result<TaskNo, FlameError>> {
        let mut progress = self.progress();
        match (progress.task, &progress.end) {
            (Some(task), _) => Poll::Ready(Ok(task)),
            (None, Some(Err(error))) => Poll::Ready(Err(error.clone())),
            (None, Some(Ok(end))) => Poll::Ready(Ok(end.task)),
            (None, None) if progress.has_ended => Poll::Ready(Err(taken())),
            (None, None) => wait(&mut progress.on_accepted, context),
        }
    }

    fn poll_end(&self, context: &mut Context<'_>) -> Poll<Result<TaskEnd, FlameError>> {
        let mut progress = self.progress();
        match progress.end.take() {
            Some(end) => Poll::Ready(end),
            None if progress.has_ended => Poll::Ready(Err(taken())),
            None => wait(&mut progress.on_end, context),
        }
    }
}

fn wait<T>(waker: &mut Option<Waker>, context: &Context<'_>) -> Poll<T> {
    match waker {
        Some(waker) => waker.clone_from(context.waker()),
        None => *waker = Some(context.waker().clone()),
    }
    Poll::Pending
}

fn taken() -> FlameError {
    FlameError::Internal("the end of this task has been taken already".to_owned())
}

/// The side of the stream.
#[derive(Debug)]
pub(super) struct Writer(Arc<Slot>);

/// Both sides of a new task.
pub(super) fn task(listener: Listener) -> (Writer, SubmittedTask) {
    let slot = Arc::new(Slot::default());
    (Writer(Arc::clone(&slot)), SubmittedTask { slot, _listener: listener })
}

impl Writer {
    /// Whether anybody can still ask.
    pub(super) fn is_heard(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    pub(super) fn accept(&self, task: TaskNo) {
        let waker = {
            let mut progress = self.0.progress();
            progress.task = Some(task);
            progress.on_accepted.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    pub(super) fn end(self, end: Result<TaskEnd, FlameError>) {
        self.settle(|| end);
    }

    fn settle(&self, end: impl FnOnce() -> Result<TaskEnd, FlameError>) {
        let wakers = {
            let mut progress = self.0.progress();
            if progress.has_ended {
                return;
            }
            progress.has_ended = true;
            progress.end = Some(end());
            [progress.on_accepted.take(), progress.on_end.take()]
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.settle(|| Err(abandoned()));
    }
}

/// What is told when the background task of a stream is gone, as at the end of the runtime.
pub(super) fn abandoned() -> FlameError {
    FlameError::Internal("the background task of this stream has ended".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::queue::Queue;
    use super::*;

    fn new() -> (Writer, SubmittedTask) {
        task(Queue::new().listener())
    }

    #[tokio::test]
    async fn it_is_accepted_and_then_ends() {
        let (writer, mut task) = new();
        let end = TaskEnd { task: TaskNo(3), state: TaskState::Succeed.into(), output: None, message: None };
        let told = end.clone();
        let writing = tokio::spawn(async move {
            writer.accept(TaskNo(3));
            tokio::task::yield_now().await;
            writer.end(Ok(told));
        });
        assert_eq!(task.accepted().await, Ok(TaskNo(3)));
        assert_eq!(task.result().await, Ok(end));
        writing.await.unwrap();
    }

    #[tokio::test]
    async fn whoever_asks_for_the_number_does_not_take_the_place_of_whoever_waits_for_the_end() {
        use futures::stream::{FuturesUnordered, StreamExt};
        let (writer, task) = new();
        let mut waiting = FuturesUnordered::from_iter([task]);
        assert!(futures::poll!(waiting.next()).is_pending());
        {
            let first = waiting.iter_mut().next().unwrap();
            let mut accepted = std::pin::pin!(first.accepted());
            assert!(futures::poll!(accepted.as_mut()).is_pending());
            writer.accept(TaskNo(3));
            assert_eq!(accepted.await, Ok(TaskNo(3)));
        }
        writer.end(Err(FlameError::NotFound("s".to_owned())));
        assert_eq!(waiting.next().await.unwrap().unwrap_err().class(), "not_found");
    }

    #[tokio::test]
    async fn a_refusal_ends_both_waits() {
        let (writer, mut task) = new();
        writer.end(Err(FlameError::NotFound("s".to_owned())));
        assert_eq!(task.accepted().await.unwrap_err().class(), "not_found");
        assert_eq!(task.result().await.unwrap_err().class(), "not_found");
    }

    #[tokio::test]
    async fn nobody_waits_for_a_stream_that_is_gone() {
        let (writer, task) = new();
        assert!(writer.is_heard());
        drop(writer);
        assert_eq!(task.await.unwrap_err().class(), "internal");
        let (writer, task) = new();
        drop(task);
        assert!(!writer.is_heard());
    }
}
