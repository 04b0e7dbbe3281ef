//! Time that moves only when a test says so.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use flame_types::WallMs;

use crate::{Clock, Mono};

/// A clock that stands still until [`ManualClock::advance`] moves it.
#[derive(Debug, Default)]
pub struct ManualClock {
    time: Mutex<Time>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Time {
    mono: Mono,
    wall: WallMs,
}

impl ManualClock {
    /// A clock at the origin of monotonic time, with this calendar time.
    #[must_use]
    pub fn at(wall: WallMs) -> Self {
        Self { time: Mutex::new(Time { mono: Mono::ZERO, wall }) }
    }

    /// Moves both clocks on.
    pub fn advance(&self, span: Duration) {
        self.change(|time| {
            time.mono = time.mono.plus(span);
            time.wall.0 = time.wall.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX));
        });
    }

    /// Sets the calendar, back or forth, as an administrator or a time server does. Monotonic time is not touched.
    pub fn set_wall(&self, wall: WallMs) {
        self.change(|time| time.wall = wall);
    }

    fn change(&self, change: impl FnOnce(&mut Time)) {
        change(&mut self.time.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn read(&self) -> Time {
        *self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn mono(&self) -> Mono {
        self.read().mono
    }

    fn wall(&self) -> WallMs {
        self.read().wall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stands_still_until_moved() {
        let clock = ManualClock::at(WallMs(1_000));
        assert_eq!((clock.mono(), clock.wall()), (Mono::ZERO, WallMs(1_000)));
        clock.advance(Duration::from_millis(250));
        assert_eq!(clock.mono().since(Mono::ZERO), Duration::from_millis(250));
        assert_eq!(clock.wall(), WallMs(1_250));
    }

    #[test]
    fn a_jump_of_the_calendar_leaves_monotonic_time_alone() {
        let clock = ManualClock::at(WallMs(1_000));
        clock.advance(Duration::from_secs(1));
        clock.set_wall(WallMs(5));
        assert_eq!((clock.mono(), clock.wall()), (Mono::at(Duration::from_secs(1)), WallMs(5)));
    }
}
