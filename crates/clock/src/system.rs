//! The clocks of the operating system.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use flame_types::WallMs;

use crate::{Clock, Mono};

/// One origin for the whole process, so that points from two [`SystemClock`]s compare.
#[allow(clippy::disallowed_methods, reason = "this is the one home of the clock")]
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The clocks of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn mono(&self) -> Mono {
        Mono::at(ORIGIN.elapsed())
    }

    #[allow(clippy::disallowed_methods, reason = "this is the one home of the clock")]
    fn wall(&self) -> WallMs {
        // Both conversions fail only for a host whose calendar is set before 1970 or hundreds of millions of years
        // ahead. Wall time is for display, so the nearest value that can be shown will do.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallMs(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_clocks_share_one_origin() {
        let first = SystemClock.mono();
        let second = SystemClock.mono();
        assert!(first <= second);
    }

    #[test]
    fn wall_time_is_in_milliseconds() {
        const YEAR_2020_MS: i64 = 1_577_836_800_000;
        const YEAR_2500_MS: i64 = 16_725_225_600_000;
        let now = SystemClock.wall();
        assert!(now > WallMs(YEAR_2020_MS) && now < WallMs(YEAR_2500_MS), "{now:?}");
    }
}
