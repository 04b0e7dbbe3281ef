//! What the clients were told, in the order in which they were told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flame_jepsen::{Acknowledgement, Completion, Nonce, ToldResult};
use flame_types::TaskNo;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::run::gap::Gap;

/// How long after a fault silences are attributed to it.
const AFTERMATH: Duration = Duration::from_secs(10);

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Submits that were acknowledged, or found to be done.
    pub acknowledged: u64,
    /// Tasks that were told as ended.
    pub finished: u64,
    /// Submits whose answer was lost and that are not resolved.
    pub unresolved: u64,
}

/// Written by all clients of a run.
pub struct Ledger {
    started: Instant,
    inner: Mutex<Inner>,
    tally: watch::Sender<Tally>,
}

#[derive(Default)]
struct Inner {
    acknowledged: BTreeMap<TaskNo, Nonce>,
    finished: BTreeSet<TaskNo>,
    told: Vec<ToldResult>,
    unresolved: BTreeSet<Nonce>,
    writes: Gap,
    results: Gap,
    lost_answers: u64,
    /// When each acknowledged submit was made, and how long it took.
    calls: Vec<(Duration, Duration)>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { started: Instant::now(), inner: Mutex::default(), tally: watch::Sender::default() }
    }
}

impl Ledger {
    /// A submit is sent.
    pub fn submitting(&self) {
        let now = self.now();
        self.update(|inner| inner.writes.asked(now));
    }

    /// A submit is acknowledged.
    pub fn acknowledged(&self, nonce: Nonce, task: TaskNo) {
        let now = self.now();
        self.update(|inner| {
            inner.writes.answered(now);
            inner.results.asked(now);
            inner.acknowledged.insert(task, nonce);
        });
    }

    /// A submit that was made at this time is acknowledged now.
    pub fn took(&self, begun: Duration) {
        let took = self.now().saturating_sub(begun);
        self.lock().calls.push((begun, took));
    }

    /// How long submits took that were made since then: so many percent of them took no longer. `None` when there were
    /// none.
    pub fn percentile(&self, since: Duration, percent: usize) -> Option<Duration> {
        let calls = &self.lock().calls;
        let mut took: Vec<_> = calls.iter().filter(|(begun, _)| *begun >= since).map(|(_, took)| *took).collect();
        took.sort_unstable();
        let rank = (took.len() * percent).div_ceil(100);
        took.get(rank.checked_sub(1)?).copied()
    }

    /// The answer to a submit is lost.
    pub fn lost_answer(&self, nonce: Nonce) {
        self.update(|inner| {
            inner.writes.given_up();
            inner.lost_answers += 1;
            inner.unresolved.insert(nonce);
        });
    }

    /// How many answers were lost, those included that are resolved by now.
    pub fn lost_answers(&self) -> u64 {
        self.lock().lost_answers
    }

    /// A submit was certainly refused; nothing was done.
    pub fn refused(&self) {
        self.update(|inner| inner.writes.given_up());
    }

    /// A submit whose answer was lost turns out to be done.
    pub fn found(&self, nonce: &Nonce, task: TaskNo) {
        let now = self.now();
        self.update(|inner| {
            inner.unresolved.remove(nonce);
            inner.results.asked(now);
            inner.acknowledged.insert(task, nonce.clone());
        });
    }

    /// A submit whose answer was lost turns out not to be done, and is about to be sent again.
    pub fn found_missing(&self, nonce: &Nonce) {
        self.update(|inner| {
            inner.unresolved.remove(nonce);
        });
    }

    /// A task is told as ended; whether for the first time. Being told twice is fine.
    pub fn told(&self, task: TaskNo, completion: Completion) -> bool {
        let now = self.now();
        let mut is_new = false;
        self.update(|inner| {
            is_new = inner.finished.insert(task);
            if is_new {
                inner.results.answered(now);
            }
            inner.told.push(ToldResult { task, completion });
        });
        is_new
    }

    /// A fault happens now: from here on silences count.
    pub fn fault(&self) {
        let now = self.now();
        self.update(|inner| {
            inner.writes.watch(now, AFTERMATH);
            inner.results.watch(now, AFTERMATH);
        });
    }

    /// How far the run has come.
    pub fn tally(&self) -> Tally {
        *self.tally.borrow()
    }

    /// Follows how far the run has come.
    pub fn follow(&self) -> watch::Receiver<Tally> {
        self.tally.subscribe()
    }

    /// The longest silence after the last fault, of acknowledgements and of results.
    pub fn gaps(&self) -> (Duration, Duration) {
        let inner = self.lock();
        (inner.writes.longest(), inner.results.longest())
    }

    /// Time since the run began.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Everything acknowledged, in the order of the numbers.
    pub fn acknowledgements(&self) -> Vec<Acknowledgement> {
        let inner = self.lock();
        let acknowledged = inner.acknowledged.iter();
        acknowledged.map(|(task, nonce)| Acknowledgement { nonce: nonce.clone(), task: *task }).collect()
    }

    /// Submits whose fate is unknown.
    pub fn unresolved(&self) -> Vec<Nonce> {
        self.lock().unresolved.iter().cloned().collect()
    }

    /// Everything that was told, in order.
    pub fn told_results(&self) -> Vec<ToldResult> {
        self.lock().told.clone()
    }

    fn update(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.lock();
        change(&mut inner);
        let tally = Tally {
            acknowledged: inner.acknowledged.len() as u64,
            finished: inner.finished.len() as u64,
            unresolved: inner.unresolved.len() as u64,
        };
        self.tally.send_replace(tally);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is complete before the lock is given back, so a panic elsewhere leaves it whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_begun_since() {
        let ms = Duration::from_millis;
        let ledger = Ledger::default();
        assert_eq!(ledger.percentile(ms(0), 99), None);
        ledger.lock().calls = (1..=100).map(|number| (ms(number), ms(1000 - number))).collect();
        assert_eq!(ledger.percentile(ms(0), 99), Some(ms(998)));
        assert_eq!(ledger.percentile(ms(0), 100), Some(ms(999)));
        assert_eq!(ledger.percentile(ms(91), 50), Some(ms(904)));
        assert_eq!(ledger.percentile(ms(100), 1), Some(ms(900)));
    }
}
