//! States of many tasks of one session, over one stream.
//!
//! The server sends a task's present state whenever it is registered. So a stream that breaks is opened again at another
//! coordinator and every task that has not ended is registered anew: nothing is missed, a state may come twice.
//!
//! **Invariant:** a registered task leaves the watch only with a terminal state, or with the error that ends the watch.
//! **Invariant:** at most [`WATCHED_TASKS_MAX`] tasks are registered; further registrations wait.

use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use flame_proto::v1;
use flame_types::TaskNo;
use futures::Stream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::connection::frontend;
use crate::model::Task;
use crate::reopen::{Broken, Left, Reopening};
use crate::{Connection, FlameError};

/// Most tasks that one watch follows at the same time.
pub const WATCHED_TASKS_MAX: usize = 100_000;

/// Messages that wait in one channel.
const CHANNEL_MAX: usize = 1024;

/// Adds tasks to a watch. The watch ends when all are dropped and every registered task has ended.
#[derive(Clone, Debug)]
pub struct TaskWatcher {
    registrations: mpsc::Sender<TaskNo>,
    room: Arc<Semaphore>,
}

impl TaskWatcher {
    /// Follows `task` until it ends. Waits while the watch is full.
    ///
    /// # Errors
    /// [`FlameError::Unavailable`] when the watch has ended; its updates say why.
    pub async fn add(&self, task: TaskNo) -> Result<(), FlameError> {
        let ended = || FlameError::Unavailable("the watch has ended".to_owned());
        self.room.acquire().await.map_err(|_| ended())?.forget();
        self.registrations.send(task).await.map_err(|_| ended())
    }
}

/// What becomes of the tasks of a watch. Only the latest state counts: states between may be left out or come twice.
#[derive(Debug)]
pub struct TaskUpdates {
    updates: mpsc::Receiver<Result<Task, FlameError>>,
}

impl Stream for TaskUpdates {
    type Item = Result<Task, FlameError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.updates.poll_recv(cx)
    }
}

impl Connection {
    /// Follows tasks of `session`. Register and read from different tasks of the runtime (or register little at a
    /// time): both ends are bounded.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// use flame_sdk::StreamExt;
    ///
    /// let connection = flame_sdk::connect().await?;
    /// let session = connection.create_session_with("echo-rust").await?;
    /// let task = connection.create_task(session.id(), Some("\"hello\"".into())).await?;
    /// let (watcher, mut updates) = connection.watch_tasks(session.id());
    /// watcher.add(task.number()?).await?;
    /// drop(watcher);
    /// while let Some(task) = updates.next().await {
    ///     println!("{:?}", task?.status.state);
    /// }
    /// # session.close().await?;
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn watch_tasks(&self, session: &str) -> (TaskWatcher, TaskUpdates) {
        let (registrations, incoming) = mpsc::channel(CHANNEL_MAX);
        let (updates, outgoing) = mpsc::channel(CHANNEL_MAX);
        let room = Arc::new(Semaphore::new(WATCHED_TASKS_MAX));
        let watch = Watch {
            connection: self.clone(),
            session: session.to_owned(),
            incoming,
            updates,
            room: Arc::clone(&room),
            open: BTreeSet::new(),
            more_to_come: true,
        };
        tokio::spawn(watch.run());
        (TaskWatcher { registrations, room }, TaskUpdates { updates: outgoing })
    }
}

/// The running side of a watch.
struct Watch {
    connection: Connection,
    session: String,
    incoming: mpsc::Receiver<TaskNo>,
    updates: mpsc::Sender<Result<Task, FlameError>>,
    room: Arc<Semaphore>,
    /// Registered and not ended.
    open: BTreeSet<TaskNo>,
    /// Whether a [`TaskWatcher`] is left.
    more_to_come: bool,
}

/// A stream to one coordinator.
struct Link {
    at: usize,
    requests: mpsc::Sender<v1::WatchTaskRequest>,
    /// To be registered on this stream.
    unsent: VecDeque<TaskNo>,
    replies: Streaming<v1::Task>,
}

/// Why a stream is left.
enum Leave {
    /// The watch is over: all is told, or nobody listens.
    Done,
    /// Try another coordinator.
    Broken(Broken),
    /// No coordinator will say otherwise.
    Refused(FlameError),
}

impl Watch {
    async fn run(mut self) {
        let mut reopening = Reopening::new(&self.connection);
        loop {
            let error = match self.follow(&mut reopening).await {
                Leave::Done => break,
                Leave::Refused(error) => error,
                Leave::Broken(broken) => match reopening.wait(broken).await {
                    Ok(()) => continue,
                    Err(error) => error,
                },
            };
            self.fail(error).await;
            break;
        }
        self.room.close();
    }

    async fn fail(&self, error: FlameError) {
        // Nobody listens any more: then nobody misses the error.
        let _unheard = self.updates.send(Err(error)).await;
    }

    /// Serves one stream until it is left.
    async fn follow(&mut self, reopening: &mut Reopening) -> Leave {
        if self.open.is_empty() && !self.first_registration().await {
            return Leave::Done;
        }
        let mut link = match self.open_link().await {
            Ok(link) => link,
            Err(leave) => return leave,
        };
        loop {
            if !self.more_to_come && self.open.is_empty() {
                return Leave::Done;
            }
            let next = link.unsent.front().copied();
            tokio::select! {
                task = self.incoming.recv(), if self.more_to_come => match task {
                    Some(task) => {
                        self.open.insert(task);
                        link.unsent.push_back(task);
                    }
                    None => self.more_to_come = false,
                },
                permit = link.requests.reserve(), if next.is_some() => {
                    if let (Ok(permit), Some(task)) = (permit, next) {
                        permit.send(self.request(task));
                    }
                    link.unsent.pop_front();
                }
                message = link.replies.message() => match message {
                    Ok(Some(task)) => {
                        reopening.heard();
                        if let Some(leave) = self.tell(task).await {
                            return leave;
                        }
                    }
                    // A clean end is no end of the tasks: ask again elsewhere.
                    Ok(None) if self.open.is_empty() => return self.idle(link.at),
                    Ok(None) => return ended(link.at),
                    Err(_) if self.open.is_empty() => return self.idle(link.at),
                    Err(status) => return Left::with(link.at, status).into(),
                },
            }
        }
    }

    /// A stream that ends while no task is open harms nobody; the next registration opens another.
    fn idle(&self, at: usize) -> Leave {
        if self.more_to_come { ended(at) } else { Leave::Done }
    }

    async fn first_registration(&mut self) -> bool {
        match self.incoming.recv().await {
            Some(task) => self.open.insert(task),
            None => false,
        }
    }

    async fn open_link(&self) -> Result<Link, Leave> {
        let (at, channel) = self.connection.channel();
        let (requests, outgoing) = mpsc::channel(CHANNEL_MAX);
        let mut unsent: VecDeque<TaskNo> = self.open.iter().copied().collect();
        // The published server looks at the first request before it answers at all.
        if let Some(first) = unsent.pop_front() {
            let _sent = requests.try_send(self.request(first));
        }
        let limit = self.connection.options().attempt_timeout;
        let mut client = frontend(channel);
        match timeout(limit, client.watch_tasks(ReceiverStream::new(outgoing))).await {
            Ok(Ok(reply)) => Ok(Link { at, requests, unsent, replies: reply.into_inner() }),
            Ok(Err(status)) => Err(Left::with(at, status).into()),
            Err(_) => Err(Left::silent(at, limit).into()),
        }
    }

    fn request(&self, task: TaskNo) -> v1::WatchTaskRequest {
        v1::WatchTaskRequest { task_id: task.to_string(), session_id: self.session.clone() }
    }

    /// Passes one state on.
    async fn tell(&mut self, task: v1::Task) -> Option<Leave> {
        let task = match Task::try_from(task) {
            Ok(task) => task,
            Err(error) => return Some(Leave::Refused(error)),
        };
        let number = match task.number() {
            Ok(number) => number,
            Err(error) => return Some(Leave::Refused(error)),
        };
        if !self.open.contains(&number) {
            return None;
        }
        if task.is_terminal() {
            self.open.remove(&number);
            self.room.add_permits(1);
        }
        match self.updates.send(Ok(task)).await {
            Ok(()) => None,
            Err(_) => Some(Leave::Done),
        }
    }
}

fn ended(at: usize) -> Leave {
    Left::broken(at, "the stream ended").into()
}

impl From<Left> for Leave {
    fn from(left: Left) -> Self {
        match left {
            Left::Refused(status) => Self::Refused(FlameError::from_answer(&status)),
            Left::Broken(broken) => Self::Broken(broken),
        }
    }
}
