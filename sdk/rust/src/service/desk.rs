//! What a stream is to do next, and what it has to say: shared by the thread of the socket, which brings orders and
//! takes words away, and the runner, which does the reverse.
//!
//! **Invariant:** a task that was taken off the desk has begun and is answered with its result; one that has not been
//! taken is answered as skipped when it is cancelled or withdrawn. Both are decided under one lock.
//! **Invariant:** words leave in the order in which they were said. Results that stand together leave in one frame:
//! as many as are there when the socket has room, without waiting for more.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use flame_proto::ha;
use flame_proto::ha::service_up::Frame;
use flame_types::Token;
use tokio::sync::Notify;

use super::cancellation::Cancellation;

/// Most tasks of one stream without an answer: what a service tells its worker.
pub(super) const IN_FLIGHT_MAX: usize = 1024;

/// Most results in one frame.
const RESULTS_PER_FRAME_MAX: usize = 1024;

/// No further result is added to a frame with this many bytes of outputs.
const FRAME_BYTES_GOAL: usize = 1 << 20;

/// Something to be done.
#[derive(Debug)]
pub(super) enum Order {
    Enter(ha::EnterSession),
    Task(ha::InvokeTask, Cancellation),
    Leave,
}

/// Something to be said.
#[derive(Debug, PartialEq)]
pub(super) enum Word {
    Frame(Frame),
    Done(ha::TaskDone),
}

/// More tasks came than a worker may hand over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// The desk of one stream.
#[derive(Debug, Default)]
pub(super) struct Desk {
    papers: Mutex<Papers>,
    /// Wakes the runner.
    order_came: Notify,
    /// Wakes the socket.
    word_came: Notify,
}

#[derive(Debug, Default)]
struct Papers {
    waiting: VecDeque<Order>,
    running: Option<(Token, Cancellation)>,
    words: VecDeque<Word>,
    /// Nothing is begun any more.
    is_ending: bool,
}

impl Desk {
    // ── the socket's side ───────────────────────────────────────────────────────────────────────────────────────

    /// Brings tasks.
    ///
    /// # Errors
    /// [`TooMany`], and none of them is taken.
    pub(super) fn bring_tasks(&self, tasks: Vec<ha::InvokeTask>) -> Result<(), TooMany> {
        let mut papers = self.lock();
        let in_flight = papers.waiting.len() + papers.words.len() + usize::from(papers.running.is_some());
        if in_flight + tasks.len() > IN_FLIGHT_MAX {
            return Err(TooMany);
        }
        papers.waiting.extend(tasks.into_iter().map(|task| Order::Task(task, Cancellation::default())));
        self.after_bringing(papers);
        Ok(())
    }

    /// Brings an order that is no task.
    ///
    /// # Errors
    /// [`TooMany`], and it is not taken.
    pub(super) fn bring(&self, order: Order) -> Result<(), TooMany> {
        let mut papers = self.lock();
        if papers.waiting.len() >= IN_FLIGHT_MAX {
            return Err(TooMany);
        }
        papers.waiting.push_back(order);
        self.after_bringing(papers);
        Ok(())
    }

    /// Nobody wants this task any more.
    pub(super) fn cancel(&self, token: Token) {
        let mut papers = self.lock();
        match &papers.running {
            Some((running, cancellation)) if *running == token => {
                let cancellation = cancellation.clone();
                drop(papers);
                cancellation.cancel();
            }
            _ => {
                papers.skip(|task| task.token == token.0);
                self.after_saying(papers);
            }
        }
    }

    /// Answers everything that has not begun as skipped.
    pub(super) fn withdraw(&self) {
        let mut papers = self.lock();
        papers.skip(|_| true);
        self.after_saying(papers);
    }

    /// Nothing is begun any more. What runs is still answered.
    pub(super) fn end(&self) {
        let mut papers = self.lock();
        papers.skip(|_| true);
        papers.waiting.clear();
        papers.is_ending = true;
        drop(papers);
        self.order_came.notify_one();
        self.word_came.notify_one();
    }

    /// The next frame to be said; `None` when nothing will be said any more.
    pub(super) async fn next_frame(&self) -> Option<Frame> {
        loop {
            {
                let mut papers = self.lock();
                if let Some(frame) = papers.take_frame() {
                    return Some(frame);
                }
                if papers.is_ending && papers.running.is_none() {
                    return None;
                }
            }
            self.word_came.notified().await;
        }
    }

    // ── the runner's side ───────────────────────────────────────────────────────────────────────────────────────

    /// Says what became of the order before, if there was one, and takes the next; `None` when there will be none.
    pub(super) async fn next_order(&self, mut said: Option<Word>) -> Option<Order> {
        loop {
            {
                let mut papers = self.lock();
                let is_first_word = said.is_some() && papers.words.is_empty();
                papers.words.extend(said.take());
                papers.running = None;
                let order = papers.waiting.pop_front();
                if let Some(Order::Task(task, cancellation)) = &order {
                    papers.running = Some((Token(task.token), cancellation.clone()));
                }
                let is_ending = papers.is_ending;
                drop(papers);
                if is_first_word || is_ending {
                    self.word_came.notify_one();
                }
                if order.is_some() || is_ending {
                    return order;
                }
            }
            self.order_came.notified().await;
        }
    }

    fn after_bringing(&self, mut papers: MutexGuard<'_, Papers>) {
        if papers.is_ending {
            papers.skip(|_| true);
            papers.waiting.clear();
            return self.after_saying(papers);
        }
        drop(papers);
        self.order_came.notify_one();
    }

    fn after_saying(&self, papers: MutexGuard<'_, Papers>) {
        drop(papers);
        self.word_came.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Papers> {
        // Nothing that runs under the lock can leave it half-changed, so a panic elsewhere does not spoil it.
        self.papers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Papers {
    /// Answers the waiting tasks that `is_meant` as skipped.
    fn skip(&mut self, is_meant: impl Fn(&ha::InvokeTask) -> bool) {
        let words = &mut self.words;
        self.waiting.retain(|order| match order {
            Order::Task(task, _) if is_meant(task) => {
                words.push_back(Word::Done(ha::TaskDone { token: task.token, skipped: true, ..Default::default() }));
                false
            }
            Order::Task(..) | Order::Enter(_) | Order::Leave => true,
        });
    }

    fn take_frame(&mut self) -> Option<Frame> {
        let mut done = Vec::new();
        let mut bytes = 0;
        while done.len() < RESULTS_PER_FRAME_MAX && bytes < FRAME_BYTES_GOAL {
            match self.words.pop_front_if(|word| done.is_empty() || matches!(word, Word::Done(_))) {
                Some(Word::Done(result)) => {
                    bytes += result.output.as_ref().map_or(0, Bytes::len);
                    done.push(result);
                }
                Some(Word::Frame(frame)) => return Some(frame),
                None => break,
            }
        }
        (!done.is_empty()).then_some(Frame::Done(ha::TasksDone { done }))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn desk_with(tokens: std::ops::RangeInclusive<u64>) -> Desk {
        let desk = Desk::default();
        let tasks = tokens.map(|token| ha::InvokeTask { token, ..Default::default() }).collect();
        desk.bring_tasks(tasks).unwrap();
        desk
    }

    fn done(token: u64) -> Option<Word> {
        Some(Word::Done(ha::TaskDone { token, ..Default::default() }))
    }

    /// The token of the next task, if there is one now.
    fn next(desk: &Desk, said: Option<Word>) -> Option<(u64, Cancellation)> {
        match desk.next_order(said).now_or_never() {
            Some(Some(Order::Task(task, cancellation))) => Some((task.token, cancellation)),
            _ => None,
        }
    }

    /// What the next frame answers: tokens, and whether each was skipped.
    fn answers(desk: &Desk) -> Vec<(u64, bool)> {
        match desk.next_frame().now_or_never() {
            Some(Some(Frame::Done(frame))) => frame.done.iter().map(|done| (done.token, done.skipped)).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn results_that_are_there_leave_together() {
        let desk = desk_with(1..=3);
        assert!(next(&desk, None).is_some());
        assert!(next(&desk, done(1)).is_some());
        assert!(next(&desk, done(2)).is_some());
        assert_eq!(answers(&desk), [(1, false), (2, false)]);
        assert_eq!(answers(&desk), []);
        assert!(next(&desk, done(3)).is_none());
        assert_eq!(answers(&desk), [(3, false)]);
    }

    #[test]
    fn frames_and_results_keep_their_order() {
        let desk = desk_with(1..=1);
        desk.bring(Order::Leave).unwrap();
        assert!(next(&desk, None).is_some());
        assert!(matches!(desk.next_order(done(1)).now_or_never(), Some(Some(Order::Leave))));
        let left = Frame::Left(ha::LeftSession::default());
        assert!(next(&desk, Some(Word::Frame(left.clone()))).is_none());
        assert_eq!(answers(&desk), [(1, false)]);
        assert_eq!(desk.next_frame().now_or_never(), Some(Some(left)));
    }

    #[test]
    fn what_has_not_begun_is_skipped_and_what_runs_is_told() {
        let desk = desk_with(1..=4);
        let (_, cancellation) = next(&desk, None).unwrap();
        desk.cancel(Token(3));
        assert_eq!(answers(&desk), [(3, true)]);
        desk.withdraw();
        assert_eq!(answers(&desk), [(2, true), (4, true)]);
        assert!(!cancellation.is_cancelled(), "a withdrawal does not concern what runs");
        desk.cancel(Token(1));
        assert!(cancellation.is_cancelled());
        desk.cancel(Token(99));
        assert!(next(&desk, done(1)).is_none());
        assert_eq!(answers(&desk), [(1, false)]);
    }

    #[test]
    fn the_end_answers_what_runs_and_skips_the_rest() {
        let desk = desk_with(1..=2);
        assert!(next(&desk, None).is_some());
        desk.end();
        assert_eq!(answers(&desk), [(2, true)]);
        desk.bring_tasks(vec![ha::InvokeTask { token: 3, ..Default::default() }]).unwrap();
        assert_eq!(answers(&desk), [(3, true)]);
        assert_eq!(desk.next_frame().now_or_never(), None, "one still runs");
        assert!(matches!(desk.next_order(done(1)).now_or_never(), Some(None)));
        assert_eq!(answers(&desk), [(1, false)]);
        assert_eq!(desk.next_frame().now_or_never(), Some(None));
    }

    #[test]
    fn a_worker_that_hands_over_too_much_is_refused() {
        let desk = desk_with(1..=IN_FLIGHT_MAX as u64);
        assert_eq!(desk.bring_tasks(vec![ha::InvokeTask::default()]), Err(TooMany));
        assert_eq!(desk.bring(Order::Leave), Err(TooMany));
    }
}
