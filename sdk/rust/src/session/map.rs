//! Tasks of an iterator, so many at a time.
//!
//! **Invariant:** at most so many tasks are under way, or have ended without their result having been read, as
//! [`Map::in_flight`] says. An input is taken only when there is a place for it.

use std::future::Future;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};

use super::handle::Session;
use super::options::TaskOptions;
use super::task::output_of;
use crate::FlameError;
use crate::codec::FromTaskOutput;

/// How many tasks of a [`Map`] are under way at a time unless it says otherwise: enough to keep a cluster busy with tasks
/// that take no time.
pub const MAP_IN_FLIGHT: usize = 4096;

/// A task for each input of an iterator ([`Session::map`]). Nothing begins before its results are read, by one of
/// [`Map::as_completed`], [`Map::in_order`] and [`Map::collect`].
#[must_use = "no task begins before results are read"]
pub struct Map<'a, O> {
    session: Session,
    inputs: BoxStream<'a, Result<Option<Bytes>, FlameError>>,
    options: TaskOptions,
    in_flight: usize,
    output: std::marker::PhantomData<fn() -> O>,
}

impl<'a, O: FromTaskOutput + Send + 'a> Map<'a, O> {
    pub(super) fn new(
        session: &Session,
        inputs: impl Iterator<Item = Result<Option<Bytes>, FlameError>> + Send + 'a,
    ) -> Self {
        Self {
            session: session.clone(),
            inputs: stream::iter(inputs).boxed(),
            options: TaskOptions::default(),
            in_flight: MAP_IN_FLIGHT,
            output: std::marker::PhantomData,
        }
    }

    /// At most so many tasks are under way or unread ([`MAP_IN_FLIGHT`] unless said otherwise); at least one is.
    pub fn in_flight(mut self, tasks: usize) -> Self {
        self.in_flight = tasks.max(1);
        self
    }

    /// What is asked of every task beside its input.
    pub fn options(mut self, options: &TaskOptions) -> Self {
        self.options = options.clone();
        self
    }

    /// The outputs as they come, each with the place of its input, from 0. An error stands at the place of its input
    /// and ends nothing else.
    #[must_use]
    pub fn as_completed(self) -> BoxStream<'a, (usize, Result<O, FlameError>)> {
        let in_flight = self.in_flight;
        let tasks = self.tasks().enumerate().map(|(at, task)| async move { (at, task.await) });
        tasks.buffer_unordered(in_flight).boxed()
    }

    /// The outputs in the order of the inputs. One that is late holds up those behind it: so many at most as are under
    /// way.
    #[must_use]
    pub fn in_order(self) -> BoxStream<'a, Result<O, FlameError>> {
        let in_flight = self.in_flight;
        self.tasks().buffered(in_flight).boxed()
    }

    /// All outputs, in the order of the inputs.
    ///
    /// # Errors
    /// The first error by the order of inputs. Tasks that are under way then go on; no others begin.
    pub async fn collect(self) -> Result<Vec<O>, FlameError> {
        let mut results = self.in_order();
        let mut outputs = Vec::new();
        while let Some(output) = results.next().await {
            outputs.push(output?);
        }
        Ok(outputs)
    }

    /// Every task from its submit to its output.
    fn tasks(self) -> BoxStream<'a, impl Future<Output = Result<O, FlameError>> + Send + use<'a, O>> {
        let Self { session, inputs, options, .. } = self;
        let task = move |input: Result<Option<Bytes>, FlameError>| {
            let (session, options) = (session.clone(), options.clone());
            async move {
                let end = session.submit(input?, &options).await?.await?;
                output_of(session.id(), end)
            }
        };
        inputs.map(task).boxed()
    }
}

impl<O> std::fmt::Debug for Map<'_, O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Map")
            .field("session", &self.session)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}
