//! Deadlines in cluster time. The index holds only those that lie ahead: whoever advances the time takes out what
//! became due, so that the index can be rebuilt from rows and the present time.

use std::collections::BTreeSet;

use flame_types::{ClusterMs, ExecutorKey, SessionKey, TaskNo, Token};

/// What is due at a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A task may be started again.
    Retry(SessionKey, TaskNo),
    /// An assignment has run too long.
    Timeout(Token),
    /// A gang has waited long enough for its missing executors.
    Gang(SessionKey),
    /// A session may get executors again.
    Placement(SessionKey),
    /// An executor has been idle for the delay of its application.
    Idle(ExecutorKey),
    /// A worker has been avoided for long enough.
    Avoidance,
}

/// All deadlines that lie ahead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timers {
    due: BTreeSet<(ClusterMs, Timer)>,
}

impl Timers {
    /// Adds a deadline.
    pub fn insert(&mut self, at: ClusterMs, timer: Timer) {
        self.due.insert((at, timer));
    }

    /// Removes a deadline.
    pub fn remove(&mut self, at: ClusterMs, timer: Timer) {
        self.due.remove(&(at, timer));
    }

    /// Takes out all that are due at `now`, the earliest first.
    #[must_use]
    pub fn pop_due(&mut self, now: ClusterMs) -> Vec<Timer> {
        let mut popped = Vec::new();
        while let Some((at, timer)) = self.due.first().copied()
            && at <= now
        {
            self.due.pop_first();
            popped.push(timer);
        }
        popped
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next(&self) -> Option<ClusterMs> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Replaces one deadline by another; a deadline that is not ahead of `now` is none.
    pub fn replace(&mut self, timer: Timer, old: &mut Option<ClusterMs>, new: Option<ClusterMs>, now: ClusterMs) {
        let new = new.filter(|at| *at > now);
        if *old == new {
            return;
        }
        if let Some(at) = old.take() {
            self.remove(at, timer);
        }
        if let Some(at) = new {
            self.insert(at, timer);
        }
        *old = new;
    }
}
