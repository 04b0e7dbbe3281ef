//! How long something took.

use std::time::Duration;

use flame_clock::{Clock, Mono, SystemClock};
use metrics::Histogram;

/// Runs from its start. What it says is shown to people; nothing is decided by it.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Mono);

impl Stopwatch {
    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        Self(SystemClock.mono())
    }

    /// The time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        SystemClock.mono().since(self.0)
    }

    /// Records the time since the start.
    pub fn record(&self, histogram: &Histogram) {
        histogram.record(self.elapsed());
    }
}
