//! Stamps entries with the two clocks: the only place where time enters the log.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use flame_clock::{Clock, Mono, SystemClock};

use crate::consensus::{BatchHeader, encode_entry};

/// While something waits for cluster time, the leader lets no more than this pass between two entries.
pub const TICK: Duration = Duration::from_millis(500);

/// The most that one entry advances cluster time: a leader that stood still (paused, swapped out, a laptop's lid)
/// must not let everything expire at once when it goes on.
pub const ADVANCE_MAX: Duration = Duration::from_millis(1000);

/// Remembers when it stamped last.
#[derive(Clone)]
pub struct Stamper {
    clock: Arc<dyn Clock>,
    last: Arc<Mutex<Mono>>,
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
        let now = clock.mono();
        Self { clock, last: Arc::new(Mutex::new(now)) }
    }

    /// A new leader's first entry advances nothing: time without a leader does not count.
    pub fn reset(&self) {
        *self.last.lock().expect("no code panics while it holds this lock") = self.clock.mono();
    }

    /// How long ago the last entry was stamped.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        let last = *self.last.lock().expect("no code panics while it holds this lock");
        self.clock.mono().since(last)
    }

    /// An entry of these commands, stamped now.
    #[must_use]
    pub fn entry(&self, items: &[Bytes]) -> Bytes {
        let header = BatchHeader { wall_ms: self.clock.wall(), cluster_delta_ms: self.advance() };
        encode_entry(&header, items)
    }

    fn advance(&self) -> u32 {
        let mut last = self.last.lock().expect("no code panics while it holds this lock");
        let now = self.clock.mono();
        let whole_ms = now.since(*last).min(ADVANCE_MAX).as_millis();
        // Fractions of a millisecond stay on the account, unless the cap swallowed them.
        *last = if now.since(*last) > ADVANCE_MAX {
            now
        } else {
            last.plus(Duration::from_millis(u64::try_from(whole_ms).unwrap_or(u64::MAX)))
        };
        u32::try_from(whole_ms).unwrap_or(u32::MAX)
    }
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
}
