//! How fast commands are answered, measured: what a caller that finds no room is told about when to come back.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The shortest time that anybody is sent away for: less costs more than it saves.
pub const RETRY_AFTER_MIN: Duration = Duration::from_millis(10);

/// The longest one: by then the pace is another.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

/// The pace is looked at after so many answers, so that counting costs no clock.
const ANSWERS_PER_LOOK: u64 = 64;

/// So much of the pace is what was measured last.
const NEWEST: f64 = 0.5;

/// Counts answers and knows how many come in a second.
#[derive(Default)]
pub(super) struct Pace {
    answered: AtomicU64,
    measured: Mutex<Option<Measured>>,
}

#[derive(Clone, Copy)]
struct Measured {
    at: Instant,
    answered: u64,
    per_second: f64,
}

impl Pace {
    /// A command has been answered.
    pub(super) fn left(&self) {
        let answered = self.answered.fetch_add(1, Ordering::Relaxed) + 1;
        if answered.is_multiple_of(ANSWERS_PER_LOOK) {
            self.look(answered, Instant::now());
        }
    }

    /// How long it takes to answer so many, within bounds. Nothing measured: the upper one.
    pub(super) fn time_for(&self, commands: u64) -> Duration {
        let measured = *self.lock();
        let pace = measured.map_or(0.0, |measured| measured.per_second);
        if pace <= 0.0 {
            return RETRY_AFTER_MAX;
        }
        let seconds = (commands as f64 / pace).min(RETRY_AFTER_MAX.as_secs_f64());
        Duration::from_secs_f64(seconds).max(RETRY_AFTER_MIN)
    }

    fn look(&self, answered: u64, now: Instant) {
        let mut measured = self.lock();
        let Some(last) = *measured else {
            *measured = Some(Measured { at: now, answered, per_second: 0.0 });
            return;
        };
        let seconds = now.duration_since(last.at).as_secs_f64();
        if seconds <= 0.0 || answered <= last.answered {
            return;
        }
        let newest = (answered - last.answered) as f64 / seconds;
        let per_second =
            if last.per_second > 0.0 { NEWEST * newest + (1.0 - NEWEST) * last.per_second } else { newest };
        *measured = Some(Measured { at: now, answered, per_second });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Measured>> {
        self.measured.lock().expect("no code panics while it holds this lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pace at which so many are answered in each of ten seconds.
    fn pace(per_second: u64) -> Pace {
        let pace = Pace::default();
        let start = Instant::now();
        for second in 1..=10 {
            pace.look(second * per_second, start + Duration::from_secs(second));
        }
        pace
    }

    #[test]
    fn the_wait_follows_the_measured_pace() {
        assert_eq!(pace(1000).time_for(500), Duration::from_millis(500));
        assert_eq!(pace(2000).time_for(500), Duration::from_millis(250));
    }

    #[test]
    fn the_wait_has_bounds() {
        assert_eq!(pace(100_000).time_for(1), RETRY_AFTER_MIN);
        assert_eq!(pace(10).time_for(1_000_000), RETRY_AFTER_MAX);
        assert_eq!(Pace::default().time_for(1), RETRY_AFTER_MAX, "nothing has been answered");
    }

    #[test]
    fn a_new_pace_is_believed_soon() {
        let pace = pace(10);
        let start = Instant::now() + Duration::from_secs(60);
        for second in 0..8 {
            pace.look(1_000_000 + second * 10_000, start + Duration::from_secs(second));
        }
        let wait = pace.time_for(10_000);
        assert!(wait < Duration::from_millis(1100), "{wait:?}");
    }
}
