//! Changes of sessions, for the watches that this node serves.
//!
//! A subscription has an inbox of its own. Apply drops changes into it and never waits: changes coalesce, and an inbox
//! that would grow beyond [`INBOX_RANGES_MAX`] is emptied and marked *resync*, whereupon its reader looks at everything
//! it watches again. So a slow watcher costs a bounded amount of memory and never holds up apply.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use flame_machine::event::Event;
use flame_types::{SessionKey, TaskNo};
use tokio::sync::Notify;

/// Most task ranges that wait in one inbox.
pub const INBOX_RANGES_MAX: usize = 65_536;

/// All subscriptions of this node.
#[derive(Clone, Default)]
pub struct EventHub {
    inner: Arc<Mutex<HashMap<SessionKey, Vec<Arc<Inbox>>>>>,
}

#[derive(Default)]
struct Inbox {
    changes: Mutex<Changes>,
    arrived: Notify,
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
pub struct Subscription {
    session: SessionKey,
    inbox: Arc<Inbox>,
    hub: EventHub,
}

impl EventHub {
    /// Subscribes to a session. Read its state *after* subscribing: then nothing falls between.
    #[must_use]
    pub fn subscribe(&self, session: SessionKey) -> Subscription {
        let inbox = Arc::new(Inbox::default());
        self.lock().entry(session).or_default().push(inbox.clone());
        Subscription { session, inbox, hub: self.clone() }
    }

    /// Hands out the events of one entry. Called by apply: never waits.
    pub fn publish(&self, events: &[Event]) {
        if events.is_empty() {
            return;
        }
        let subscribers = self.lock();
        if subscribers.is_empty() {
            return;
        }
        for event in events {
            for inbox in subscribers.get(&event.session()).into_iter().flatten() {
                inbox.put(|changes| changes.add(event));
            }
        }
    }

    /// A snapshot replaced the state: which events lay between is unknown.
    pub fn resync_all(&self) {
        self.for_each_inbox(|changes| changes.resync = true);
    }

    /// Ends all subscriptions.
    pub fn stop(&self) {
        self.for_each_inbox(|changes| changes.stopped = true);
    }

    fn for_each_inbox(&self, change: impl Fn(&mut Changes)) {
        for inbox in self.lock().values().flatten() {
            inbox.put(&change);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionKey, Vec<Arc<Inbox>>>> {
        self.inner.lock().expect("no code panics while it holds this lock")
    }
}

impl Inbox {
    fn put(&self, change: impl FnOnce(&mut Changes)) {
        change(&mut self.lock());
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().expect("no code panics while it holds this lock")
    }
}

impl Changes {
    fn add(&mut self, event: &Event) {
        match event {
            Event::Task { task, .. } => self.add_tasks(*task, *task),
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
        loop {
            let arrived = self.inbox.arrived.notified();
            if let Some(change) = self.inbox.lock().take() {
                return change;
            }
            arrived.await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut subscribers = self.hub.lock();
        if let Some(inboxes) = subscribers.get_mut(&self.session) {
            inboxes.retain(|inbox| !Arc::ptr_eq(inbox, &self.inbox));
            if inboxes.is_empty() {
                subscribers.remove(&self.session);
            }
        }
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

    #[tokio::test]
    async fn changes_of_other_sessions_do_not_arrive() {
        let hub = EventHub::default();
        let mut subscription = hub.subscribe(SESSION);
        hub.publish(&[task_event(SessionKey(8), 1), task_event(SESSION, 2), task_event(SESSION, 3)]);
        let both = SessionChange::Tasks(vec![(TaskNo(2), TaskNo(2)), (TaskNo(3), TaskNo(3))]);
        assert_eq!(subscription.next().await, both);
    }

    #[tokio::test]
    async fn a_full_inbox_asks_for_a_resync_and_goes_on() {
        let hub = EventHub::default();
        let mut subscription = hub.subscribe(SESSION);
        for _ in 0..=INBOX_RANGES_MAX {
            hub.publish(&[task_event(SESSION, 1)]);
        }
        assert_eq!(subscription.next().await, SessionChange::Resync);
        hub.publish(&[task_event(SESSION, 5)]);
        assert_eq!(subscription.next().await, SessionChange::Tasks(vec![(TaskNo(5), TaskNo(5))]));
    }

    #[tokio::test]
    async fn the_end_comes_after_the_last_change() {
        let hub = EventHub::default();
        let mut subscription = hub.subscribe(SESSION);
        hub.publish(&[task_event(SESSION, 1), Event::SessionGone { session: SESSION }]);
        assert!(matches!(subscription.next().await, SessionChange::Tasks(_)));
        assert_eq!(subscription.next().await, SessionChange::Gone);
        assert_eq!(subscription.next().await, SessionChange::Gone);
    }

    #[test]
    fn a_dropped_subscription_leaves_nothing_behind() {
        let hub = EventHub::default();
        drop(hub.subscribe(SESSION));
        assert!(hub.lock().is_empty());
    }
}
