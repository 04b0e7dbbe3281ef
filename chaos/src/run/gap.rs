//! The longest silence while somebody waited.
//!
//! A pause in which nothing was asked for says nothing about a cluster. So time counts only while at least one request
//! is open, and it counts from the later of the last answer and the moment the first of the open requests was made.

use std::time::Duration;

/// Measures one kind of answer.
#[derive(Clone, Debug, Default)]
pub struct Gap {
    open: u64,
    silent_since: Duration,
    watched: Option<Watched>,
}

#[derive(Clone, Debug)]
struct Watched {
    from: Duration,
    until: Duration,
    longest: Duration,
}

impl Gap {
    /// A request is made.
    pub fn asked(&mut self, now: Duration) {
        if self.open == 0 {
            self.silent_since = now;
        }
        self.open += 1;
    }

    /// A request is answered.
    pub fn answered(&mut self, now: Duration) {
        self.close(now);
        self.silent_since = now;
    }

    /// A request ends without an answer: the silence goes on for the others.
    pub fn given_up(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// From now on, for so long, silences count if they end after now and begin before the time is over.
    pub fn watch(&mut self, now: Duration, length: Duration) {
        self.watched = Some(Watched { from: now, until: now + length, longest: Duration::ZERO });
    }

    /// The longest silence that counted.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.watched.as_ref().map_or(Duration::ZERO, |watched| watched.longest)
    }

    fn close(&mut self, now: Duration) {
        self.open = self.open.saturating_sub(1);
        if let Some(watched) = &mut self.watched
            && now >= watched.from
            && self.silent_since <= watched.until
        {
            watched.longest = watched.longest.max(now.saturating_sub(self.silent_since));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn the_silence_around_the_fault_is_measured() {
        let mut gap = Gap::default();
        gap.asked(ms(0));
        gap.answered(ms(10));
        gap.asked(ms(10));
        gap.asked(ms(11));
        gap.watch(ms(20), ms(1000));
        gap.answered(ms(700));
        gap.answered(ms(710));
        assert_eq!(gap.longest(), ms(690));
    }

    #[test]
    fn time_in_which_nobody_waits_does_not_count() {
        let mut gap = Gap::default();
        gap.watch(ms(0), ms(10_000));
        gap.asked(ms(0));
        gap.answered(ms(5));
        gap.asked(ms(5000));
        gap.answered(ms(5007));
        assert_eq!(gap.longest(), ms(7));
    }

    #[test]
    fn silences_that_begin_after_the_watched_time_do_not_count() {
        let mut gap = Gap::default();
        gap.watch(ms(0), ms(100));
        gap.asked(ms(200));
        gap.answered(ms(900));
        assert_eq!(gap.longest(), ms(0));
    }

    #[test]
    fn a_request_that_is_given_up_ends_no_silence() {
        let mut gap = Gap::default();
        gap.watch(ms(0), ms(10_000));
        gap.asked(ms(0));
        gap.asked(ms(0));
        gap.given_up();
        gap.answered(ms(300));
        assert_eq!(gap.longest(), ms(300));
    }
}
