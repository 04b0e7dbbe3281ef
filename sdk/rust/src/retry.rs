//! How long to wait before the next attempt.
//!
//! **Invariant:** the first attempt at each endpoint costs no wait; after that waits double up to a limit, and a random
//! share of each is left out so that many clients do not come back together.
//! **Invariant:** whoever is told when to come back comes back later than that, never earlier, and not all at once.

use std::time::Duration;

use rand::Rng;

use crate::fate::Trouble;

const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_millis(1000);

/// Counts failed attempts.
#[derive(Debug)]
pub(crate) struct Backoff {
    endpoints: u32,
    failed: u32,
}

impl Backoff {
    pub(crate) fn new(endpoints: usize) -> Self {
        Self { endpoints: u32::try_from(endpoints).unwrap_or(u32::MAX).max(1), failed: 0 }
    }

    /// Forgets the failures: something worked.
    pub(crate) fn reset(&mut self) {
        self.failed = 0;
    }

    /// The wait after one more attempt that met this trouble.
    pub(crate) fn wait_after(&mut self, trouble: &Trouble) -> Duration {
        let asked = trouble.wait.mul_f64(rand::rng().random_range(1.0..=1.5));
        self.next_wait().max(asked)
    }

    /// The wait after one more failed attempt.
    pub(crate) fn next_wait(&mut self) -> Duration {
        self.failed = self.failed.saturating_add(1);
        let longest = self.longest_wait();
        longest.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    fn longest_wait(&self) -> Duration {
        let rounds = self.failed / self.endpoints;
        if rounds == 0 {
            return Duration::ZERO;
        }
        FIRST_WAIT.saturating_mul(1 << (rounds - 1).min(16)).min(LONGEST_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_tried_once_before_the_first_wait() {
        let mut backoff = Backoff::new(3);
        assert_eq!(backoff.next_wait(), Duration::ZERO);
        assert_eq!(backoff.next_wait(), Duration::ZERO);
        assert!(backoff.next_wait() > Duration::ZERO);
    }

    #[test]
    fn who_is_asked_to_wait_waits_at_least_so_long_and_not_all_the_same() {
        let asked = Duration::from_secs(2);
        let busy = Trouble { wait: asked, is_busy: true, ..Trouble::with("busy") };
        let waits: Vec<_> = (0..100).map(|_| Backoff::new(3).wait_after(&busy)).collect();
        assert!(waits.iter().all(|wait| (asked..=asked * 3 / 2).contains(wait)), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait != waits[0]));
        assert_eq!(Backoff::new(2).wait_after(&Trouble::with("gone")), Duration::ZERO, "the other endpoint");
    }

    #[test]
    fn waits_double_up_to_the_limit() {
        let mut backoff = Backoff::new(1);
        let longest: Vec<_> = (0..8)
            .map(|_| {
                let wait = backoff.next_wait();
                assert!(wait >= backoff.longest_wait() / 2 && wait <= backoff.longest_wait());
                backoff.longest_wait().as_millis()
            })
            .collect();
        assert_eq!(longest, [50, 100, 200, 400, 800, 1000, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.longest_wait(), Duration::ZERO);
    }
}
