//! Changes of sessions, for the watches that this node serves.
//!
//! Two kinds of followers, each with mailboxes of its own: a [`Subscription`] hears *that* tasks changed and looks at
//! them itself, which is what the published watches do; [`Results`](super::results::Results) come with what ended
//! tasks gave, for our own stream. In both, changes gather while the reader is busy, and a mailbox that would grow
//! beyond its limit is emptied and says so: then its reader looks for itself.

use flame_machine::event::Event;
use flame_types::{Generation, LogIndex, SessionKey, TaskNo};

use super::mailbox::{Mailboxes, Reader};
use super::results::{Following, Results, ResultsRoom, publish_results};

/// Most task ranges that wait in one inbox.
pub const INBOX_RANGES_MAX: usize = 65_536;

/// All subscriptions of this node.
#[derive(Clone)]
pub struct EventHub {
    changes: Mailboxes<Changes>,
    results: Mailboxes<Following>,
    results_room: ResultsRoom,
}

#[derive(Default)]
struct Changes {
    tasks: Vec<(TaskNo, TaskNo)>,
    session: bool,
    gone: bool,
    resync: bool,
    stopped: bool,
}

/// What happened in a session since the reader last looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionChange {
    /// Tasks `first ..= last` of each range may have a new state.
    Tasks(Vec<(TaskNo, TaskNo)>),
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
pub struct Subscription(Reader<Changes>);

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
        Subscription(self.changes.open(session, Changes::default()))
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
            Event::Task { task, .. } | Event::Ended { task, .. } => self.add_tasks(*task, *task),
            Event::Tasks { first, last, .. } => self.add_tasks(*first, *last),
            Event::Session { .. } => self.session = true,
            Event::SessionGone { .. } => self.gone = true,
        }
    }

    fn add_tasks(&mut self, first: TaskNo, last: TaskNo) {
        if self.resync {
            return;
        }
        if self.tasks.len() == INBOX_RANGES_MAX {
            self.tasks = Vec::new();
            self.resync = true;
            return;
        }
        self.tasks.push((first, last));
    }

    /// The most urgent change, taken out.
    fn take(&mut self) -> Option<SessionChange> {
        if std::mem::take(&mut self.resync) {
            self.tasks.clear();
            return Some(SessionChange::Resync);
        }
        if !self.tasks.is_empty() {
            return Some(SessionChange::Tasks(std::mem::take(&mut self.tasks)));
        }
        if std::mem::take(&mut self.session) {
            return Some(SessionChange::Session);
        }
        if self.gone {
            return Some(SessionChange::Gone);
        }
        self.stopped.then_some(SessionChange::Stopped)
    }
}

impl Subscription {
    /// The next change. [`SessionChange::Gone`] and [`SessionChange::Stopped`] come again with every call.
    pub async fn next(&mut self) -> SessionChange {
        self.0.next(Changes::take).await
    }
}

#[cfg(test)]
mod tests {
    use flame_types::TaskState;

    use super::*;

    const SESSION: SessionKey = SessionKey(7);

    fn task_event(session: SessionKey, task: u64) -> Event {
        Event::Task { session, task: TaskNo(task), state: TaskState::Running, attempt: 1 }
    }

    fn publish(hub: &EventHub, events: &[Event]) {
        hub.publish((Generation(1), LogIndex(1)), events);
    }

    #[tokio::test]
    async fn changes_of_other_sessions_do_not_arrive() {
        let hub = EventHub::new(1 << 20);
        let mut subscription = hub.subscribe(SESSION);
        publish(&hub, &[task_event(SessionKey(8), 1), task_event(SESSION, 2), task_event(SESSION, 3)]);
        let both = SessionChange::Tasks(vec![(TaskNo(2), TaskNo(2)), (TaskNo(3), TaskNo(3))]);
        assert_eq!(subscription.next().await, both);
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
        assert_eq!(subscription.next().await, SessionChange::Tasks(vec![(TaskNo(5), TaskNo(5))]));
    }

    #[tokio::test]
    async fn the_end_comes_after_the_last_change() {
        let hub = EventHub::new(1 << 20);
        let mut subscription = hub.subscribe(SESSION);
        publish(&hub, &[task_event(SESSION, 1), Event::SessionGone { session: SESSION }]);
        assert!(matches!(subscription.next().await, SessionChange::Tasks(_)));
        assert_eq!(subscription.next().await, SessionChange::Gone);
        assert_eq!(subscription.next().await, SessionChange::Gone);
    }
}
