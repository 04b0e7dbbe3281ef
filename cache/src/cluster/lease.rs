//! Whether this cache may count on what it was told: that it is the writer of what it has written.
//!
//! **Invariant:** it may from the answer to its whole inventory on, for as long as its lease lasts by its own clock. A lease is
//! counted from when the word that renewed it was *sent*, less a tenth: the leader counts from when it came.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

/// The lease.
#[derive(Debug, Default)]
pub(super) struct Lease {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    until: Option<Instant>,
    length: Duration,
    detached_length: Duration,
    has_told_all: bool,
}

impl Lease {
    fn with<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        // Nothing that is done under the lock can fail halfway.
        change(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether this cache may count on what it was told.
    pub(super) fn is_certain(&self, now: Instant) -> bool {
        self.with(|inner| inner.has_told_all && inner.until.is_some_and(|until| now < until))
    }

    /// A leader took this cache, by a word that was `sent` then.
    pub(super) fn on_welcome(&self, sent: Instant, lease_ms: u64, detached_lease_ms: u64, now: Instant) {
        let certain = |ms: u64| Duration::from_millis(ms - ms / 10);
        self.with(|inner| {
            // What was told before counts no more when the lease was over.
            inner.has_told_all &= inner.until.is_some_and(|until| now < until);
            (inner.length, inner.detached_length) = (certain(lease_ms), certain(detached_lease_ms));
            inner.until = Some(sent + inner.length);
        });
    }

    /// The leader has answered a word that was sent then.
    pub(super) fn on_answer(&self, sent: Instant) {
        self.with(|inner| inner.until = inner.until.max(Some(sent + inner.length)));
    }

    /// The leader knows everything that this cache has.
    pub(super) fn on_told_all(&self) {
        self.with(|inner| inner.has_told_all = true);
    }

    /// The stream is gone.
    pub(super) fn on_detached(&self, now: Instant) {
        self.with(|inner| inner.until = inner.until.min(Some(now + inner.detached_length)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_until_the_lease_is_over_and_again_when_all_is_told() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let lease = Lease::default();
        assert!(!lease.is_certain(at(0)));
        lease.on_welcome(at(0), 10_000, 5_000, at(0));
        assert!(!lease.is_certain(at(0)), "the leader does not know yet what there is");
        lease.on_told_all();
        assert!(lease.is_certain(at(8_900)));
        assert!(!lease.is_certain(at(9_100)));
        lease.on_answer(at(8_900));
        assert!(lease.is_certain(at(9_100)));
        lease.on_detached(at(9_100));
        assert!(lease.is_certain(at(13_500)));
        lease.on_welcome(at(13_500), 10_000, 5_000, at(13_500));
        assert!(lease.is_certain(at(13_500)), "back in time");
        lease.on_detached(at(13_500));
        lease.on_welcome(at(18_100), 10_000, 5_000, at(18_100));
        assert!(!lease.is_certain(at(18_100)), "too late: another may have written since");
        lease.on_told_all();
        assert!(lease.is_certain(at(18_100)));
    }
}
