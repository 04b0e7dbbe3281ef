//! When a small append is written where its caller is, instead of by the writer's thread.
//!
//! The caller is the thread of Raft. A follower has nothing better to do than to write, since its answer waits for that; a
//! leader sends to its followers while its own disk works. And a thread of Raft that hangs in a write answers nobody: so
//! the first write that takes long is the last one for a while.

use std::time::Duration;

use flame_metrics::Stopwatch;

/// What has more bytes is written by the thread, while the caller goes on.
const BYTES_MAX: usize = 16 << 10;

/// Appends that come closer than this would gather while the one before is synced.
const APART: Duration = Duration::from_micros(500);

/// A write that took longer shows a disk that may keep its callers waiting: a part of what a follower may take until it is
/// missed (heartbeats go every 50 to 200 ms), and several times what a busy disk takes now and then …
const QUICK: Duration = Duration::from_millis(25);

/// … for so long from then on.
const WARY: Duration = Duration::from_secs(10);

/// What is known of the appends before.
#[derive(Debug, Default)]
pub(crate) struct Directness {
    last: Option<Stopwatch>,
    slow: Option<Stopwatch>,
}

impl Directness {
    /// Whether an append of so many bytes may be written by its caller. Called once for each append.
    pub(crate) fn allows(&mut self, bytes: usize) -> bool {
        let is_apart = self.last.replace(Stopwatch::start()).is_none_or(|last| last.elapsed() >= APART);
        if self.slow.as_ref().is_some_and(|slow| slow.elapsed() >= WARY) {
            self.slow = None;
        }
        is_apart && bytes <= BYTES_MAX && self.slow.is_none()
    }

    /// A caller has written, and it took so long.
    pub(crate) fn on_written(&mut self, took: Duration) {
        if took > QUICK {
            self.slow = Some(Stopwatch::start());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_appends_and_those_after_a_slow_write_are_for_the_thread() {
        let mut directness = Directness::default();
        assert!(!directness.allows(BYTES_MAX + 1));
        let allowed = |directness: &mut Directness| {
            directness.last = None;
            directness.allows(BYTES_MAX)
        };
        assert!(allowed(&mut directness));
        directness.on_written(QUICK);
        assert!(allowed(&mut directness));
        directness.on_written(QUICK * 2);
        assert!(!allowed(&mut directness));
    }

    #[test]
    fn appends_in_a_row_are_for_the_thread() {
        let mut directness = Directness::default();
        let mut row = (0..1000).map(|_| directness.allows(1));
        assert!(row.next().is_some_and(|first| first), "it is alone");
        assert!(row.any(|next| !next), "a thousand appends take less than half a second");
    }
}
