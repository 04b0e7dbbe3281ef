//! Watches over what a service works on: has it the time it was given, does anybody still want it, do others wait
//! behind it for longer than they should?

use std::pin::Pin;
use std::time::Duration;

use flame_types::Token;
use tokio::time::{Interval, MissedTickBehavior, Sleep, interval, sleep};

use super::pace::OVERRUN_AFTER;
use super::queue::Running;

/// Something has taken too long.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    /// The task had so much time.
    TimedOut(Duration),
    /// Nobody wants it, and it was given so much time to end.
    Unwanted(Duration),
    /// Others wait behind a task that is longer than was expected.
    Overrun,
}

/// The timers of an executor that has a service at work.
#[derive(Debug)]
pub(super) struct Watch {
    head: Option<Token>,
    /// Time that the head was given.
    limit: Option<Timer>,
    /// Time for a cancelled head to end.
    grace: Option<Timer>,
    /// Time for everything to end.
    stop: Option<Timer>,
    has_others: bool,
    look: Interval,
    head_at_look: Option<Token>,
    /// The head behind which everything was asked back already.
    overrun: Option<Token>,
}

#[derive(Debug)]
struct Timer {
    duration: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Watch {
    pub(super) fn new() -> Self {
        let mut look = interval(OVERRUN_AFTER);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            head: None,
            limit: None,
            grace: None,
            stop: None,
            has_others: false,
            look,
            head_at_look: None,
            overrun: None,
        }
    }

    /// This runs now. A task that has just become the first gets its whole time from now on: never less than it was
    /// given.
    pub(super) fn update(&mut self, running: &Running, cancel_grace: Duration) {
        let token = running.head.map(|head| head.token);
        if self.head != token {
            self.head = token;
            self.grace = None;
            self.limit = running.head.and_then(|head| head.limit).map(Timer::new);
        }
        if self.grace.is_none() && running.head.is_some_and(|head| head.is_cancelled) {
            self.grace = Some(Timer::new(cancel_grace));
        }
        if let Some(stop) = running.stop
            && self.stop.as_ref().is_none_or(|timer| stop < timer.duration)
        {
            self.stop = Some(Timer::new(stop));
        }
        self.has_others = running.count > 1;
    }

    /// Waits until something has taken too long. May be dropped and called again.
    pub(super) async fn alarm(&mut self) -> Alarm {
        loop {
            tokio::select! {
                limit = ring(&mut self.limit) => return Alarm::TimedOut(limit),
                grace = ring(&mut self.grace) => return Alarm::Unwanted(grace),
                // A stop concerns what runs; without any there is nothing to wait for.
                stop = ring(&mut self.stop), if self.head.is_some() => return Alarm::Unwanted(stop),
                _ = self.look.tick(), if self.has_others => {
                    let is_same = self.head_at_look == self.head;
                    self.head_at_look = self.head;
                    if is_same && self.overrun != self.head {
                        self.overrun = self.head;
                        return Alarm::Overrun;
                    }
                }
            }
        }
    }
}

impl Timer {
    fn new(duration: Duration) -> Self {
        Self { duration, sleep: Box::pin(sleep(duration)) }
    }
}

/// Waits for a timer and says how long it was; for ever when there is none.
async fn ring(timer: &mut Option<Timer>) -> Duration {
    match timer {
        Some(timer) => {
            timer.sleep.as_mut().await;
            timer.duration
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue::Head;
    use super::*;

    /// An alarm that must not come would come at once, another one that must come instead comes after this.
    const LATER: Duration = Duration::from_millis(40);
    const NEVER: Duration = Duration::from_secs(3600);

    fn running(token: u64, count: usize) -> Running {
        let head = Head { token: Token(token), number: token, limit: Some(NEVER), is_cancelled: false };
        Running { head: Some(head), count, ..Running::default() }
    }

    fn with_head(mut running: Running, change: impl Fn(&mut Head)) -> Running {
        running.head.iter_mut().for_each(change);
        running
    }

    #[tokio::test]
    async fn each_task_has_its_own_time() {
        let mut watch = Watch::new();
        watch.update(&with_head(running(1, 1), |head| head.limit = Some(Duration::ZERO)), NEVER);
        watch.update(&with_head(running(2, 1), |head| head.limit = Some(LATER)), NEVER);
        assert_eq!(watch.alarm().await, Alarm::TimedOut(LATER), "the time of the first is of no interest any more");
    }

    #[tokio::test]
    async fn a_cancellation_is_for_one_and_a_stop_for_all() {
        let mut watch = Watch::new();
        watch.update(&with_head(running(1, 1), |head| head.is_cancelled = true), Duration::ZERO);
        watch.update(&Running { stop: Some(LATER), ..running(2, 1) }, Duration::ZERO);
        watch.update(&Running { stop: Some(LATER), ..running(3, 1) }, Duration::ZERO);
        assert_eq!(watch.alarm().await, Alarm::Unwanted(LATER), "the cancelled one is gone");
    }

    #[tokio::test]
    async fn those_behind_a_long_task_are_missed_once() {
        let mut watch = Watch::new();
        for task in [1, 2] {
            watch.update(&running(task, 2), NEVER);
            assert_eq!(watch.alarm().await, Alarm::Overrun);
        }
        watch.update(&Running { stop: Some(LATER), ..running(2, 2) }, NEVER);
        assert_eq!(watch.alarm().await, Alarm::Unwanted(LATER));

        let mut watch = Watch::new();
        watch.update(&Running { stop: Some(LATER), ..running(1, 1) }, NEVER);
        assert_eq!(watch.alarm().await, Alarm::Unwanted(LATER), "nobody waits behind it");
    }
}
