//! Many tasks submitted together, and their ends as they come.
//!
//! **Invariant:** an end is handed out once, in the order in which it came. What nobody has read yet counts against
//! [`UNREAD_BYTES_MAX`]; beyond that the stream reads nothing more until somebody reads here.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use flame_types::TaskNo;
use futures::Stream;
use tokio::sync::Notify;

use super::queue::Listener;
use super::task::{TaskEnd, abandoned};
use crate::FlameError;

/// Most bytes of results of one stream that wait for readers of [`SubmittedTasks`]; one frame may come on top.
pub const UNREAD_BYTES_MAX: usize = 32 << 20;

/// What a result counts beside its output.
const RESULT_BYTES: usize = 128;

/// Tasks on their way. As a stream it gives the end of each, first come, first served, and ends after the last.
///
/// Read it from another task of the runtime than the one that submits, or read it before you submit much more: a stream
/// with too many unread results stops until they are read.
#[derive(Debug)]
pub struct SubmittedTasks {
    group: Arc<Group>,
    _listener: Listener,
}

impl SubmittedTasks {
    /// Waits until the cluster has all of them, durably, and gives their numbers.
    ///
    /// # Errors
    /// The first refusal; others may have been accepted. [`FlameError::UnknownOutcome`] when nobody can say.
    pub async fn accepted(&mut self) -> Result<Vec<RangeInclusive<TaskNo>>, FlameError> {
        poll_fn(|context| {
            let mut state = self.group.state();
            if let Some(error) = &state.refused {
                return Poll::Ready(Err(error.clone()));
            }
            if state.unaccepted == 0 {
                return Poll::Ready(Ok(state.accepted.iter().map(|(first, last)| *first..=*last).collect()));
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// An error stands for one task, or for a whole array.
impl Stream for SubmittedTasks {
    type Item = Result<TaskEnd, FlameError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.group.state();
        if let Some(end) = state.ready.pop_front() {
            drop(state);
            self.group.unread.give_back(size(&end));
            return Poll::Ready(Some(end));
        }
        if state.left == 0 {
            return Poll::Ready(None);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for SubmittedTasks {
    fn drop(&mut self) {
        let unread = {
            let mut state = self.group.state();
            state.is_heard = false;
            std::mem::take(&mut state.ready)
        };
        self.group.unread.give_back(unread.iter().map(size).sum());
    }
}

#[derive(Debug)]
struct Group {
    state: Mutex<State>,
    unread: Arc<Unread>,
}

#[derive(Debug)]
struct State {
    ready: VecDeque<Result<TaskEnd, FlameError>>,
    /// Tasks without an end.
    left: u64,
    /// Tasks without an answer.
    unaccepted: u64,
    /// First and last number of every run, in the order of acceptance.
    accepted: Vec<(TaskNo, TaskNo)>,
    refused: Option<FlameError>,
    is_heard: bool,
    waker: Option<Waker>,
}

impl Group {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds this lock")
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let waker = {
            let mut state = self.state();
            change(&mut state);
            state.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

/// The side of the stream, for one task or for all tasks of an array.
#[derive(Debug)]
pub(super) struct Writer {
    group: Arc<Group>,
    /// Tasks that it has not ended.
    left: u64,
    is_accepted: bool,
}

/// Both sides of `tasks` tasks: one writer for each `part` of them.
pub(super) fn group(
    parts: impl IntoIterator<Item = u64>,
    unread: Arc<Unread>,
    listener: Listener,
) -> (Vec<Writer>, SubmittedTasks) {
    let parts: Vec<u64> = parts.into_iter().collect();
    let tasks = parts.iter().sum();
    let state = State {
        ready: VecDeque::new(),
        left: tasks,
        unaccepted: tasks,
        accepted: Vec::new(),
        refused: None,
        is_heard: true,
        waker: None,
    };
    let group = Arc::new(Group { state: Mutex::new(state), unread });
    let writer = |left| Writer { group: Arc::clone(&group), left, is_accepted: false };
    let writers = parts.into_iter().map(writer).collect();
    (writers, SubmittedTasks { group, _listener: listener })
}

impl Writer {
    /// How many tasks it stands for.
    pub(super) fn tasks(&self) -> u64 {
        self.left
    }

    /// Whether anybody can still ask.
    pub(super) fn is_heard(&self) -> bool {
        self.group.state().is_heard
    }

    /// Its tasks are those from `first` on.
    pub(super) fn accept(&mut self, first: TaskNo) {
        self.is_accepted = true;
        let (count, last) = (self.left, TaskNo(first.0 + self.left - 1));
        self.group.change(|state| {
            state.unaccepted -= count;
            match state.accepted.last_mut() {
                Some((_, end)) if end.next() == first => *end = last,
                _ => state.accepted.push((first, last)),
            }
        });
    }

    /// One of its tasks has ended.
    pub(super) fn end_one(&mut self, end: Result<TaskEnd, FlameError>) {
        self.left -= 1;
        self.put(1, end);
    }

    /// All that are left have ended, for the same reason.
    pub(super) fn end_all(mut self, error: FlameError) {
        self.end_rest(error);
    }

    fn end_rest(&mut self, error: FlameError) {
        let left = std::mem::take(&mut self.left);
        if left == 0 {
            return;
        }
        if !self.is_accepted {
            self.group.change(|state| {
                state.refused.get_or_insert_with(|| error.clone());
            });
        }
        self.put(left, Err(error));
    }

    fn put(&self, tasks: u64, end: Result<TaskEnd, FlameError>) {
        self.group.change(|state| {
            state.left -= tasks;
            if state.is_heard {
                self.group.unread.take(size(&end));
                state.ready.push_back(end);
            }
        });
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end_rest(abandoned());
    }
}

fn size(end: &Result<TaskEnd, FlameError>) -> usize {
    let output = end.as_ref().ok().and_then(|end| end.output.as_ref());
    RESULT_BYTES + output.map_or(0, bytes::Bytes::len)
}

/// Results that wait for readers, of all groups of a stream.
#[derive(Debug, Default)]
pub(super) struct Unread {
    bytes: AtomicUsize,
    read: Notify,
}

impl Unread {
    fn take(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give_back(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if before > UNREAD_BYTES_MAX && before - bytes <= UNREAD_BYTES_MAX {
            self.read.notify_one();
        }
    }

    /// Whether nothing more may come.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > UNREAD_BYTES_MAX
    }

    /// Waits until something was read. May return early.
    pub(super) async fn was_read(&self) {
        self.read.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use flame_types::TaskState;
    use futures::StreamExt;

    use super::super::queue::Queue;
    use super::*;

    fn new(parts: &[u64]) -> (Vec<Writer>, SubmittedTasks, Arc<Unread>) {
        let unread = Arc::new(Unread::default());
        let (writers, tasks) = group(parts.iter().copied(), Arc::clone(&unread), Queue::new().listener());
        (writers, tasks, unread)
    }

    fn end(task: u64) -> TaskEnd {
        TaskEnd { task: TaskNo(task), state: TaskState::Succeed.into(), output: Some("x".into()), message: None }
    }

    #[tokio::test]
    async fn ends_come_in_their_order_and_then_it_is_over() {
        let (mut writers, mut tasks, unread) = new(&[1, 2]);
        writers[0].accept(TaskNo(4));
        writers[1].accept(TaskNo(5));
        assert_eq!(tasks.accepted().await.unwrap(), [TaskNo(4)..=TaskNo(6)]);
        writers[1].end_one(Ok(end(6)));
        writers[0].end_one(Ok(end(4)));
        writers[1].end_one(Ok(end(5)));
        assert_ne!(unread.bytes.load(Ordering::Relaxed), 0);
        let numbers: Vec<u64> = tasks.by_ref().map(|end| end.unwrap().task.0).collect().await;
        assert_eq!((numbers, unread.bytes.load(Ordering::Relaxed)), (vec![6, 4, 5], 0));
    }

    #[tokio::test]
    async fn one_error_stands_for_a_refused_array() {
        let (mut writers, mut tasks, _) = new(&[1_000]);
        writers.pop().unwrap().end_all(FlameError::NotFound("s".to_owned()));
        assert_eq!(tasks.accepted().await.unwrap_err().class(), "not_found");
        assert_eq!(tasks.next().await.unwrap().unwrap_err().class(), "not_found");
        assert!(tasks.next().await.is_none());
    }

    #[tokio::test]
    async fn a_writer_that_is_dropped_ends_its_tasks() {
        let (writers, mut tasks, _) = new(&[1, 1]);
        drop(writers);
        assert_eq!(tasks.by_ref().filter(|end| std::future::ready(end.is_err())).count().await, 2);
    }

    #[test]
    fn what_nobody_will_read_is_not_kept() {
        let (mut writers, tasks, unread) = new(&[2]);
        writers[0].end_one(Ok(end(1)));
        drop(tasks);
        assert!(!writers[0].is_heard());
        writers[0].end_one(Ok(end(2)));
        assert_eq!(unread.bytes.load(Ordering::Relaxed), 0);
    }
}
