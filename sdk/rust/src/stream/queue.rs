//! What waits for the driver of a stream, and room for it.
//!
//! **Invariant:** the driver is woken for what is put in only when it has said that it sleeps. While it has enough to
//! do, a submit costs no wake-up.
//! **Invariant:** room is taken before anything is put in. Room for inputs comes back with the answer, room for tasks
//! with their end.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use flame_types::{TaskNo, TaskOptions};
use tokio::sync::{Notify, Semaphore, oneshot};

use super::group::{self, Unread};
use super::task::{self, TaskEnd};
use crate::FlameError;

/// Most bytes that wait for an answer. Each task counts [`TASK_BYTES`] beside its input.
pub const ROOM_BYTES_MAX: usize = 16 << 20;

/// Most tasks that a stream follows at the same time. Tasks of an array count a 256th each.
pub const UNFINISHED_TASKS_MAX: usize = 1 << 20;

/// What a task, or anything else, counts beside its input.
const TASK_BYTES: usize = 256;

/// So many tasks of an array take as much memory as one task: a bit each.
const ARRAY_TASKS_PER_PLACE: u64 = 256;

/// Who learns what becomes of a task.
#[derive(Debug)]
pub(super) enum Receiver {
    One(task::Writer),
    OfMany(group::Writer),
}

impl Receiver {
    pub(super) fn is_heard(&self) -> bool {
        match self {
            Self::One(task) => task.is_heard(),
            Self::OfMany(group) => group.is_heard(),
        }
    }

    pub(super) fn accept(&mut self, number: TaskNo) {
        match self {
            Self::One(task) => task.accept(number),
            Self::OfMany(group) => group.accept(number),
        }
    }

    pub(super) fn end(self, end: Result<TaskEnd, FlameError>) {
        match self {
            Self::One(task) => task.end(end),
            Self::OfMany(mut group) => group.end_one(end),
        }
    }

    pub(super) fn refuse(self, error: FlameError) {
        match self {
            Self::One(task) => task.end(Err(error)),
            Self::OfMany(group) => group.end_all(error),
        }
    }
}

/// Something to be sent.
#[derive(Debug)]
pub(super) enum Submission {
    Task { input: Option<Bytes>, options: Option<Arc<TaskOptions>>, receiver: Receiver },
    Array { input: Option<Bytes>, options: Option<Arc<TaskOptions>>, tasks: group::Writer },
    Cancel { task: TaskNo, answer: oneshot::Sender<Result<(), FlameError>> },
}

impl Submission {
    /// Room that it takes until it is answered.
    pub(super) fn room(&self) -> usize {
        let input = match self {
            Self::Task { input, .. } | Self::Array { input, .. } => input.as_ref().map_or(0, Bytes::len),
            Self::Cancel { .. } => 0,
        };
        TASK_BYTES + input
    }

    /// Room that it takes until it has ended.
    pub(super) fn places(&self) -> usize {
        match self {
            Self::Task { .. } => 1,
            Self::Array { tasks, .. } => array_places(tasks.tasks()),
            Self::Cancel { .. } => 0,
        }
    }

    /// Nothing becomes of it.
    pub(super) fn refuse(self, error: FlameError) {
        match self {
            Self::Task { receiver, .. } => receiver.refuse(error),
            Self::Array { tasks, .. } => tasks.end_all(error),
            // Whoever has asked may have stopped waiting.
            Self::Cancel { answer, .. } => drop(answer.send(Err(error))),
        }
    }
}

/// Room that an array takes until it has ended.
pub(super) fn array_places(tasks: u64) -> usize {
    usize::try_from(1 + tasks / ARRAY_TASKS_PER_PLACE).unwrap_or(UNFINISHED_TASKS_MAX).min(UNFINISHED_TASKS_MAX)
}

/// Between the handles of a stream and its driver.
#[derive(Debug)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    wake: Notify,
    room: Semaphore,
    places: Semaphore,
    unread: Arc<Unread>,
    submitters: AtomicUsize,
    listeners: AtomicUsize,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Submission>,
    /// The driver has seen everything and wants to be woken.
    asleep: bool,
    /// Nothing is taken any more; what is there is still done.
    closing: bool,
    /// Who wants to know when everything is answered.
    closers: Vec<oneshot::Sender<Result<(), FlameError>>>,
    /// Why the stream is over.
    over: Option<FlameError>,
}

impl Queue {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::default(),
            wake: Notify::new(),
            room: Semaphore::new(ROOM_BYTES_MAX),
            places: Semaphore::new(UNFINISHED_TASKS_MAX),
            unread: Arc::default(),
            submitters: AtomicUsize::new(0),
            listeners: AtomicUsize::new(0),
        })
    }

    /// Results that wait for readers.
    pub(super) fn unread(&self) -> &Arc<Unread> {
        &self.unread
    }

    /// Puts something in, as soon as there is room.
    pub(super) async fn put(&self, submission: Submission) -> Result<(), FlameError> {
        let room = permits(submission.room().min(ROOM_BYTES_MAX));
        let places = permits(submission.places());
        let Ok(room) = self.room.acquire_many(room).await else { return Err(self.why_over()) };
        let Ok(places) = self.places.acquire_many(places).await else { return Err(self.why_over()) };
        let is_asleep = {
            let mut inner = self.inner();
            if let Some(error) = &inner.over {
                return Err(error.clone());
            }
            if inner.closing {
                return Err(closed());
            }
            inner.waiting.push_back(submission);
            std::mem::take(&mut inner.asleep)
        };
        room.forget();
        places.forget();
        if is_asleep {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Whether nothing is taken any more.
    pub(super) fn is_over(&self) -> bool {
        let inner = self.inner();
        inner.over.is_some() || inner.closing
    }

    /// Asks the driver to bring what is there to an end; the answer comes when all of it is answered.
    pub(super) fn close(&self) -> oneshot::Receiver<Result<(), FlameError>> {
        let (closer, answered) = oneshot::channel();
        {
            let mut inner = self.inner();
            match &inner.over {
                // Nobody else holds the receiver: this arrives.
                Some(error) => drop(closer.send(Err(error.clone()))),
                None => inner.closers.push(closer),
            }
            inner.closing = true;
        }
        self.wake.notify_one();
        answered
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no code panics while it holds this lock")
    }

    fn why_over(&self) -> FlameError {
        self.inner().over.clone().unwrap_or_else(closed)
    }
}

/// For the driver.
impl Queue {
    /// Takes everything that waits into an empty queue. `false`: nothing does, and whatever comes next wakes.
    pub(super) fn take(&self, into: &mut VecDeque<Submission>) -> bool {
        let mut inner = self.inner();
        inner.asleep = inner.waiting.is_empty();
        std::mem::swap(&mut inner.waiting, into);
        !inner.asleep
    }

    /// Waits until there is something to look at: something was put in, or the last handle has gone.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Something was answered.
    pub(super) fn give_room(&self, bytes: usize) {
        self.room.add_permits(bytes);
    }

    /// Tasks have ended.
    pub(super) fn give_places(&self, places: usize) {
        self.places.add_permits(places);
    }

    /// Whether nothing more can be put in.
    pub(super) fn is_ending(&self) -> bool {
        self.submitters.load(Ordering::Acquire) == 0 || self.inner().closing
    }

    /// Whether somebody waits for results.
    pub(super) fn is_heard(&self) -> bool {
        self.listeners.load(Ordering::Acquire) > 0
    }

    /// Tells those who close that everything is answered.
    pub(super) fn tell_closers(&self) {
        let closers = std::mem::take(&mut self.inner().closers);
        for closer in closers {
            // Whoever has asked may have stopped waiting.
            let _unheard = closer.send(Ok(()));
        }
    }

    /// Ends the stream for everybody who wants something of it. The first reason stays.
    pub(super) fn end(&self, error: &FlameError) {
        let (waiting, closers) = {
            let mut inner = self.inner();
            inner.over.get_or_insert_with(|| error.clone());
            (std::mem::take(&mut inner.waiting), std::mem::take(&mut inner.closers))
        };
        self.room.close();
        self.places.close();
        waiting.into_iter().for_each(|submission| submission.refuse(error.clone()));
        for closer in closers {
            // Whoever has asked may have stopped waiting.
            let _unheard = closer.send(Err(error.clone()));
        }
    }
}

fn permits(count: usize) -> u32 {
    u32::try_from(count).expect("room is limited far below that")
}

/// What is told to those who submit after the end.
pub(super) fn closed() -> FlameError {
    FlameError::FailedPrecondition("this stream is closed".to_owned())
}

/// Keeps a stream open for submits.
#[derive(Debug)]
pub(super) struct Submitter(pub(super) Arc<Queue>);

/// Keeps a stream open for results.
#[derive(Debug)]
pub(super) struct Listener(Arc<Queue>);

impl Queue {
    pub(super) fn submitter(self: &Arc<Self>) -> Submitter {
        self.submitters.fetch_add(1, Ordering::AcqRel);
        Submitter(Arc::clone(self))
    }

    pub(super) fn listener(self: &Arc<Self>) -> Listener {
        self.listeners.fetch_add(1, Ordering::AcqRel);
        Listener(Arc::clone(self))
    }
}

impl Clone for Submitter {
    fn clone(&self) -> Self {
        self.0.submitter()
    }
}

impl Drop for Submitter {
    fn drop(&mut self) {
        if self.0.submitters.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.wake.notify_one();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.0.listeners.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn cancel() -> Submission {
        Submission::Cancel { task: TaskNo(1), answer: oneshot::channel().0 }
    }

    fn task(queue: &Arc<Queue>, bytes: usize) -> Submission {
        let (writer, _) = task::task(queue.listener());
        Submission::Task { input: Some(vec![0; bytes].into()), options: None, receiver: Receiver::One(writer) }
    }

    #[tokio::test]
    async fn only_a_driver_that_sleeps_is_woken() {
        let (queue, mut taken) = (Queue::new(), VecDeque::new());
        queue.put(cancel()).await.unwrap();
        assert!(queue.woken().now_or_never().is_none(), "it has not said that it sleeps");
        assert!(queue.take(&mut taken) && taken.len() == 1);
        taken.clear();
        assert!(!queue.take(&mut taken));
        queue.put(cancel()).await.unwrap();
        queue.put(cancel()).await.unwrap();
        queue.woken().await;
        assert!(queue.woken().now_or_never().is_none(), "once is enough");
    }

    #[tokio::test]
    async fn whoever_finds_no_room_waits_for_an_answer() {
        let queue = Queue::new();
        let input = ROOM_BYTES_MAX / 4;
        for _ in 0..3 {
            queue.put(task(&queue, input)).await.unwrap();
        }
        let mut fourth = std::pin::pin!(queue.put(task(&queue, input)));
        assert!(fourth.as_mut().now_or_never().is_none());
        queue.give_room(input);
        fourth.await.unwrap();
    }

    #[tokio::test]
    async fn the_end_reaches_everybody() {
        let queue = Queue::new();
        let (answer, cancelled) = oneshot::channel();
        queue.put(Submission::Cancel { task: TaskNo(1), answer }).await.unwrap();
        let closing = queue.close();
        assert_eq!(queue.put(cancel()).await.unwrap_err(), closed());
        let why = FlameError::Unavailable("nobody".to_owned());
        queue.end(&why);
        assert_eq!(cancelled.await.unwrap().unwrap_err(), why);
        assert_eq!(closing.await.unwrap().unwrap_err(), why);
        assert_eq!(queue.put(cancel()).await.unwrap_err(), why);
    }
}
