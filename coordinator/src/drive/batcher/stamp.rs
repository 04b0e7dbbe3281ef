//! Stamps entries with the two clocks: the only place where time enters the log.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use flame_clock::{Clock, Mono, SystemClock};

use crate::consensus::{BatchHeader, encode_entry};

/// The most time that counts between two looks at the clock: a leader that stood still (paused, swapped out, a laptop's
/// lid) must not let everything expire at once when it goes on.
pub const STRIDE_MAX: Duration = Duration::from_millis(1000);

/// While something waits for cluster time, an entry carries it on at the latest after so long …
const TICK_MAX: Duration = Duration::from_secs(60);

/// … or after this part of what there is still to wait, since a leader that dies takes along what it has not written …
const TICK_PART: u32 = 8;

/// … but that much is nothing to anybody.
const TICK_MIN: Duration = Duration::from_millis(500);

/// Keeps the account of time that has passed and is in no entry yet.
#[derive(Clone)]
pub struct Stamper {
    clock: Arc<dyn Clock>,
    account: Arc<Mutex<Account>>,
}

struct Account {
    /// The last look at the clock.
    seen: Mono,
    /// What has passed since the last entry, as far as it counts.
    owed: Duration,
}

impl Default for Stamper {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl Stamper {
    /// A stamper that reads this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let account = Account { seen: clock.mono(), owed: Duration::ZERO };
        Self { clock, account: Arc::new(Mutex::new(account)) }
    }

    /// A new leader's first entry advances nothing: time without a leader does not count.
    pub fn reset(&self) {
        let mut account = self.look();
        account.owed = Duration::ZERO;
    }

    /// How much time has passed since the last entry. Whoever wants time to count while nothing is written must ask more
    /// often than every [`STRIDE_MAX`].
    #[must_use]
    pub fn owed(&self) -> Duration {
        self.look().owed
    }

    /// An entry of these commands, stamped now.
    #[must_use]
    pub fn entry(&self, items: &[Bytes]) -> Bytes {
        let header = BatchHeader { wall_ms: self.clock.wall(), cluster_delta_ms: self.advance() };
        encode_entry(&header, items)
    }

    fn advance(&self) -> u32 {
        let mut account = self.look();
        let whole_ms = u32::try_from(account.owed.as_millis()).unwrap_or(u32::MAX);
        // Fractions of a millisecond stay on the account.
        account.owed -= Duration::from_millis(whole_ms.into());
        whole_ms
    }

    fn look(&self) -> MutexGuard<'_, Account> {
        let mut account = self.account.lock().expect("no code panics while it holds this lock");
        let now = self.clock.mono();
        let passed = now.since(account.seen).min(STRIDE_MAX);
        account.owed += passed;
        account.seen = now;
        account
    }
}

/// After how much time since the last entry another one should carry cluster time on, for the sake of something that was
/// due in `due_in_ms` then.
#[must_use]
pub fn tick_after(due_in_ms: u64) -> Duration {
    let due_in = Duration::from_millis(due_in_ms);
    due_in.min((due_in / TICK_PART).clamp(TICK_MIN, TICK_MAX))
}

#[cfg(test)]
mod tests {
    use flame_clock::ManualClock;

    use super::*;

    #[test]
    fn fractions_add_up_and_leaps_are_capped() {
        let clock = Arc::new(ManualClock::default());
        let stamper = Stamper::new(clock.clone());
        clock.advance(Duration::from_micros(1600));
        assert_eq!(stamper.advance(), 1);
        clock.advance(Duration::from_micros(500));
        assert_eq!(stamper.advance(), 1, "600 µs were left over");
        clock.advance(Duration::from_secs(3600));
        assert_eq!(stamper.advance(), 1000);
        assert_eq!(stamper.advance(), 0);
    }

    #[test]
    fn what_passes_between_looks_is_owed_to_the_next_entry() {
        let clock = Arc::new(ManualClock::default());
        let stamper = Stamper::new(clock.clone());
        for seconds in 1..=30 {
            clock.advance(Duration::from_secs(1));
            assert_eq!(stamper.owed(), Duration::from_secs(seconds));
        }
        // A stride that is too long counts as one.
        clock.advance(Duration::from_secs(3600));
        assert_eq!(stamper.owed(), Duration::from_secs(31));
        assert_eq!(stamper.advance(), 31_000);
        clock.advance(Duration::from_millis(700));
        stamper.reset();
        assert_eq!(stamper.advance(), 0, "a new leader owes nothing");
    }

    #[test]
    fn the_further_away_a_deadline_is_the_rarer_are_ticks() {
        for (due_in_ms, after_ms) in
            [(0, 0), (200, 200), (500, 500), (3_000, 500), (8_000, 1_000), (80_000, 10_000), (86_400_000, 60_000)]
        {
            assert_eq!(tick_after(due_in_ms), Duration::from_millis(after_ms), "{due_in_ms} ms");
        }
    }
}
