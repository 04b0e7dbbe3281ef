//! Changes of sessions, for the watches that this node serves.
//!
//! Two kinds of followers, each with mailboxes of its own: a [`Subscription`] hears *that* tasks changed and looks at
//! them itself, which is what the published watches do; [`Results`](super::results::Results) come with what ended
//! tasks gave, for our own stream. In both, changes gather while the reader is busy, and a mailbox that would grow
//! beyond its limit is emptied and says so: then its reader looks for itself.
//!
//! The end of a task is told at once. That it has begun to run, or waits again, is told with the next end or after
//! [`MOVES_LINGER`], whichever is first: most tasks are short, and of those a reader then looks once and not twice.

use flame_machine::event::Event;
use std::time::Duration;

use flame_types::{Generation, LogIndex, SessionKey, TaskNo};
use tokio::time::Instant;

use super::mailbox::{Mailboxes, Reader};
use super::results::{Following, Results, ResultsRoom, publish_results};

/// Most task ranges that wait in one inbox.
pub const INBOX_RANGES_MAX: usize = 65_536;

/// How long a task's new state may stay untold while it is not its last.
pub const MOVES_LINGER: Duration = Duration::from_millis(5);

/// Tasks `first ..= last`.
pub type TaskRange = (TaskNo, TaskNo);

/// All subscriptions of this node.
#[derive(Clone)]
pub struct EventHub {
    changes: Mailboxes<Changes>,
    results: Mailboxes<Following>,
    results_room: ResultsRoom,
}

#[derive(Default)]
struct Changes {
    ended: Vec<TaskRange>,
    moved: Vec<TaskRange>,
    session: bool,
    gone: bool,
    resync: bool,
    stopped: bool,
}

/// What happened in a session since the reader last looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionChange {
    /// Tasks have a new state.
    Tasks {
        /// These have ended: their rows say how.
        ended: Vec<TaskRange>,
        /// These may have moved on, and may have ended since.
        moved: Vec<TaskRange>,
    },
    /// The session itself changed: its state or its events.
    Session,
    /// The session and its tasks are gone.
    Gone,
    /// Changes were lost (a full inbox, an installed snapshot): look at everything you watch again.
    Resync,
    /// This node stops serving.
    Stopped,
}

/// The changes of one session from the moment of subscribing. Unsubscribes when dropped.
pub struct Subscription {
    reader: Reader<Changes>,
    /// When moves are told that wait.
    moves_due: Option<Instant>,
}

impl EventHub {
    /// A hub that nobody follows yet. So many bytes of results may wait for all readers together.
    #[must_use]
    pub fn new(results_bytes: usize) -> Self {
        let results_room = ResultsRoom::new(results_bytes);
        Self { changes: Mailboxes::default(), results: Mailboxes::default(), results_room }
    }

    /// Subscribes to a session. Read its state *after* subscribing: then nothing falls between.
    #[must_use]
    pub fn subscribe(&self, session: SessionKey) -> Subscription {
        Subscription { reader: self.changes.open(session, Changes::default()), moves_due: None }
    }

    /// Follows the results of a session. Read what was recorded before *after* this: then nothing falls between.
    #[must_use]
    pub fn follow_results(&self, session: SessionKey) -> Results {
        Results::new(self.results.open(session, Following::new(&self.results_room)))
    }

    /// Hands out the events of one entry. Called by apply: never waits.
    pub fn publish(&self, at: (Generation, LogIndex), events: &[Event]) {
        if events.is_empty() {
            return;
        }
        self.changes.deliver(|followers| {
            for event in events {
                followers.put(event.session(), |changes| changes.add(event));
            }
        });
        self.results.deliver(|followers| publish_results(followers, &self.results_room, at, events));
    }

    /// A snapshot replaced the state: which events lay between is unknown.
    pub fn resync_all(&self) {
        self.changes.to_all(|changes| changes.resync = true);
        self.results.to_all(Following::forget);
    }

    /// Bytes of results that wait for readers.
    #[must_use]
    pub fn results_waiting(&self) -> usize {
        self.results_room.bytes()
    }

    /// Ends all subscriptions.
    pub fn stop(&self) {
        self.changes.to_all(|changes| changes.stopped = true);
        self.results.to_all(Following::stop);
    }
}

impl Changes {
    fn add(&mut self, event: &Event) {
        match event {
            Event::Task { task, state, .. } | Event::Ended { task, state, .. } => {
                self.add_tasks((*task, *task), state.is_terminal());
            }
            Event::Tasks { first, last, state, .. } => self.add_tasks((*first, *last), state.is_terminal()),
            Event::Session { .. } => self.session = true,
            Event::SessionGone { .. } => self.gone = true,
        }
    }

    fn add_tasks(&mut self, tasks: TaskRange, have_ended: bool) {
        if self.resync {
            return;
        }
        if self.ended.len() + self.moved.len() == INBOX_RANGES_MAX {
            (self.ended, self.moved) = (Vec::new(), Vec::new());
            self.resync = true;
            return;
        }
        if have_ended { &mut self.ended } else { &mut self.moved }.push(tasks);
    }

    /// The most urgent change, taken out. Moves alone are not urgent.
    fn take(&mut self) -> Option<SessionChange> {
        if std::mem::take(&mut self.resync) {
            self.take_tasks();
            return Some(SessionChange::Resync);
        }
        if !self.ended.is_empty() {
            return Some(self.take_tasks());
        }
        if self.session || self.gone || self.stopped {
            // What is told next must not overtake the tasks.
            if !self.moved.is_empty() {
                return Some(self.take_tasks());
            }
            if std::mem::take(&mut self.session) {
                return Some(SessionChange::Session);
            }
            return Some(if self.gone { SessionChange::Gone } else { SessionChange::Stopped });
        }
        None
    }

    /// The same, or that there are moves.
    fn find(&mut self) -> Option<Found> {
        let urgent = self.take().map(Found::Change);
        urgent.or_else(|| (!self.moved.is_empty()).then_some(Found::Moves))
    }

    fn take_tasks(&mut self) -> SessionChange {
        SessionChange::Tasks { ended: std::mem::take(&mut self.ended), moved: std::mem::take(&mut self.moved) }
    }
}

/// What a subscription finds in its mailbox.
enum Found {
    Change(SessionChange),
    /// Nothing but moves, which can wait.
    Moves,
}

impl Subscription {
    /// The next change. [`SessionChange::Gone`] and [`SessionChange::Stopped`] come again with every call.
    pub async fn next(&mut self) -> SessionChange {
        let change = match self.moves_due {
            Some(due) => self.next_until(due).await,
            None => match self.reader.next(Changes::find).await {
                Found::Change(change) => change,
                Found::Moves => {
                    let due = Instant::now() + MOVES_LINGER;
                    self.moves_due = Some(due);
                    self.next_until(due).await
                }
            },
        };
        self.moves_due = None;
        change
    }

    /// The next change that is urgent, or the moves that wait.
    async fn next_until(&mut self, due: Instant) -> SessionChange {
        tokio::select! {
            biased;
            change = self.reader.next(Changes::take) => return change,
            () = tokio::time::sleep_until(due) => {}
        }
        self.reader.next(|changes| Some(changes.take().unwrap_or_else(|| changes.take_tasks()))).await
    }
}

#[cfg(test)]
mod tests {
    use flame_types::TaskState;
    use futures::FutureExt;

    use super::*;

    const SESSION: SessionKey = SessionKey(7);

    fn task_event(session: SessionKey, task: u64) -> Event {
        Event::Task { session, task: TaskNo(task), state: TaskState::Running, attempt: 1 }
    }

    fn ended_event(task: u64) -> Event {
        Event::Task { session: SESSION, task: TaskNo(task), state: TaskState::Cancelled, attempt: 1 }
    }

    fn range(task: u64) -> TaskRange {
        (TaskNo(task), TaskNo(task))
    }

    fn moved(tasks: &[u64]) -> SessionChange {
        SessionChange::Tasks { ended: Vec::new(), moved: tasks.iter().map(|task| range(*task)).collect() }
    }

    fn publish(hub: &EventHub, events: &[Event]) {
        hub.publish((Generation(1), LogIndex(1)), events);
    }

    #[tokio::test]
    async fn changes_of_other_sessions_do_not_arrive() {
        let hub = EventHub::new(1 << 20);
        let mut subscription = hub.subscribe(SESSION);
        publish(&hub, &[task_event(SessionKey(8), 1), task_event(SESSION, 2), task_event(SESSION, 3)]);
        assert_eq!(subscription.next().await, moved(&[2, 3]));
    }

    #[tokio::test]
    async fn a_full_inbox_asks_for_a_resync_and_goes_on() {
        let hub = EventHub::new(1 << 20);
        let mut subscription = hub.subscribe(SESSION);
        for _ in 0..=INBOX_RANGES_MAX {
            publish(&hub, &[task_event(SESSION, 1)]);
        }
        assert_eq!(subscription.next().await, SessionChange::Resync);
        publish(&hub, &[task_event(SESSION, 5)]);
        assert_eq!(subscription.next().await, moved(&[5]));
    }

    #[tokio::test]
    async fn an_end_is_told_at_once_and_takes_the_moves_along() {
        let hub = EventHub::new(1 << 20);
        let mut subscription = hub.subscribe(SESSION);
        publish(&hub, &[task_event(SESSION, 1), task_event(SESSION, 2)]);
        assert!(subscription.next().now_or_never().is_none(), "moves alone can wait");
        publish(&hub, &[ended_event(1)]);
        let both = SessionChange::Tasks { ended: vec![range(1)], moved: vec![range(1), range(2)] };
        assert_eq!(subscription.next().now_or_never(), Some(both));
        assert!(subscription.next().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_move_is_told_in_the_end_however_often_its_reader_is_interrupted() {
        let hub = EventHub::new(1 << 20);
        let mut subscription = hub.subscribe(SESSION);
        publish(&hub, &[task_event(SESSION, 1)]);
        for _ in 0..1000 {
            if let Ok(told) = tokio::time::timeout(MOVES_LINGER / 3, subscription.next()).await {
                return assert_eq!(told, moved(&[1]));
            }
        }
        panic!("interruptions put it off for ever");
    }

    #[tokio::test]
    async fn the_end_comes_after_the_last_change() {
        let hub = EventHub::new(1 << 20);
        let mut subscription = hub.subscribe(SESSION);
        publish(&hub, &[task_event(SESSION, 1), Event::SessionGone { session: SESSION }]);
        assert_eq!(subscription.next().now_or_never(), Some(moved(&[1])));
        assert_eq!(subscription.next().await, SessionChange::Gone);
        assert_eq!(subscription.next().await, SessionChange::Gone);
    }
}
