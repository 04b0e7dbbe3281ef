//! How many tasks a service gets at a time: an integer function of how long its tasks run and how much they put out.
//!
//! Short tasks are handed over in numbers that hide the way through the socket. Long ones are not: what is handed over
//! cannot be recalled, waits behind the one that runs although others might be idle, and is lost with the service.
//!
//! **Invariant:** until a task has ended here nothing is known, and tasks go one by one. So a task that kills its
//! service, and is first in the queue of the next, takes no other with it.

use std::time::Duration;

use super::queue::Room;

/// Work that a service has at hand, in microseconds: far more than the way through the socket takes.
const WORK_AHEAD_US: u64 = 2_000;

/// Most bytes that a service has at hand: of inputs, and of the outputs that it will probably make of them.
const BYTES_AHEAD: u64 = 8 << 20;

/// A task that is worked on for so long (twice, as the look is taken) is longer than expected: those behind it are asked
/// back.
pub(super) const OVERRUN_AFTER: Duration = Duration::from_millis(5);

/// What is known about the tasks of a service.
#[derive(Debug)]
pub(super) struct Pace {
    in_flight_max: u64,
    /// A middle run, `None` before the first.
    run_us: Option<u64>,
    /// A middle output.
    output_bytes: u64,
}

impl Pace {
    /// Nothing is known yet; the service takes `in_flight_max` tasks.
    pub(super) fn new(in_flight_max: usize) -> Self {
        Self { in_flight_max: u64::try_from(in_flight_max).unwrap_or(u64::MAX), run_us: None, output_bytes: 0 }
    }

    /// A task has ended. What is kept follows the middle rather than the mean: a single run that the machine held up
    /// moves it by a quarter only.
    pub(super) fn on_done(&mut self, ran_us: u64, output_bytes: u64) {
        self.run_us = Some(self.run_us.map_or(ran_us, |known| nearer(known, ran_us)));
        self.output_bytes = nearer(self.output_bytes, output_bytes).max(output_bytes / 4);
    }

    /// A task runs much longer than expected.
    pub(super) fn on_overrun(&mut self) {
        let at_least = u64::try_from(OVERRUN_AFTER.as_micros()).unwrap_or(u64::MAX);
        self.run_us = self.run_us.max(Some(at_least));
    }

    /// How many tasks, and of how many bytes, the service may have when it has `count` now. It gets no more before half
    /// of them are done, so that many travel together.
    pub(super) fn room(&self, count: usize) -> Room {
        let Some(run_us) = self.run_us else { return Room::ONE };
        let by_time = WORK_AHEAD_US / run_us.max(1);
        let by_bytes = BYTES_AHEAD / self.output_bytes.max(1);
        let depth = by_time.min(by_bytes).clamp(1, self.in_flight_max);
        let depth = usize::try_from(depth).unwrap_or(usize::MAX);
        let tasks = if count > depth / 2 { count } else { depth };
        Room { tasks, bytes: usize::try_from(BYTES_AHEAD).unwrap_or(usize::MAX) }
    }
}

/// `known`, a step nearer to what was seen.
fn nearer(known: u64, seen: u64) -> u64 {
    if seen > known { seen.min(known + known / 4 + 1) } else { seen.max(known - known / 8) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(pace: &Pace) -> usize {
        pace.room(0).tasks
    }

    #[test]
    fn short_tasks_travel_in_numbers_and_long_ones_alone() {
        let mut pace = Pace::new(256);
        assert_eq!(depth(&pace), 1, "nothing is known");
        pace.on_done(0, 0);
        assert_eq!(depth(&pace), 256);
        for (ran_us, expected) in [(100, 20), (1_000, 2), (1_500, 1), (1_000_000, 1), (50, 40)] {
            (0..200).for_each(|_| pace.on_done(ran_us, 0));
            assert_eq!(depth(&pace), expected, "{ran_us} µs");
        }
    }

    #[test]
    fn one_run_that_was_held_up_changes_little_and_an_overrun_much() {
        let mut pace = Pace::new(256);
        pace.on_done(20, 0);
        pace.on_done(4_000, 0);
        assert_eq!(depth(&pace), 76);
        pace.on_overrun();
        assert_eq!(depth(&pace), 1);
        (0..60).for_each(|_| pace.on_done(20, 0));
        assert_eq!(depth(&pace), 100, "short runs are believed again");
    }

    #[test]
    fn large_outputs_are_not_asked_for_in_numbers() {
        let mut pace = Pace::new(256);
        pace.on_done(1, 0);
        pace.on_done(1, 4 << 20);
        assert_eq!(depth(&pace), 8);
    }

    #[test]
    fn more_is_handed_over_when_half_is_done() {
        let mut pace = Pace::new(256);
        pace.on_done(1, 0);
        for (count, tasks) in [(256, 256), (129, 129), (128, 256), (0, 256)] {
            assert_eq!(pace.room(count).tasks, tasks, "{count}");
        }
    }
}
