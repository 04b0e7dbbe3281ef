//! The session and its stream.

use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use bytes::Bytes;
use flame_types::TaskNo;
use futures::Stream;
use tokio::sync::Mutex;

use super::batch::Results;
use super::map::Map;
use super::options::TaskOptions;
use super::task::{TaskFuture, TaskHandle};
use crate::codec::{FlameMessage, FromTaskOutput, IntoTaskInput};
use crate::model;
use crate::stream::{SessionStream, SubmittedTask};
use crate::{Connection, FlameError};

/// An open session. Cheap to clone; clones share one stream, which opens with the first task.
///
/// The session is the cluster's: it goes on when every handle is dropped, until somebody closes it.
///
/// ```
/// # flame_sdk::__private::example(async {
/// let session = flame_sdk::create_session("echo-rust").await?;
/// let answer: String = session.invoke("hello").await?.await?;
/// assert_eq!(answer, "hello");
/// session.close().await?;
/// # Ok(()) });
/// ```
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

struct Shared {
    connection: Connection,
    id: String,
    application: String,
    common_data: Option<Bytes>,
    stream: RwLock<Link>,
    /// Held by whoever opens the stream.
    opening: Mutex<()>,
}

/// The stream of a session.
enum Link {
    /// There is none; the next task opens one.
    Missing,
    Open(SessionStream),
    /// This handle was closed.
    Closed,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.shared.id)
            .field("application", &self.shared.application)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(connection: &Connection, session: model::Session) -> Self {
        let shared = Shared {
            connection: connection.clone(),
            id: session.metadata.id,
            application: session.spec.application,
            common_data: session.spec.common_data,
            stream: RwLock::new(Link::Missing),
            opening: Mutex::new(()),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// Whose service runs its tasks.
    #[must_use]
    pub fn application(&self) -> &str {
        &self.shared.application
    }

    /// The client that it belongs to.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.shared.connection
    }

    /// What the session was given for all of its tasks.
    ///
    /// # Errors
    /// [`FlameError::Codec`] when it is something else than a `T`.
    pub fn common_data<T: FlameMessage>(&self) -> Result<Option<T>, FlameError> {
        self.shared.common_data.clone().map(T::decode).transpose()
    }

    /// Hands a task over; awaiting what this returns gives its output.
    ///
    /// Waits only while the stream has no room for the input. Tasks that are handed over one after the other keep their
    /// order.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let session = flame_sdk::create_session("echo-rust").await?;
    /// let tasks = [session.invoke::<_, String>("a").await?, session.invoke("b").await?];
    /// for (task, expected) in tasks.into_iter().zip(["a", "b"]) {
    ///     assert_eq!(task.await?, expected);
    /// }
    /// # session.close().await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::Codec`], [`FlameError::InvalidArgument`] when the input is too large,
    /// [`FlameError::FailedPrecondition`] when the session is closed, otherwise why the stream cannot be opened. Nothing
    /// was done then.
    pub async fn invoke<I: IntoTaskInput, O: FromTaskOutput>(&self, input: I) -> Result<TaskHandle<O>, FlameError> {
        self.run(input).await.map(TaskHandle::from)
    }

    /// The same, with options.
    ///
    /// # Errors
    /// As [`Session::invoke`]; [`FlameError::InvalidArgument`] for a timeout of nothing.
    pub async fn invoke_with_options<I: IntoTaskInput, O: FromTaskOutput>(
        &self,
        input: I,
        options: &TaskOptions,
    ) -> Result<TaskHandle<O>, FlameError> {
        self.run_with_options(input, options).await.map(TaskHandle::from)
    }

    /// Hands a task over; awaiting what this returns tells how it ended, whatever the end.
    ///
    /// # Errors
    /// As [`Session::invoke`].
    pub async fn run<I: IntoTaskInput, O: FromTaskOutput>(&self, input: I) -> Result<TaskFuture<O>, FlameError> {
        self.run_with_options(input, &TaskOptions::default()).await
    }

    /// The same, with options.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// use std::time::Duration;
    ///
    /// use flame_sdk::TaskOptions;
    ///
    /// let session = flame_sdk::create_session("echo-rust").await?;
    /// let soon = TaskOptions::new().priority(5).timeout(Duration::from_secs(60));
    /// let result = session.run_with_options::<_, String>("hello", &soon).await?.await?;
    /// assert!(result.is_succeed());
    /// # session.close().await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`Session::invoke`]; [`FlameError::InvalidArgument`] for a timeout of nothing.
    pub async fn run_with_options<I: IntoTaskInput, O: FromTaskOutput>(
        &self,
        input: I,
        options: &TaskOptions,
    ) -> Result<TaskFuture<O>, FlameError> {
        let task = self.submit(input.into_task_input()?, options).await?;
        Ok(TaskFuture::new(task, self.clone()))
    }

    /// Hands a task over under a key of the caller's: the first call with a key makes a task, and every further one follows
    /// that same task, whoever calls and however often, and whether or not it has ended. So a program that was interrupted
    /// may submit all of its work again. Waits until the cluster has the task.
    ///
    /// The cluster remembers the last 65,536 submits with keys of each session. It costs a call, so [`Session::run`] is
    /// quicker where nothing is submitted twice.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let session = flame_sdk::create_session("echo-rust").await?;
    /// let key = *b"invoice-00004711";
    /// let first = session.run_once::<_, String>(key, "hello").await?.await?;
    /// let again = session.run_once::<_, String>(key, "hello").await?.await?;
    /// assert_eq!(first, again);
    /// # session.close().await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`Connection::create_task_once`].
    pub async fn run_once<I: IntoTaskInput, O: FromTaskOutput>(
        &self,
        key: [u8; 16],
        input: I,
    ) -> Result<TaskFuture<O>, FlameError> {
        let input = input.into_task_input()?;
        let task = self.shared.connection.create_task_once(&self.shared.id, key, input).await?;
        Ok(TaskFuture::watched(task.number()?, self.clone()))
    }

    /// Hands a list of tasks over, all of it before this returns; gives their results as they come.
    ///
    /// Results that have come and were not read are kept in memory, so the list is one whose results fit there; for more
    /// see [`Session::map`].
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// use flame_sdk::StreamExt;
    ///
    /// let session = flame_sdk::create_session("echo-rust").await?;
    /// let words = ["a", "b", "c"];
    /// let mut results = session.submit_many::<_, String>(words).await?;
    /// while let Some((at, word)) = results.next().await {
    ///     assert_eq!(word?, words[at]);
    /// }
    /// # session.close().await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`Session::invoke`], and no task was submitted when an input has no form; otherwise the first of them may have
    /// been submitted.
    pub async fn submit_many<I, O>(&self, inputs: I) -> Result<Results<O>, FlameError>
    where
        I: IntoIterator,
        I::Item: IntoTaskInput,
        O: FromTaskOutput,
    {
        self.submit_many_with_options(inputs, &TaskOptions::default()).await
    }

    /// The same, with the same options for all.
    ///
    /// # Errors
    /// As [`Session::submit_many`].
    pub async fn submit_many_with_options<I, O>(
        &self,
        inputs: I,
        options: &TaskOptions,
    ) -> Result<Results<O>, FlameError>
    where
        I: IntoIterator,
        I::Item: IntoTaskInput,
        O: FromTaskOutput,
    {
        let inputs: Result<Vec<_>, _> = inputs.into_iter().map(IntoTaskInput::into_task_input).collect();
        Results::submit(self, inputs?, options).await
    }

    /// A task for each input of an iterator, so many under way at a time; its results are read as they come or in the
    /// order of the inputs.
    ///
    /// It takes inputs as results are read, and does nothing while nobody reads: what is under way goes on, nothing else
    /// begins.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// use flame_sdk::StreamExt;
    ///
    /// let session = flame_sdk::create_session("echo-rust").await?;
    /// let texts = (1..=100).map(|number| format!("text {number}"));
    /// let mut results = session.map::<_, String>(texts).in_flight(10).as_completed();
    /// while let Some((at, text)) = results.next().await {
    ///     assert_eq!(text?, format!("text {}", at + 1));
    /// }
    ///
    /// let all: Vec<String> = session.map(["a", "b"]).collect().await?;
    /// assert_eq!(all, ["a", "b"]);
    /// # session.close().await?;
    /// # Ok(()) });
    /// ```
    pub fn map<'a, I, O>(&self, inputs: I) -> Map<'a, O>
    where
        I: IntoIterator,
        I::IntoIter: Send + 'a,
        I::Item: IntoTaskInput + 'a,
        O: FromTaskOutput + Send + 'a,
    {
        Map::new(self, inputs.into_iter().map(IntoTaskInput::into_task_input))
    }

    /// Ends a task of the session, whether it runs or not.
    ///
    /// # Errors
    /// [`FlameError::NotFound`] when there is no such task; [`FlameError::FailedPrecondition`] when it has ended;
    /// [`FlameError::UnknownOutcome`] when nobody can say whether it was done.
    pub async fn cancel(&self, task: TaskNo) -> Result<(), FlameError> {
        let stream = self.link().await?;
        let cancelled = stream.cancel(task).await;
        if cancelled.is_err() && stream.is_over() {
            self.forget(&stream);
        }
        cancelled
    }

    /// The stream that this handle submits over, for what has no types: see [`SessionStream`]. Opens it if there is none.
    ///
    /// # Errors
    /// As [`Connection::open_stream`]; [`FlameError::FailedPrecondition`] when this handle was closed.
    pub async fn stream(&self) -> Result<SessionStream, FlameError> {
        let stream = self.link().await?;
        if !stream.is_over() {
            return Ok(stream);
        }
        self.forget(&stream);
        self.link().await
    }

    /// The same; it may be over.
    async fn link(&self) -> Result<SessionStream, FlameError> {
        if let Some(stream) = self.open_stream()? {
            return Ok(stream);
        }
        let _opening = self.shared.opening.lock().await;
        // Somebody else may have opened it meanwhile.
        if let Some(stream) = self.open_stream()? {
            return Ok(stream);
        }
        let stream = self.shared.connection.open_stream(&self.shared.id).await?;
        let mut link = self.link_to_change();
        if let Link::Closed = *link {
            return Err(closed(&self.shared.id));
        }
        *link = Link::Open(stream.clone());
        Ok(stream)
    }

    /// The session as the cluster has it now: its state, its counts, what happened to it.
    ///
    /// # Errors
    /// As [`Connection::get_session`].
    pub async fn status(&self) -> Result<model::Session, FlameError> {
        self.shared.connection.get_session(&self.shared.id).await
    }

    /// One task, with its events and its attempts.
    ///
    /// # Errors
    /// As [`Connection::get_task`].
    pub async fn get_task(&self, task: TaskNo) -> Result<model::Task, FlameError> {
        self.shared.connection.get_task(&self.shared.id, task).await
    }

    /// The tasks of the session, one after the other.
    pub fn list_tasks(&self) -> impl Stream<Item = Result<model::Task, FlameError>> + Send + use<> {
        self.shared.connection.list_tasks(&self.shared.id)
    }

    /// Lets running tasks finish and starts no others, until [`Session::resume`].
    ///
    /// # Errors
    /// As [`Connection::suspend_session`].
    pub async fn suspend(&self) -> Result<(), FlameError> {
        self.shared.connection.suspend_session(&self.shared.id).await.map(|_| ())
    }

    /// Ends a suspension.
    ///
    /// # Errors
    /// As [`Connection::resume_session`].
    pub async fn resume(&self) -> Result<(), FlameError> {
        self.shared.connection.resume_session(&self.shared.id).await.map(|_| ())
    }

    /// Closes the session for everybody: waits until all that was handed over here is with the cluster, then ends the
    /// session. What has not begun is cancelled; results that are waited for still arrive.
    ///
    /// # Errors
    /// [`FlameError::FailedPrecondition`] while tasks run: await them, or see [`Connection::force_close_session`]. The
    /// handle takes no tasks any more in any case.
    pub async fn close(&self) -> Result<(), FlameError> {
        let link = std::mem::replace(&mut *self.link_to_change(), Link::Closed);
        if let Link::Open(stream) = link {
            // A stream that has failed before has told those who waited for it; the session can be closed all the same.
            let _flushed = stream.close().await;
        }
        self.shared.connection.close_session(&self.shared.id).await.map(|_| ())
    }

    /// Hands over what is encoded already.
    pub(super) async fn submit(
        &self,
        input: Option<Bytes>,
        options: &TaskOptions,
    ) -> Result<SubmittedTask, FlameError> {
        let stream = self.link().await?;
        match stream.submit_with(input.clone(), options.wishes()).await {
            // It was given up while nobody used it; a new one may fare better, as nothing was done.
            Err(_) if stream.is_over() => {
                self.forget(&stream);
                self.link().await?.submit_with(input, options.wishes()).await
            }
            submitted => submitted,
        }
    }

    fn open_stream(&self) -> Result<Option<SessionStream>, FlameError> {
        match &*self.shared.stream.read().unwrap_or_else(PoisonError::into_inner) {
            Link::Open(stream) => Ok(Some(stream.clone())),
            Link::Missing => Ok(None),
            Link::Closed => Err(closed(&self.shared.id)),
        }
    }

    /// The next task opens another stream, unless that has happened already.
    fn forget(&self, over: &SessionStream) {
        let mut link = self.link_to_change();
        if matches!(&*link, Link::Open(stream) if stream.is_same(over)) {
            *link = Link::Missing;
        }
    }

    fn link_to_change(&self) -> RwLockWriteGuard<'_, Link> {
        // It is held for an assignment only: no panic leaves it half-changed.
        self.shared.stream.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn closed(id: &str) -> FlameError {
    FlameError::FailedPrecondition(format!("this handle of session {id} was closed"))
}
