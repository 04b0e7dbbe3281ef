//! A list of tasks, and their results.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flame_types::TaskNo;
use futures::stream::{BoxStream, FuturesUnordered};
use futures::{Stream, StreamExt, stream};

use super::handle::Session;
use super::options::TaskOptions;
use super::task::output_of;
use crate::FlameError;
use crate::codec::FromTaskOutput;
use crate::stream::{SubmittedTask, TaskEnd};

/// Orders to cancel that are under way at a time.
const CANCELS_AT_A_TIME: usize = 256;

/// Tasks that were submitted together ([`Session::submit_many`]). As a stream it gives each output with the place of its
/// input in the list, first come, first served, and ends after the last; a task that ended badly is an error at its
/// place. [`Results::in_order`] gives them in the order of the inputs.
///
/// Dropping it ends no task.
pub struct Results<O> {
    session: Session,
    waiting: FuturesUnordered<Placed>,
    output: PhantomData<fn() -> O>,
}

/// A task, and the place of its input.
struct Placed {
    at: usize,
    task: SubmittedTask,
}

impl Future for Placed {
    type Output = (usize, Result<TaskEnd, FlameError>);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let end = ready!(Pin::new(&mut self.task).poll(context));
        Poll::Ready((self.at, end))
    }
}

impl<O: FromTaskOutput> Results<O> {
    pub(super) async fn submit(
        session: &Session,
        inputs: Vec<Option<Bytes>>,
        options: &TaskOptions,
    ) -> Result<Self, FlameError> {
        let waiting = FuturesUnordered::new();
        for (at, input) in inputs.into_iter().enumerate() {
            waiting.push(Placed { at, task: session.submit(input, options).await? });
        }
        Ok(Self { session: session.clone(), waiting, output: PhantomData })
    }

    /// How many results have not been read.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether all results have been read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Waits until the cluster has all tasks whose results were not read, durably; gives their numbers, in the order of
    /// their inputs.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let session = flame_sdk::create_session("echo-rust").await?;
    /// let mut results = session.submit_many::<_, String>(["a", "b"]).await?;
    /// let numbers = results.accepted().await?;
    /// assert!(numbers[0] < numbers[1]);
    /// # flame_sdk::StreamExt::count(results).await;
    /// # session.close().await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// The first refusal; others may have been accepted. [`FlameError::UnknownOutcome`] when nobody can say.
    pub async fn accepted(&mut self) -> Result<Vec<TaskNo>, FlameError> {
        let mut numbers = Vec::with_capacity(self.waiting.len());
        for placed in &mut self.waiting {
            numbers.push((placed.at, placed.task.accepted().await?));
        }
        numbers.sort_unstable();
        Ok(numbers.into_iter().map(|(_, number)| number).collect())
    }

    /// Ends all tasks whose results were not read, whether they run or not. Their results still come: those that were
    /// quicker have their output.
    ///
    /// # Errors
    /// [`FlameError::UnknownOutcome`] when nobody can say whether it was done, or why they cannot be cancelled. Others
    /// may have been.
    pub async fn cancel(&mut self) -> Result<(), FlameError> {
        let numbers = self.accepted().await?;
        let session = &self.session;
        let mut cancels =
            stream::iter(numbers).map(|number| session.cancel(number)).buffer_unordered(CANCELS_AT_A_TIME);
        while let Some(cancelled) = cancels.next().await {
            match cancelled {
                // It has ended by itself.
                Ok(()) | Err(FlameError::FailedPrecondition(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The results that were not read, in the order of their inputs. One that is late holds up those behind it, which
    /// wait in memory.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// use flame_sdk::StreamExt;
    ///
    /// let session = flame_sdk::create_session("echo-rust").await?;
    /// let mut results = session.submit_many::<_, String>(["a", "b"]).await?.in_order();
    /// assert_eq!(results.next().await.transpose()?.as_deref(), Some("a"));
    /// assert_eq!(results.next().await.transpose()?.as_deref(), Some("b"));
    /// assert!(results.next().await.is_none());
    /// # session.close().await?;
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn in_order(self) -> BoxStream<'static, Result<O, FlameError>>
    where
        O: Send + 'static,
    {
        let Self { session, waiting, .. } = self;
        let mut placed: Vec<_> = waiting.into_iter().collect();
        placed.sort_unstable_by_key(|placed| placed.at);
        let ends = stream::iter(placed).then(|placed| placed);
        ends.map(move |(_, end)| end.and_then(|end| output_of(session.id(), end))).boxed()
    }
}

impl<O: FromTaskOutput> Stream for Results<O> {
    type Item = (usize, Result<O, FlameError>);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.waiting.poll_next_unpin(context));
        Poll::Ready(next.map(|(at, end)| (at, end.and_then(|end| output_of(self.session.id(), end)))))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.waiting.len(), Some(self.waiting.len()))
    }
}

impl<O> std::fmt::Debug for Results<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Results").field("session", &self.session).field("unread", &self.waiting.len()).finish()
    }
}
