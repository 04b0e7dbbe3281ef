//! One task on its way, and its end.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use flame_types::{TaskNo, TaskState};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};

use super::handle::Session;
use crate::codec::FromTaskOutput;
use crate::model::State;
use crate::stream::{SubmittedTask, TaskEnd};
use crate::{Connection, FlameError};

/// How a task has ended, whatever the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskResult<O> {
    /// Its number in its session.
    pub task_id: TaskNo,
    /// The session.
    pub session_id: String,
    /// Succeed, Failed or Cancelled.
    pub state: State<TaskState>,
    /// What its service gave, if it succeeded.
    pub output: Option<O>,
    /// What its service said, or why it ended badly.
    pub error_message: Option<String>,
}

impl<O> TaskResult<O> {
    /// Whether it ended well.
    #[must_use]
    pub fn is_succeed(&self) -> bool {
        self.state.is(TaskState::Succeed)
    }

    /// Whether it ended badly.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.state.is(TaskState::Failed)
    }

    /// Whether somebody ended it.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.state.is(TaskState::Cancelled)
    }

    /// The output of a task that ended well.
    ///
    /// # Errors
    /// [`FlameError::TaskFailed`] or [`FlameError::TaskCancelled`], with what its service said.
    pub fn into_output(self) -> Result<O, FlameError> {
        match self.output {
            Some(output) => Ok(output),
            None => Err(bad_end(&self.session_id, self.task_id, &self.state, self.error_message.as_deref())),
        }
    }
}

/// A task on its way, as [`Session::run`] gives it. Awaiting it gives a [`TaskResult`], whatever the end. May be dropped:
/// the task runs all the same.
///
/// ```
/// # flame_sdk::__private::example(async {
/// let session = flame_sdk::create_session("echo-rust").await?;
/// let task = session.run::<_, String>("hello").await?;
/// let result = task.await?;
/// assert!(result.is_succeed(), "{:?}", result.error_message);
/// assert_eq!(result.output.as_deref(), Some("hello"));
/// # session.close().await?;
/// # Ok(()) });
/// ```
#[derive(Debug)]
#[must_use = "the task runs, and nobody learns how it ends; await it, or drop it on purpose"]
pub struct TaskFuture<O> {
    task: OnItsWay,
    session: Session,
    output: PhantomData<fn() -> O>,
}

/// Where the end of a task comes from.
enum OnItsWay {
    /// The stream that it was submitted over.
    Stream(SubmittedTask),
    /// A watch of a task that may have been there before.
    Watch(TaskNo, BoxFuture<'static, Result<TaskEnd, FlameError>>),
    /// A watch that has told it.
    Told(TaskNo),
}

impl std::fmt::Debug for OnItsWay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stream(task) => task.fmt(f),
            Self::Watch(number, _) | Self::Told(number) => f.debug_tuple("Watch").field(number).finish(),
        }
    }
}

impl OnItsWay {
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<TaskEnd, FlameError>> {
        match self {
            Self::Stream(task) => Pin::new(task).poll(context),
            Self::Watch(number, end) => {
                let end = ready!(end.as_mut().poll(context));
                *self = Self::Told(*number);
                Poll::Ready(end)
            }
            Self::Told(number) => {
                Poll::Ready(Err(FlameError::Internal(format!("the end of task {number} has been taken already"))))
            }
        }
    }
}

impl<O: FromTaskOutput> TaskFuture<O> {
    pub(super) fn new(task: SubmittedTask, session: Session) -> Self {
        Self { task: OnItsWay::Stream(task), session, output: PhantomData }
    }

    /// A task that the cluster has, and that may have ended.
    pub(super) fn watched(task: TaskNo, session: Session) -> Self {
        let end = watched_end(session.connection().clone(), session.id().to_owned(), task);
        Self { task: OnItsWay::Watch(task, end.boxed()), session, output: PhantomData }
    }

    /// Waits until the cluster has the task, durably, and gives its number.
    ///
    /// # Errors
    /// Why it was refused; [`FlameError::UnknownOutcome`] when nobody can say whether it was accepted.
    pub async fn accepted(&mut self) -> Result<TaskNo, FlameError> {
        match &mut self.task {
            OnItsWay::Stream(task) => task.accepted().await,
            OnItsWay::Watch(number, _) | OnItsWay::Told(number) => Ok(*number),
        }
    }

    /// Ends the task, whether it runs or not. Await it afterwards to see how it ended: it may have been quicker.
    ///
    /// # Errors
    /// [`FlameError::FailedPrecondition`] when it has ended already; [`FlameError::UnknownOutcome`] when nobody can say
    /// whether it was done.
    pub async fn cancel(&mut self) -> Result<(), FlameError> {
        let task = self.accepted().await?;
        self.session.cancel(task).await
    }

    /// Waits for the end, but no longer than `limit`. The task goes on afterwards, and so may the wait.
    ///
    /// # Errors
    /// [`FlameError::TimedOut`] when it has not ended by then; else as awaiting it.
    pub async fn timeout(&mut self, limit: Duration) -> Result<TaskResult<O>, FlameError> {
        tokio::time::timeout(limit, &mut *self).await.unwrap_or_else(|_| Err(late(limit)))
    }
}

impl<O: FromTaskOutput> Future for TaskFuture<O> {
    type Output = Result<TaskResult<O>, FlameError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let end = ready!(self.task.poll_end(context));
        Poll::Ready(end.and_then(|end| result_of(self.session.id(), end)))
    }
}

/// A task on its way, as [`Session::invoke`] gives it. Awaiting it gives the output; a task that ended badly is an error.
/// May be dropped: the task runs all the same.
///
/// ```
/// # flame_sdk::__private::example(async {
/// use std::time::Duration;
///
/// use flame_sdk::FlameError;
///
/// let session = flame_sdk::create_session("echo-rust").await?;
/// let mut task = session.invoke::<_, String>("hello").await?;
/// match task.timeout(Duration::from_secs(30)).await {
///     Ok(text) => assert_eq!(text, "hello"),
///     Err(FlameError::TimedOut(_)) => task.cancel().await?,
///     Err(error) => return Err(error),
/// }
/// # session.close().await?;
/// # Ok(()) });
/// ```
#[derive(Debug)]
#[must_use = "the task runs, and nobody learns how it ends; await it, or drop it on purpose"]
pub struct TaskHandle<O>(TaskFuture<O>);

impl<O: FromTaskOutput> TaskHandle<O> {
    /// Waits until the cluster has the task, durably, and gives its number.
    ///
    /// # Errors
    /// As [`TaskFuture::accepted`].
    pub async fn accepted(&mut self) -> Result<TaskNo, FlameError> {
        self.0.accepted().await
    }

    /// Ends the task, whether it runs or not. Await it afterwards to see how it ended: it may have been quicker.
    ///
    /// # Errors
    /// As [`TaskFuture::cancel`].
    pub async fn cancel(&mut self) -> Result<(), FlameError> {
        self.0.cancel().await
    }

    /// Waits for the output, but no longer than `limit`. The task goes on afterwards, and so may the wait.
    ///
    /// # Errors
    /// [`FlameError::TimedOut`] when it has not ended by then; else as awaiting it.
    pub async fn timeout(&mut self, limit: Duration) -> Result<O, FlameError> {
        tokio::time::timeout(limit, &mut *self).await.unwrap_or_else(|_| Err(late(limit)))
    }
}

impl<O> From<TaskFuture<O>> for TaskHandle<O> {
    fn from(task: TaskFuture<O>) -> Self {
        Self(task)
    }
}

impl<O: FromTaskOutput> Future for TaskHandle<O> {
    type Output = Result<O, FlameError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let task = &mut self.0;
        let end = ready!(task.task.poll_end(context));
        Poll::Ready(end.and_then(|end| output_of(task.session.id(), end)))
    }
}

/// Waits for the end of a task that may have ended long ago.
async fn watched_end(connection: Connection, session: String, task: TaskNo) -> Result<TaskEnd, FlameError> {
    let (watcher, mut updates) = connection.watch_tasks(&session);
    watcher.add(task).await?;
    drop(watcher);
    while let Some(update) = updates.next().await {
        let update = update?;
        if update.is_terminal() {
            let message = update.failure().map(str::to_owned);
            return Ok(TaskEnd { task, state: update.status.state, output: update.spec.output, message });
        }
    }
    Err(FlameError::Internal(format!("the watch of task {task} of session {session} ended before the task")))
}

/// The output of a task that ended well, or what its end says.
pub(super) fn output_of<O: FromTaskOutput>(session: &str, end: TaskEnd) -> Result<O, FlameError> {
    if end.succeeded() {
        return O::from_task_output(end.output);
    }
    Err(bad_end(session, end.task, &end.state, end.message.as_deref()))
}

fn result_of<O: FromTaskOutput>(session: &str, end: TaskEnd) -> Result<TaskResult<O>, FlameError> {
    let output = if end.succeeded() { Some(O::from_task_output(end.output)?) } else { None };
    let TaskEnd { task, state, message, .. } = end;
    Ok(TaskResult { task_id: task, session_id: session.to_owned(), state, output, error_message: message })
}

fn bad_end(session: &str, task: TaskNo, state: &State<TaskState>, message: Option<&str>) -> FlameError {
    let because = message.map(|message| format!(": {message}")).unwrap_or_default();
    if state.is(TaskState::Cancelled) {
        FlameError::TaskCancelled(format!("task {task} of session {session} was cancelled{because}"))
    } else {
        FlameError::TaskFailed(format!("task {task} of session {session} failed{because}"))
    }
}

fn late(limit: Duration) -> FlameError {
    FlameError::TimedOut(format!("the task has not ended within {} s; it goes on", limit.as_secs_f64()))
}
