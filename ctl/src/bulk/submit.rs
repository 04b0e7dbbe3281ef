//! Submitting like tasks and learning how they end: over one stream, or call by call where coordinators have no streams.

use bytes::Bytes;
use flame_sdk::model::Task;
use flame_sdk::types::TaskNo;
use flame_sdk::{Connection, FlameError, SessionStream, SubmittedTask, TaskEnd};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;

use super::progress;
use crate::exit::Failure;

/// Most submits under way at a time where coordinators have no streams.
pub const SUBMITS_IN_FLIGHT_MAX: usize = 256;

/// Most tasks of a stream whose ends are waited for at a time.
pub const TASKS_UNDER_WAY_MAX: usize = 65_536;

/// What is submitted.
pub(crate) struct Bulk<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) session: &'a str,
    pub(crate) tasks: u64,
    pub(crate) input: Option<Bytes>,
    /// Whether every end is wanted, or only how many were good.
    pub(crate) keep_ends: bool,
    /// Whether a bar says how far it is.
    pub(crate) shows_progress: bool,
}

/// What became of them.
#[derive(Default)]
pub(crate) struct Results {
    pub(crate) ends: Vec<TaskEnd>,
    pub(crate) succeeded: u64,
}

impl Bulk<'_> {
    /// Submits all tasks and waits for all ends, both at the same time.
    pub(crate) async fn run(self) -> Result<Results, Failure> {
        match self.connection.open_stream(self.session).await {
            Ok(stream) => self.over(&stream).await,
            Err(FlameError::Unimplemented(_)) => self.call_by_call().await,
            Err(error) => Err(error.into()),
        }
    }

    async fn over(&self, stream: &SessionStream) -> Result<Results, Failure> {
        let (handles, under_way) = mpsc::channel::<SubmittedTask>(TASKS_UNDER_WAY_MAX);
        let submit = async move {
            for _ in 0..self.tasks {
                let task = stream.submit(self.input.clone()).await?;
                if handles.send(task).await.is_err() {
                    // The collector has failed, and says why.
                    break;
                }
            }
            Ok::<(), Failure>(())
        };
        let ends = stream::unfold(under_way, |mut under_way| async move {
            let task = under_way.recv().await?;
            Some((task.await, under_way))
        });
        let ((), results) = futures::try_join!(submit, self.collect(ends))?;
        Ok(results)
    }

    async fn call_by_call(&self) -> Result<Results, Failure> {
        let (watcher, updates) = self.connection.watch_tasks(self.session);
        let submit = async move {
            stream::iter(0..self.tasks)
                .map(|_| self.connection.create_task(self.session, self.input.clone()))
                .buffer_unordered(SUBMITS_IN_FLIGHT_MAX)
                .try_fold(watcher, |watcher, task| async move {
                    watcher.add(task.number()?).await?;
                    Ok(watcher)
                })
                .await
                .map(drop)
                .map_err(Failure::from)
        };
        let ended = |task: Task| async move { Ok(task.is_terminal().then_some(task)) };
        let ends = updates.try_filter_map(ended).map(|task| task.and_then(|task| end(&task)));
        let ((), results) = futures::try_join!(submit, self.collect(ends))?;
        Ok(results)
    }

    async fn collect(&self, ends: impl Stream<Item = Result<TaskEnd, FlameError>>) -> Result<Results, Failure> {
        let bar = if self.shows_progress { progress::bar(self.tasks) } else { progress::none() };
        let mut results = Results::default();
        let mut ends = std::pin::pin!(ends);
        while let Some(end) = ends.try_next().await? {
            results.succeeded += u64::from(end.succeeded());
            bar.inc(1);
            if self.keep_ends {
                results.ends.push(end);
            }
        }
        bar.finish();
        Ok(results)
    }
}

/// How a task has ended that was followed by a watch.
fn end(task: &Task) -> Result<TaskEnd, FlameError> {
    let number: TaskNo = task.number()?;
    let message = task.failure().map(str::to_owned);
    Ok(TaskEnd { task: number, state: task.status.state, output: task.spec.output.clone(), message })
}
