//! Calls about tasks.

use std::collections::HashSet;

use bytes::Bytes;
use flame_proto::v1;
use flame_types::TaskNo;
use futures::Stream;
use futures::stream::try_unfold;
use tokio::time::{sleep, timeout};
use tonic::metadata::MetadataValue;
use tonic::{Status, Streaming};

use crate::connection::frontend;
use crate::fate::{Fate, Trouble};
use crate::model::Task;
use crate::repeats::Kind;
use crate::tls::Misfits;
use crate::{Connection, FlameError};

/// Names a task for everybody who submits it: 16 bytes.
const KEY_METADATA: &str = "flame-idempotency-key-bin";

impl Connection {
    /// Submits one task. However often it has to be sent until an answer arrives, it becomes one task. Many tasks go
    /// faster, and are remembered for longer, over [a stream](crate::stream).
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// let session = connection.create_session_with("echo-rust").await?;
    /// let task = connection.create_task(session.id(), Some("\"hello\"".into())).await?;
    /// println!("task {} is with the cluster", task.number()?);
    /// # connection.force_close_session(session.id()).await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::NotFound`] when there is no such session; [`FlameError::FailedPrecondition`] when it is closed;
    /// [`FlameError::UnknownOutcome`] when an answer was lost and none came until the deadline, or so much was changed
    /// meanwhile that nobody remembers.
    pub async fn create_task(&self, session: &str, input: Option<Bytes>) -> Result<Task, FlameError> {
        self.create_task_by_key(session, input, None).await
    }

    /// The same with a key that the caller has chosen: the first call with a key makes a task, and every further one gives
    /// that task, whoever calls and however often; so a program that was interrupted may submit all of its work again. The
    /// cluster remembers the last 65,536 submits with keys of each session.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// let session = connection.create_session_with("echo-rust").await?;
    /// let key = *b"invoice-00004711";
    /// let first = connection.create_task_once(session.id(), key, Some("1".into())).await?;
    /// let again = connection.create_task_once(session.id(), key, Some("1".into())).await?;
    /// assert_eq!(first.number()?, again.number()?);
    /// # connection.force_close_session(session.id()).await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`Connection::create_task`]; the key was used for something else before: the cluster says so.
    pub async fn create_task_once(
        &self,
        session: &str,
        key: [u8; 16],
        input: Option<Bytes>,
    ) -> Result<Task, FlameError> {
        self.create_task_by_key(session, input, Some(key)).await
    }

    async fn create_task_by_key(
        &self,
        session: &str,
        input: Option<Bytes>,
        key: Option<[u8; 16]>,
    ) -> Result<Task, FlameError> {
        let spec = v1::TaskSpec { session_id: session.to_owned(), input, output: None, affinity: Vec::new() };
        let request = v1::CreateTaskRequest { task: Some(spec) };
        let reply = self
            .change(|channel, mark| {
                let mut request = mark.attach(request.clone());
                if let Some(key) = &key {
                    request.metadata_mut().insert_bin(KEY_METADATA, MetadataValue::from_bytes(key));
                }
                async move { frontend(channel).create_task(request).await }
            })
            .await;
        reply?.try_into()
    }

    /// One task, with its events.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// let session = connection.create_session_with("echo-rust").await?;
    /// let mut task = session.invoke::<_, String>("hello").await?;
    /// let number = task.accepted().await?;
    /// let _output = task.await?;
    /// let task = connection.get_task(session.id(), number).await?;
    /// assert!(task.is_terminal() && task.failure().is_none());
    /// # session.close().await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::NotFound`].
    pub async fn get_task(&self, session: &str, task: TaskNo) -> Result<Task, FlameError> {
        let request = v1::GetTaskRequest { task_id: task.to_string(), session_id: session.to_owned() };
        let reply = self
            .call(Kind::Read, |channel| {
                let request = request.clone();
                async move { frontend(channel).get_task(request).await }
            })
            .await;
        reply?.try_into()
    }

    /// The tasks of a session, one after the other, without events. A stream that breaks is opened again elsewhere and
    /// goes on with the tasks that have not been seen; it ends with an error only when that fails for the whole
    /// deadline of [`crate::Options`].
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// use flame_sdk::StreamExt;
    ///
    /// let connection = flame_sdk::connect().await?;
    /// let session = connection.create_session_with("echo-rust").await?;
    /// let outputs: Vec<String> = session.map(["a", "b"]).collect().await?;
    /// let mut tasks = std::pin::pin!(connection.list_tasks(session.id()));
    /// while let Some(task) = tasks.next().await {
    ///     println!("{} {:?}", task?.metadata.id, outputs);
    /// }
    /// # session.close().await?;
    /// # Ok(()) });
    /// ```
    pub fn list_tasks(&self, session: &str) -> impl Stream<Item = Result<Task, FlameError>> + Send + use<> {
        let list =
            TaskList { connection: self.clone(), session: session.to_owned(), seen: HashSet::new(), stream: None };
        try_unfold(list, |mut list| async move { Ok(list.next().await?.map(|task| (task, list))) })
    }
}

/// Where a listing stands.
struct TaskList {
    connection: Connection,
    session: String,
    seen: HashSet<TaskNo>,
    stream: Option<(usize, Streaming<v1::Task>)>,
}

impl TaskList {
    async fn next(&mut self) -> Result<Option<Task>, FlameError> {
        let deadline = sleep(self.connection.options().deadline);
        tokio::pin!(deadline);
        let (mut backoff, mut misfits) = (self.connection.backoff(), Misfits::default());
        loop {
            let (at, fate) = match self.step().await {
                Ok(None) => return Ok(None),
                Ok(Some(task)) => {
                    let task = Task::try_from(task)?;
                    if self.seen.insert(task.number()?) {
                        return Ok(Some(task));
                    }
                    continue;
                }
                Err(broken) => broken,
            };
            let trouble = match fate {
                Fate::Answered(status) => return Err(FlameError::from_answer(&status)),
                Fate::NotDone(trouble) => trouble,
                Fate::Lost(why) => Trouble::with(why),
            };
            let trouble = self.connection.weigh(&mut misfits, at, trouble)?;
            self.stream = None;
            self.connection.leave(at);
            tokio::select! {
                () = sleep(backoff.wait_after(&trouble)) => {}
                () = deadline.as_mut() => {}
            }
            if deadline.is_elapsed() {
                return Err(self.connection.gave_up(&trouble));
            }
        }
    }

    /// The next message of the open stream, opening one if there is none.
    async fn step(&mut self) -> Result<Option<v1::Task>, (usize, Fate)> {
        let limit = self.connection.options().attempt_timeout;
        let late = |at| (at, Fate::Lost(format!("no answer within {} s", limit.as_secs_f64())));
        let failed = |at| move |status: Status| (at, Fate::of(status));
        let (at, mut stream) = match self.stream.take() {
            Some(open) => open,
            None => {
                let (at, channel) = self.connection.channel();
                let request = v1::ListTasksRequest { session_id: self.session.clone() };
                let reply = timeout(limit, async { frontend(channel).list_tasks(request).await }).await;
                (at, reply.map_err(|_| late(at))?.map_err(failed(at))?.into_inner())
            }
        };
        let message = timeout(limit, stream.message()).await.map_err(|_| late(at))?.map_err(failed(at))?;
        self.stream = Some((at, stream));
        Ok(message)
    }
}
