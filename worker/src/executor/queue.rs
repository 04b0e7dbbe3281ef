//! What an executor is to do next: seen from both sides, the agent that gives and the executor that takes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flame_proto::ha;
use flame_types::{SessionKey, Token};
use tokio::sync::Notify;

/// Most tasks that wait behind the running one. The leader gives far fewer; more are given back.
pub(crate) const WAITING_TASKS_MAX: usize = 4096;

/// What an executor is to do next.
#[derive(Debug)]
pub(crate) struct Queue {
    orders: Mutex<Orders>,
    changed: Notify,
}

#[derive(Debug)]
struct Orders {
    /// The session that the executor was last told to enter.
    session: SessionKey,
    waiting: VecDeque<ha::Task>,
    running: Option<Running>,
    rebind: Option<Box<ha::Start>>,
    /// The executor is to end; its running task may go on for so long.
    stop: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    token: Token,
    is_cancelled: bool,
}

/// The next thing to do.
#[derive(Debug)]
pub(crate) enum Next {
    /// Run this.
    Task(ha::Task),
    /// Leave the session and enter another.
    Rebind(Box<ha::Start>),
    /// Leave the session and end.
    Stop,
    /// Wait.
    Nothing,
}

/// What became of a task that was asked back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revoked {
    /// It had not begun and never will.
    Returned,
    /// It has begun.
    Started,
    /// It is not here.
    Unknown,
}

impl Queue {
    pub(crate) fn new(session: SessionKey) -> Self {
        let orders = Orders { session, waiting: VecDeque::new(), running: None, rebind: None, stop: None };
        Self { orders: Mutex::new(orders), changed: Notify::new() }
    }

    // ── the agent's side ────────────────────────────────────────────────────────────────────────────────────────

    /// Queues a task. `false` when it cannot be run here: another session, stopping, or full.
    pub(crate) fn push(&self, task: ha::Task) -> bool {
        let mut orders = self.lock();
        let fits = orders.stop.is_none()
            && orders.session == SessionKey(task.session)
            && orders.waiting.len() < WAITING_TASKS_MAX;
        if fits {
            orders.waiting.push_back(task);
            drop(orders);
            self.changed.notify_one();
        }
        fits
    }

    /// Takes a task out that has not begun.
    pub(crate) fn recall(&self, token: Token) -> Revoked {
        let mut orders = self.lock();
        if let Some(at) = orders.waiting.iter().position(|task| task.token == token.0) {
            orders.waiting.remove(at);
            return Revoked::Returned;
        }
        match orders.running {
            Some(running) if running.token == token => Revoked::Started,
            _ => Revoked::Unknown,
        }
    }

    /// Takes a task out; one that has begun gets the grace of a task that nobody wants any more.
    pub(crate) fn cancel(&self, token: Token) -> Revoked {
        let revoked = self.recall(token);
        if revoked == Revoked::Started {
            let mut orders = self.lock();
            // It may have ended between the two locks: then there is nothing to cancel.
            if let Some(running) = orders.running.as_mut().filter(|running| running.token == token) {
                running.is_cancelled = true;
                drop(orders);
                self.changed.notify_one();
            }
        }
        revoked
    }

    /// Another session for the same process. Answers the tasks that will not run any more.
    pub(crate) fn rebind(&self, start: Box<ha::Start>) -> Vec<Token> {
        let mut orders = self.lock();
        orders.session = SessionKey(start.session);
        orders.rebind = Some(start);
        let returned = drain(&mut orders.waiting);
        drop(orders);
        self.changed.notify_one();
        returned
    }

    /// The end; the running task may go on for `grace`. Answers the tasks that will not run any more.
    pub(crate) fn stop(&self, grace: Duration) -> Vec<Token> {
        let mut orders = self.lock();
        orders.stop = Some(orders.stop.map_or(grace, |before| before.min(grace)));
        let returned = drain(&mut orders.waiting);
        drop(orders);
        self.changed.notify_one();
        returned
    }

    // ── the executor's side ─────────────────────────────────────────────────────────────────────────────────────

    /// What to do next. A task that is handed out here has begun; none is while `may_start` is false.
    pub(crate) fn next(&self, may_start: bool) -> Next {
        let mut orders = self.lock();
        if orders.stop.is_some() {
            return Next::Stop;
        }
        if let Some(start) = orders.rebind.take() {
            return Next::Rebind(start);
        }
        match orders.waiting.pop_front_if(|_| may_start) {
            Some(task) => {
                orders.running = Some(Running { token: Token(task.token), is_cancelled: false });
                Next::Task(task)
            }
            None => Next::Nothing,
        }
    }

    /// The running task has ended.
    pub(crate) fn on_done(&self) {
        self.lock().running = None;
    }

    /// Whether the executor was told to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().stop.is_some()
    }

    /// Whether the session being entered has been replaced meanwhile.
    pub(crate) fn has_rebind(&self) -> bool {
        self.lock().rebind.is_some()
    }

    /// How long the running task may go on, when somebody wants it ended. `cancel_grace` is what a cancelled one gets.
    pub(crate) fn grace_of_running(&self, cancel_grace: Duration) -> Option<Duration> {
        let orders = self.lock();
        let cancelled = orders.running.is_some_and(|running| running.is_cancelled).then_some(cancel_grace);
        cancelled.into_iter().chain(orders.stop).min()
    }

    /// Waits until something may have changed. For the executor alone: one waiter, no wake-up is lost.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Waits until the executor is told to end.
    pub(crate) async fn stopped(&self) {
        while !self.is_stopped() {
            self.changed().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Orders> {
        // Nothing that runs under the lock can leave it half-changed, so a panic elsewhere does not spoil it.
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn drain(waiting: &mut VecDeque<ha::Task>) -> Vec<Token> {
    waiting.drain(..).map(|task| Token(task.token)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    fn task(token: u64) -> ha::Task {
        ha::Task { token, session: 1, ..ha::Task::default() }
    }

    fn queue_with(tokens: &[u64]) -> Queue {
        let queue = Queue::new(SessionKey(1));
        for token in tokens {
            assert!(queue.push(task(*token)));
        }
        queue
    }

    #[test]
    fn tasks_go_out_in_the_order_they_came() {
        let queue = queue_with(&[1, 2]);
        assert!(matches!(queue.next(false), Next::Nothing), "too many results wait to be recorded");
        assert!(matches!(queue.next(true), Next::Task(task) if task.token == 1));
        queue.on_done();
        assert!(matches!(queue.next(true), Next::Task(task) if task.token == 2));
        queue.on_done();
        assert!(matches!(queue.next(true), Next::Nothing));
    }

    #[test]
    fn only_what_has_not_begun_is_given_back() {
        let queue = queue_with(&[1, 2]);
        let Next::Task(_) = queue.next(true) else { panic!("a task waits") };
        assert_eq!(queue.recall(Token(1)), Revoked::Started);
        assert_eq!(queue.recall(Token(2)), Revoked::Returned);
        assert_eq!(queue.recall(Token(2)), Revoked::Unknown);
        queue.on_done();
        assert!(matches!(queue.next(true), Next::Nothing), "a task that was given back never begins");
        assert_eq!(queue.recall(Token(1)), Revoked::Unknown);
    }

    #[test]
    fn a_cancelled_task_that_runs_gets_a_grace() {
        let queue = queue_with(&[1]);
        assert_eq!(queue.cancel(Token(9)), Revoked::Unknown);
        let Next::Task(_) = queue.next(true) else { panic!("a task waits") };
        assert_eq!(queue.grace_of_running(GRACE), None);
        assert_eq!(queue.cancel(Token(1)), Revoked::Started);
        assert_eq!(queue.grace_of_running(GRACE), Some(GRACE));
        queue.on_done();
        assert_eq!(queue.grace_of_running(GRACE), None);
    }

    #[test]
    fn a_stop_gives_everything_back_and_takes_nothing_more() {
        let queue = queue_with(&[1, 2, 3]);
        let Next::Task(_) = queue.next(true) else { panic!("a task waits") };
        assert_eq!(queue.stop(GRACE), [Token(2), Token(3)]);
        assert!(!queue.push(task(4)));
        assert!(matches!(queue.next(true), Next::Stop));
        assert_eq!(queue.grace_of_running(GRACE), Some(GRACE));
        assert!(queue.stop(Duration::ZERO).is_empty());
        assert!(queue.stop(GRACE).is_empty(), "a later order does not give more time");
        assert_eq!(queue.grace_of_running(GRACE), Some(Duration::ZERO));
    }

    #[test]
    fn a_task_of_another_session_is_not_taken() {
        let queue = queue_with(&[1]);
        assert!(!queue.push(ha::Task { token: 2, session: 2, ..ha::Task::default() }));
        let start = Box::new(ha::Start { session: 2, ..ha::Start::default() });
        assert_eq!(queue.rebind(start), [Token(1)]);
        assert!(queue.push(ha::Task { token: 2, session: 2, ..ha::Task::default() }));
        assert!(matches!(queue.next(true), Next::Rebind(start) if start.session == 2));
        assert!(matches!(queue.next(true), Next::Task(task) if task.token == 2));
    }

    #[test]
    fn a_full_queue_says_so() {
        let queue = Queue::new(SessionKey(1));
        let taken = (0..WAITING_TASKS_MAX as u64 + 10).filter(|token| queue.push(task(*token))).count();
        assert_eq!(taken, WAITING_TASKS_MAX);
    }
}
