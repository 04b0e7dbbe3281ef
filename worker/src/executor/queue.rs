//! What an executor is to do next: seen from both sides, the agent that gives and the executor that takes.
//!
//! Tasks wait, then begin, then end. A service that has several at a time works on the first of those that have begun;
//! the others count as begun because they are out of our hands.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flame_proto::ha;
use flame_types::{SessionKey, Token};
use tokio::sync::Notify;

/// Most tasks that wait behind those that have begun. The leader gives far fewer; more are given back.
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
    /// In the order in which they began.
    begun: VecDeque<Begun>,
    rebind: Option<Box<ha::Start>>,
    /// The executor is to end; what has begun may go on for so long.
    stop: Option<Duration>,
}

#[derive(Debug)]
struct Begun {
    task: ha::Task,
    is_cancelled: bool,
    /// Whether the executor knows that it is cancelled.
    is_told: bool,
}

/// How much more may begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Most tasks that may have begun together.
    pub(crate) tasks: usize,
    /// No task begins besides others when their inputs and its own have more bytes.
    pub(crate) bytes: usize,
}

impl Room {
    /// For one task at a time.
    pub(crate) const ONE: Self = Self { tasks: 1, bytes: 0 };
}

/// The next thing to do.
#[derive(Debug)]
pub(crate) enum Next {
    /// Run these.
    Tasks(Vec<ha::Task>),
    /// Leave the session and enter another.
    Rebind(Box<ha::Start>),
    /// Leave the session and end.
    Stop,
    /// Wait.
    Nothing,
}

/// What has begun, as the executor watches over it.
#[derive(Debug, Default)]
pub(crate) struct Running {
    /// The one that the service works on, as far as we know.
    pub(crate) head: Option<Head>,
    /// How many have begun.
    pub(crate) count: usize,
    /// The executor is to end; they may go on for so long.
    pub(crate) stop: Option<Duration>,
    /// Those that were cancelled since the last look.
    pub(crate) cancelled: Vec<Token>,
}

impl Running {
    /// How long the head may go on, when somebody wants it ended. `cancel_grace` is what a cancelled one gets.
    pub(crate) fn grace(&self, cancel_grace: Duration) -> Option<Duration> {
        let cancelled = self.head.is_some_and(|head| head.is_cancelled).then_some(cancel_grace);
        cancelled.into_iter().chain(self.stop).min()
    }
}

/// A task that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) token: Token,
    /// Its number in its session.
    pub(crate) number: u64,
    /// How long it may run.
    pub(crate) limit: Option<Duration>,
    pub(crate) is_cancelled: bool,
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
        let orders = Orders { session, waiting: VecDeque::new(), begun: VecDeque::new(), rebind: None, stop: None };
        Self { orders: Mutex::new(orders), changed: Notify::new() }
    }

    // ── the agent's side ────────────────────────────────────────────────────────────────────────────────────────

    /// Queues tasks, in order. Answers those that cannot be run here: another session, stopping, or full.
    pub(crate) fn push(&self, tasks: Vec<ha::Task>) -> Vec<Token> {
        let mut orders = self.lock();
        let mut refused = Vec::new();
        for task in tasks {
            let fits = orders.stop.is_none()
                && orders.session == SessionKey(task.session)
                && orders.waiting.len() < WAITING_TASKS_MAX;
            if fits {
                orders.waiting.push_back(task);
            } else {
                refused.push(Token(task.token));
            }
        }
        drop(orders);
        self.changed.notify_one();
        refused
    }

    /// Takes a task out that has not begun.
    pub(crate) fn recall(&self, token: Token) -> Revoked {
        self.lock().recall(token)
    }

    /// Takes a task out; one that has begun gets the grace of a task that nobody wants any more.
    pub(crate) fn cancel(&self, token: Token) -> Revoked {
        let mut orders = self.lock();
        let revoked = orders.recall(token);
        if revoked == Revoked::Started {
            orders.begun.iter_mut().filter(|begun| begun.token() == token).for_each(|begun| begun.is_cancelled = true);
            drop(orders);
            self.changed.notify_one();
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

    /// The end; what has begun may go on for `grace`. Answers the tasks that will not run any more.
    pub(crate) fn stop(&self, grace: Duration) -> Vec<Token> {
        let mut orders = self.lock();
        orders.stop = Some(orders.stop.map_or(grace, |before| before.min(grace)));
        let returned = drain(&mut orders.waiting);
        drop(orders);
        self.changed.notify_one();
        returned
    }

    // ── the executor's side ─────────────────────────────────────────────────────────────────────────────────────

    /// What to do next. Tasks that are handed out here have begun; none are while `may_start` is false. `room` says how
    /// many may have begun, given how many have. What was begun ends before anything else is done.
    pub(crate) fn next(&self, may_start: bool, room: impl FnOnce(usize) -> Room) -> Next {
        let mut orders = self.lock();
        let orders = &mut *orders;
        if orders.stop.is_some() || orders.rebind.is_some() {
            return match orders.rebind.take_if(|_| orders.begun.is_empty() && orders.stop.is_none()) {
                Some(start) => Next::Rebind(start),
                None if orders.begun.is_empty() => Next::Stop,
                None => Next::Nothing,
            };
        }
        let room = room(orders.begun.len());
        let tasks = if may_start { orders.begin(room) } else { Vec::new() };
        if tasks.is_empty() { Next::Nothing } else { Next::Tasks(tasks) }
    }

    /// What has begun.
    pub(crate) fn running(&self) -> Running {
        let mut orders = self.lock();
        let stop = orders.stop;
        let news = orders.begun.iter_mut().filter(|begun| begun.is_cancelled && !begun.is_told);
        let cancelled = news.map(Begun::tell).collect();
        Running { head: orders.begun.front().map(Begun::head), count: orders.begun.len(), stop, cancelled }
    }

    /// These have ended.
    pub(crate) fn on_done(&self, tokens: impl IntoIterator<Item = Token>) {
        let mut orders = self.lock();
        for token in tokens {
            if orders.take_begun(token).is_none() {
                tracing::warn!(%token, "a service answered a task that it did not have");
            }
        }
    }

    /// The service has not begun these and gives them back. They wait again, before all others. Answers those that
    /// will not: nobody wants them here any more.
    pub(crate) fn on_skipped(&self, tokens: &[Token]) -> Vec<Token> {
        let mut orders = self.lock();
        let mut returned = Vec::new();
        for token in tokens.iter().rev() {
            let Some(begun) = orders.take_begun(*token) else { continue };
            if begun.is_cancelled || orders.stop.is_some() || orders.session != SessionKey(begun.task.session) {
                returned.push(*token);
            } else {
                orders.waiting.push_front(begun.task);
            }
        }
        returned
    }

    /// The tokens of what has begun.
    pub(crate) fn begun(&self) -> Vec<Token> {
        self.lock().begun.iter().map(Begun::token).collect()
    }

    /// Whether the executor was told to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().stop.is_some()
    }

    /// Whether the session being entered has been replaced meanwhile.
    pub(crate) fn has_rebind(&self) -> bool {
        self.lock().rebind.is_some()
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

impl Orders {
    fn recall(&mut self, token: Token) -> Revoked {
        if let Some(at) = self.waiting.iter().position(|task| task.token == token.0) {
            self.waiting.remove(at);
            return Revoked::Returned;
        }
        if self.begun.iter().any(|begun| begun.token() == token) { Revoked::Started } else { Revoked::Unknown }
    }

    /// Begins tasks while there is room.
    fn begin(&mut self, room: Room) -> Vec<ha::Task> {
        let mut bytes: usize = self.begun.iter().map(|begun| input_bytes(&begun.task)).sum();
        let mut tasks = Vec::new();
        while let Some(task) = self.waiting.front() {
            bytes += input_bytes(task);
            if !self.begun.is_empty() && (self.begun.len() >= room.tasks || bytes > room.bytes) {
                break;
            }
            let Some(task) = self.waiting.pop_front() else { break };
            tasks.push(task.clone());
            self.begun.push_back(Begun { task, is_cancelled: false, is_told: false });
        }
        tasks
    }

    fn take_begun(&mut self, token: Token) -> Option<Begun> {
        // Nearly always the first one.
        let at = self.begun.iter().position(|begun| begun.token() == token)?;
        self.begun.remove(at)
    }
}

impl Begun {
    fn token(&self) -> Token {
        Token(self.task.token)
    }

    fn tell(&mut self) -> Token {
        self.is_told = true;
        self.token()
    }

    fn head(&self) -> Head {
        let limit = (self.task.timeout_ms > 0).then(|| Duration::from_millis(self.task.timeout_ms));
        Head { token: self.token(), number: self.task.task, limit, is_cancelled: self.is_cancelled }
    }
}

fn input_bytes(task: &ha::Task) -> usize {
    task.input.as_ref().map_or(0, Bytes::len)
}

fn drain(waiting: &mut VecDeque<ha::Task>) -> Vec<Token> {
    waiting.drain(..).map(|task| Token(task.token)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(5);
    const MANY: Room = Room { tasks: 100, bytes: 1000 };

    fn task(token: u64) -> ha::Task {
        ha::Task { token, session: 1, ..ha::Task::default() }
    }

    fn queue_with(tokens: &[u64]) -> Queue {
        let queue = Queue::new(SessionKey(1));
        assert_eq!(queue.push(tokens.iter().copied().map(task).collect()), []);
        queue
    }

    fn begin(queue: &Queue, room: Room) -> Vec<u64> {
        match queue.next(true, |_| room) {
            Next::Tasks(tasks) => tasks.iter().map(|task| task.token).collect(),
            _ => Vec::new(),
        }
    }

    fn is_head_cancelled(queue: &Queue) -> Option<bool> {
        queue.running().head.map(|head| head.is_cancelled)
    }

    #[test]
    fn tasks_go_out_in_the_order_they_came() {
        let queue = queue_with(&[1, 2]);
        assert!(matches!(queue.next(false, |_| Room::ONE), Next::Nothing), "too many results wait to be recorded");
        assert_eq!(begin(&queue, Room::ONE), [1]);
        assert_eq!(begin(&queue, Room::ONE), [0; 0]);
        queue.on_done([Token(1)]);
        assert_eq!(begin(&queue, Room::ONE), [2]);
        queue.on_done([Token(2)]);
        assert!(matches!(queue.next(true, |_| Room::ONE), Next::Nothing));
    }

    #[test]
    fn as_many_begin_as_there_is_room_for() {
        let queue = queue_with(&[1, 2, 3, 4]);
        assert_eq!(begin(&queue, Room { tasks: 3, bytes: 0 }), [1, 2, 3], "inputs that are not there need no room");
        queue.on_done([Token(2)]);
        assert_eq!(begin(&queue, Room { tasks: 3, bytes: 0 }), [4]);

        let queue = Queue::new(SessionKey(1));
        let heavy = |token| ha::Task { input: Some(vec![0; 600].into()), ..task(token) };
        queue.push(vec![heavy(1), heavy(2)]);
        assert_eq!(begin(&queue, Room { tasks: 3, bytes: 500 }), [1], "one always has room");
        assert_eq!(begin(&queue, Room { tasks: 3, bytes: 1000 }), [0; 0]);
        assert_eq!(begin(&queue, Room { tasks: 3, bytes: 1200 }), [2]);
    }

    #[test]
    fn only_what_has_not_begun_is_given_back() {
        let queue = queue_with(&[1, 2, 3]);
        assert_eq!(begin(&queue, Room { tasks: 2, bytes: 0 }), [1, 2]);
        assert_eq!(queue.recall(Token(1)), Revoked::Started);
        assert_eq!(queue.recall(Token(2)), Revoked::Started);
        assert_eq!(queue.recall(Token(3)), Revoked::Returned);
        assert_eq!(queue.recall(Token(3)), Revoked::Unknown);
        queue.on_done([Token(1), Token(2)]);
        assert_eq!(begin(&queue, MANY), [0; 0], "a task that was given back never begins");
        assert_eq!(queue.recall(Token(1)), Revoked::Unknown);
    }

    #[test]
    fn a_cancelled_task_that_has_begun_is_told_once() {
        let queue = queue_with(&[1, 2]);
        assert_eq!(queue.cancel(Token(9)), Revoked::Unknown);
        assert_eq!(begin(&queue, MANY), [1, 2]);
        assert_eq!(is_head_cancelled(&queue), Some(false));
        assert_eq!(queue.cancel(Token(2)), Revoked::Started);
        assert_eq!(queue.cancel(Token(2)), Revoked::Started);
        let running = queue.running();
        assert_eq!((running.count, &running.cancelled[..]), (2, &[Token(2)][..]));
        assert!(!running.head.unwrap().is_cancelled, "it is not the turn of the cancelled one yet");
        queue.on_done([Token(1)]);
        assert_eq!(is_head_cancelled(&queue), Some(true));
        assert_eq!(queue.running().cancelled, []);
        queue.on_done([Token(2)]);
        assert_eq!(is_head_cancelled(&queue), None);
    }

    #[test]
    fn what_the_service_gives_back_is_first_again() {
        let queue = queue_with(&[1, 2, 3, 4, 5]);
        assert_eq!(begin(&queue, Room { tasks: 4, bytes: 0 }), [1, 2, 3, 4]);
        queue.cancel(Token(3));
        assert_eq!(queue.on_skipped(&[Token(2), Token(3), Token(4)]), [Token(3)]);
        assert_eq!(queue.recall(Token(2)), Revoked::Returned, "it can be given back now");
        queue.on_done([Token(1)]);
        assert_eq!(begin(&queue, MANY), [4, 5]);
        queue.stop(GRACE);
        assert_eq!(queue.on_skipped(&[Token(5)]), [Token(5)], "it will not run here any more");
    }

    #[test]
    fn a_stop_gives_everything_back_and_takes_nothing_more() {
        let queue = queue_with(&[1, 2, 3]);
        assert_eq!(begin(&queue, Room::ONE), [1]);
        assert_eq!(queue.stop(GRACE), [Token(2), Token(3)]);
        assert_eq!(queue.push(vec![task(4)]), [Token(4)]);
        assert!(matches!(queue.next(true, |_| MANY), Next::Nothing), "what has begun ends first");
        assert_eq!(queue.running().stop, Some(GRACE));
        assert!(queue.stop(Duration::ZERO).is_empty());
        assert!(queue.stop(GRACE).is_empty(), "a later order does not give more time");
        assert_eq!(queue.running().stop, Some(Duration::ZERO));
        queue.on_done([Token(1)]);
        assert!(matches!(queue.next(true, |_| MANY), Next::Stop));
    }

    #[test]
    fn a_task_of_another_session_is_not_taken() {
        let queue = queue_with(&[1, 2]);
        let other = |token| ha::Task { token, session: 2, ..ha::Task::default() };
        assert_eq!(queue.push(vec![other(3)]), [Token(3)]);
        assert_eq!(begin(&queue, Room::ONE), [1]);
        let start = Box::new(ha::Start { session: 2, ..ha::Start::default() });
        assert_eq!(queue.rebind(start), [Token(2)]);
        assert_eq!(queue.push(vec![other(3)]), []);
        assert!(matches!(queue.next(true, |_| MANY), Next::Nothing), "the task of the session before ends first");
        assert_eq!(queue.on_skipped(&[Token(1)]), [Token(1)]);
        assert!(matches!(queue.next(true, |_| MANY), Next::Rebind(start) if start.session == 2));
        assert_eq!(begin(&queue, MANY), [3]);
    }

    #[test]
    fn a_full_queue_says_so() {
        let queue = Queue::new(SessionKey(1));
        let refused = queue.push((0..WAITING_TASKS_MAX as u64 + 10).map(task).collect());
        assert_eq!(refused.len(), 10);
    }
}
