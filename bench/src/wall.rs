//! Calendar time in microseconds: the one time that processes of a machine share. Only differences of a run's own times
//! are taken of it, and of lengths far above what a time server corrects.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "what a worker's process noted is compared with what a watcher saw")]
pub fn now_us() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_in_microseconds() {
        const YEAR_2020_US: u64 = 1_577_836_800_000_000;
        const YEAR_2500_US: u64 = 16_725_225_600_000_000;
        assert!((YEAR_2020_US..YEAR_2500_US).contains(&now_us()));
    }
}
