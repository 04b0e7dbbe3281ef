//! Mailboxes of those who follow a session: apply drops changes in and never waits; the reader takes what has gathered.
//!
//! What a mailbox holds is bounded by its content, which forgets and says so rather than grow: a slow reader costs a
//! bounded amount of memory and never holds up apply.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use flame_types::SessionKey;
use tokio::sync::Notify;

/// Mailboxes by the session they follow.
type BySession<C> = HashMap<SessionKey, Vec<Arc<Mailbox<C>>>>;

/// All mailboxes of one kind on this node.
pub(super) struct Mailboxes<C> {
    by_session: Arc<Mutex<BySession<C>>>,
}

struct Mailbox<C> {
    content: Mutex<C>,
    arrived: Notify,
}

/// The reading end of a mailbox. It is taken down when dropped.
pub(super) struct Reader<C> {
    session: SessionKey,
    mailbox: Arc<Mailbox<C>>,
    all: Mailboxes<C>,
}

impl<C> Clone for Mailboxes<C> {
    fn clone(&self) -> Self {
        Self { by_session: self.by_session.clone() }
    }
}

impl<C> Default for Mailboxes<C> {
    fn default() -> Self {
        Self { by_session: Arc::default() }
    }
}

impl<C> Mailboxes<C> {
    /// A mailbox, empty yet, for what happens in a session from now on.
    pub(super) fn open(&self, session: SessionKey, empty: C) -> Reader<C> {
        let mailbox = Arc::new(Mailbox { content: Mutex::new(empty), arrived: Notify::new() });
        self.lock().entry(session).or_default().push(mailbox.clone());
        Reader { session, mailbox, all: self.clone() }
    }

    /// Hands something out under one lock of the table; not at all when nobody follows anything.
    pub(super) fn deliver(&self, hand_out: impl FnOnce(&Followers<'_, C>)) {
        let by_session = self.lock();
        if !by_session.is_empty() {
            hand_out(&Followers(&by_session));
        }
    }

    /// Changes every mailbox.
    pub(super) fn to_all(&self, change: impl Fn(&mut C)) {
        for mailbox in self.lock().values().flatten() {
            mailbox.put(&change);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BySession<C>> {
        self.by_session.lock().expect("no code panics while it holds this lock")
    }
}

/// Who follows what, while something is handed out.
pub(super) struct Followers<'a, C>(&'a BySession<C>);

impl<C> Followers<'_, C> {
    /// Whether anybody follows this session.
    pub(super) fn has(&self, session: SessionKey) -> bool {
        self.0.contains_key(&session)
    }

    /// Changes every mailbox.
    pub(super) fn put_to_all(&self, change: impl Fn(&mut C)) {
        for mailbox in self.0.values().flatten() {
            mailbox.put(&change);
        }
    }

    /// Changes the mailboxes of those who follow this session.
    pub(super) fn put(&self, session: SessionKey, change: impl Fn(&mut C)) {
        for mailbox in self.0.get(&session).into_iter().flatten() {
            mailbox.put(&change);
        }
    }
}

impl<C> Mailbox<C> {
    fn put(&self, change: impl FnOnce(&mut C)) {
        change(&mut self.lock());
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, C> {
        self.content.lock().expect("no code panics while it holds this lock")
    }
}

impl<C> Reader<C> {
    /// Waits until `take` finds something. It is called under the lock of the mailbox: it only takes.
    pub(super) async fn next<T>(&mut self, mut take: impl FnMut(&mut C) -> Option<T>) -> T {
        loop {
            let arrived = self.mailbox.arrived.notified();
            if let Some(taken) = take(&mut self.mailbox.lock()) {
                return taken;
            }
            arrived.await;
        }
    }
}

impl<C> Drop for Reader<C> {
    fn drop(&mut self) {
        let mut by_session = self.all.by_session.lock().expect("no code panics while it holds this lock");
        if let Some(mailboxes) = by_session.get_mut(&self.session) {
            mailboxes.retain(|mailbox| !Arc::ptr_eq(mailbox, &self.mailbox));
            if mailboxes.is_empty() {
                by_session.remove(&self.session);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_reader_leaves_nothing_behind() {
        let all: Mailboxes<Vec<u8>> = Mailboxes::default();
        drop(all.open(SessionKey(7), Vec::new()));
        assert!(all.lock().is_empty());
    }

    #[tokio::test]
    async fn everybody_who_follows_a_session_gets_its_own_copy() {
        let all: Mailboxes<Vec<u8>> = Mailboxes::default();
        let mut first = all.open(SessionKey(7), Vec::new());
        let mut second = all.open(SessionKey(7), Vec::new());
        let other = all.open(SessionKey(8), Vec::new());
        all.deliver(|followers| followers.put(SessionKey(7), |content| content.push(1)));
        for reader in [&mut first, &mut second] {
            assert_eq!(reader.next(|content| content.pop()).await, 1);
        }
        assert!(other.mailbox.lock().is_empty());
    }
}
