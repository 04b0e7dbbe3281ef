//! A load at a steady rate.

use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_stream::wrappers::IntervalStream;

/// Numbers from 0 on, so many in a second from `begin` on, in portions: each comes when the first of its numbers is
/// due. What could not be made in time is made up for: a load does not get lighter because the cluster is slow.
pub fn steady(begin: Instant, every: Duration, rate: f64) -> BoxStream<'static, u64> {
    let mut ticks = interval_at(begin, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut made = 0;
    IntervalStream::new(ticks)
        .map(move |_| {
            let due = ((begin.elapsed() + every).as_secs_f64() * rate) as u64;
            let portion = made..due.max(made);
            made = portion.end;
            stream::iter(portion)
        })
        .flatten()
        .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_numbers_come_in_order_and_none_before_its_portion() {
        let (begin, every, rate) = (Instant::now(), Duration::from_millis(2), 10_000.0);
        let mut numbers = steady(begin, every, rate);
        for expected in 0..100 {
            assert_eq!(numbers.next().await, Some(expected));
            assert!((begin.elapsed() + every).as_secs_f64() * rate >= expected as f64);
        }
    }
}
