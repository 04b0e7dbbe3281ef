//! The handle of a program: submit, cancel, close.

use std::sync::Arc;

use bytes::Bytes;
use flame_types::limits::TASK_PAYLOAD_BYTES_MAX;
use flame_types::{TaskNo, TaskOptions};
use tokio::sync::oneshot;

use super::driver::Driver;
use super::group::{SubmittedTasks, group};
use super::queue::{Queue, Receiver, Submission, Submitter};
use super::task::{SubmittedTask, abandoned, task};
use crate::{Connection, FlameError};

/// Submits tasks of one session over one stream. Cheap to clone; clones share the stream.
///
/// It ends by itself, in the background, once every handle of it and of its tasks is dropped: what was submitted is
/// still sent and answered. [`SessionStream::close`] waits for that.
#[derive(Clone, Debug)]
pub struct SessionStream {
    queue: Submitter,
}

impl Connection {
    /// Opens a stream for the tasks of `session`. It goes to the leader, if that is among the endpoints.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// let session = connection.create_session_with("echo-rust").await?;
    /// let stream = connection.open_stream(session.id()).await?;
    /// let end = stream.submit(Some("\"hello\"".into())).await?.await?;
    /// assert!(end.succeeded());
    /// stream.close().await?;
    /// # session.close().await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::NotFound`] when there is no such session; [`FlameError::Unavailable`] when no coordinator answers
    /// until the deadline; [`FlameError::Unimplemented`] when the coordinators do not have this stream: use
    /// [`Connection::create_task`] there.
    pub async fn open_stream(&self, session: &str) -> Result<SessionStream, FlameError> {
        self.turn_to_leader().await;
        let queue = Queue::new();
        let stream = SessionStream { queue: queue.submitter() };
        Driver::start(self, session, queue).await.map_err(|_| abandoned())??;
        Ok(stream)
    }
}

impl SessionStream {
    /// Submits one task. Waits only while there is no room ([`super::ROOM_BYTES_MAX`], [`super::UNFINISHED_TASKS_MAX`]);
    /// what becomes of the task is told by what this returns. However often a task has to be sent until an answer
    /// arrives, it becomes one task. Tasks submitted one after the other keep their order.
    ///
    /// # Errors
    /// [`FlameError::InvalidArgument`] when the input is too large; otherwise why the stream is over. In both cases
    /// nothing was done.
    pub async fn submit(&self, input: Option<Bytes>) -> Result<SubmittedTask, FlameError> {
        self.submit_one(input, None).await
    }

    /// The same with options. They are best shared by many tasks: only tasks that are asked for alike travel together.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// use std::sync::Arc;
    ///
    /// use flame_sdk::types::TaskOptions;
    ///
    /// let connection = flame_sdk::connect().await?;
    /// let session = connection.create_session_with("echo-rust").await?;
    /// let stream = connection.open_stream(session.id()).await?;
    /// let urgent = Arc::new(TaskOptions { priority: 10, ..TaskOptions::default() });
    /// let task = stream.submit_with(Some("\"hello\"".into()), &urgent).await?;
    /// assert!(task.await?.succeeded());
    /// # session.close().await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`SessionStream::submit`].
    pub async fn submit_with(
        &self,
        input: Option<Bytes>,
        options: &Arc<TaskOptions>,
    ) -> Result<SubmittedTask, FlameError> {
        self.submit_one(input, checked(options)?).await
    }

    /// Submits one task for each input, with the same options. They may be accepted in several parts.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// use flame_sdk::StreamExt;
    ///
    /// let connection = flame_sdk::connect().await?;
    /// let session = connection.create_session_with("echo-rust").await?;
    /// let stream = connection.open_stream(session.id()).await?;
    /// let inputs = vec![Some("1".into()), Some("2".into())];
    /// let mut tasks = stream.submit_many(inputs, &<_>::default()).await?;
    /// println!("{:?}", tasks.accepted().await?);
    /// while let Some(end) = tasks.next().await {
    ///     println!("{:?}", end?);
    /// }
    /// # session.close().await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`SessionStream::submit`], but the first of them may have been submitted.
    pub async fn submit_many(
        &self,
        inputs: Vec<Option<Bytes>>,
        options: &Arc<TaskOptions>,
    ) -> Result<SubmittedTasks, FlameError> {
        inputs.iter().try_for_each(|input| check(input.as_ref()))?;
        let options = checked(options)?;
        let queue = &self.queue.0;
        let parts = std::iter::repeat_n(1, inputs.len());
        let (writers, tasks) = group(parts, Arc::clone(queue.unread()), queue.listener());
        for (input, writer) in inputs.into_iter().zip(writers) {
            let receiver = Receiver::OfMany(writer);
            queue.put(Submission::Task { input, options: options.clone(), receiver }).await?;
        }
        Ok(tasks)
    }

    /// Submits `count` tasks with the same input. They are accepted together or not at all, and cost the cluster little
    /// more than one while they wait.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// use flame_sdk::StreamExt;
    ///
    /// let connection = flame_sdk::connect().await?;
    /// let session = connection.create_session_with("echo-rust").await?;
    /// let stream = connection.open_stream(session.id()).await?;
    /// let tasks = stream.submit_array(100, Some("\"same\"".into()), &<_>::default()).await?;
    /// assert_eq!(tasks.count().await, 100);
    /// # session.close().await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`SessionStream::submit`]; [`FlameError::InvalidArgument`] when `count` is 0.
    pub async fn submit_array(
        &self,
        count: u64,
        input: Option<Bytes>,
        options: &Arc<TaskOptions>,
    ) -> Result<SubmittedTasks, FlameError> {
        check(input.as_ref())?;
        if count == 0 {
            return Err(FlameError::InvalidArgument("an array needs at least one task".to_owned()));
        }
        let queue = &self.queue.0;
        let (writers, submitted) = group([count], Arc::clone(queue.unread()), queue.listener());
        let options = checked(options)?;
        for tasks in writers {
            let (input, options) = (input.clone(), options.clone());
            queue.put(Submission::Array { input, options, tasks }).await?;
        }
        Ok(submitted)
    }

    /// Whether it has ended, and takes nothing any more: it was closed, or given up.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.queue.0.is_over()
    }

    /// Whether both are handles of one stream.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.queue.0, &other.queue.0)
    }

    async fn submit_one(
        &self,
        input: Option<Bytes>,
        options: Option<Arc<TaskOptions>>,
    ) -> Result<SubmittedTask, FlameError> {
        check(input.as_ref())?;
        let queue = &self.queue.0;
        let (writer, submitted) = task(queue.listener());
        queue.put(Submission::Task { input, options, receiver: Receiver::One(writer) }).await?;
        Ok(submitted)
    }

    /// Ends a task of the session, whether it runs or not. Comes after everything that was submitted before.
    ///
    /// # Errors
    /// [`FlameError::NotFound`] when there is no such task; [`FlameError::FailedPrecondition`] when it has ended;
    /// [`FlameError::UnknownOutcome`] when nobody can say whether it was done.
    pub async fn cancel(&self, task: TaskNo) -> Result<(), FlameError> {
        let (answer, answered) = oneshot::channel();
        self.queue.0.put(Submission::Cancel { task, answer }).await?;
        answered.await.map_err(|_| abandoned())?
    }

    /// Takes no more submits, of no clone of this handle, and waits until everything submitted is answered. Results
    /// that are waited for still arrive.
    ///
    /// # Errors
    /// Why the stream ended before that.
    pub async fn close(self) -> Result<(), FlameError> {
        self.queue.0.close().await.map_err(|_| abandoned())?
    }
}

/// Options as they travel; none when nothing is asked for.
fn checked(options: &Arc<TaskOptions>) -> Result<Option<Arc<TaskOptions>>, FlameError> {
    if options.timeout_ms == Some(0) {
        return Err(FlameError::InvalidArgument("a timeout must be at least 1 ms".to_owned()));
    }
    Ok((!options.is_default()).then(|| Arc::clone(options)))
}

/// One input that is too large would be the end of all that travel with it.
fn check(input: Option<&Bytes>) -> Result<(), FlameError> {
    let bytes = input.map_or(0, Bytes::len);
    if bytes > TASK_PAYLOAD_BYTES_MAX {
        let max = TASK_PAYLOAD_BYTES_MAX;
        return Err(FlameError::InvalidArgument(format!("a task input has {bytes} bytes, at most {max} are allowed")));
    }
    Ok(())
}
