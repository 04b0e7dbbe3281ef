//! What a user's program does with the SDK: submits tasks one by one and waits for their results.
//!
//! **Invariant:** every output is compared with the input of its task; a wrong one, or a task that failed, is an error.
//! **Invariant:** a task that is lost ends the wait with an error: nobody waits for ever.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use flame_sdk::{Connection, SessionStream, SubmittedTask};
use futures::stream::{self, BoxStream, FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep};

use crate::figures::{Figures, SUBMITS_PER_S, TASKS_PER_S};
use crate::payload;
use crate::statistics::Latencies;

/// Longest time without a submit that is taken or a result that comes.
const STALL_MAX: Duration = Duration::from_secs(120);

/// A client of one session.
pub struct Client {
    stream: SessionStream,
}

/// What a series of tasks took.
pub struct Series {
    /// From the first submit to the last result.
    pub took: Duration,
    /// From the first submit to the acknowledgement of the last, where submits do not wait for results.
    pub acknowledged: Option<Duration>,
    /// Of each task, from its submit to its result.
    pub latencies: Vec<Duration>,
}

impl Series {
    /// Tasks in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        per_second(self.latencies.len(), self.took)
    }

    /// What every report has of a series.
    #[must_use]
    pub fn figures(self) -> Figures {
        let mut figures = Figures::default();
        figures.set(TASKS_PER_S, self.rate());
        if let Some(acknowledged) = self.acknowledged {
            figures.set(SUBMITS_PER_S, per_second(self.latencies.len(), acknowledged));
        }
        figures.set_latencies(&Latencies::of(self.latencies));
        figures
    }
}

fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(f64::MIN_POSITIVE)
}

impl Client {
    /// A client of this session.
    ///
    /// # Errors
    /// If the cluster does not answer.
    pub async fn open(connection: &Connection, session: &str) -> Result<Self> {
        Ok(Self { stream: connection.open_stream(session).await.context("open a stream of the session")? })
    }

    /// Submits the tasks with these numbers, as fast as it can, and waits for all results.
    ///
    /// # Errors
    /// If a submit is refused, a task fails, or an output is wrong.
    pub async fn all(&self, numbers: Range<u64>) -> Result<Series> {
        let last = numbers.end.checked_sub(1);
        self.series(stream::iter(numbers).boxed(), last).await
    }

    /// Submits the tasks with the numbers that `numbers` yields, when it yields them, and waits for all results.
    ///
    /// # Errors
    /// As [`Client::all`].
    pub async fn paced(&self, numbers: BoxStream<'static, u64>) -> Result<Series> {
        self.series(numbers, None).await
    }

    /// Keeps so many tasks under way until `until`, and tells each latency; how many tasks it were.
    ///
    /// # Errors
    /// As [`Client::all`].
    pub async fn keep_busy(&self, under_way: usize, until: Instant, told: impl Fn(Duration)) -> Result<u64> {
        let done = AtomicU64::new(0);
        unless_stalled(STALL_MAX, &done, async {
            let mut waiting = FuturesUnordered::new();
            let mut number = 0;
            loop {
                while waiting.len() < under_way && Instant::now() < until {
                    let at = Instant::now();
                    let task =
                        self.stream.submit(Some(payload::input(number))).await.context("a submit was refused")?;
                    waiting.push(finish(number, task, at, false));
                    number += 1;
                }
                let Some(finished) = waiting.next().await else { return Ok(number) };
                told(finished?.latency);
                done.fetch_add(1, Ordering::Relaxed);
            }
        })
        .await
    }

    async fn series(&self, numbers: BoxStream<'static, u64>, last: Option<u64>) -> Result<Series> {
        let done = AtomicU64::new(0);
        unless_stalled(STALL_MAX, &done, self.submit_and_collect(numbers, last, &done)).await
    }

    async fn submit_and_collect(
        &self,
        mut numbers: BoxStream<'static, u64>,
        last: Option<u64>,
        done: &AtomicU64,
    ) -> Result<Series> {
        let began = Instant::now();
        let mut waiting = FuturesUnordered::new();
        let (mut latencies, mut acknowledged) = (Vec::new(), None);
        let mut more_to_come = true;
        while more_to_come || !waiting.is_empty() {
            tokio::select! {
                number = numbers.next(), if more_to_come => match number {
                    Some(number) => {
                        let at = Instant::now();
                        let task = self.stream.submit(Some(payload::input(number))).await;
                        waiting.push(finish(number, task.context("a submit was refused")?, at, last == Some(number)));
                    }
                    None => more_to_come = false,
                },
                Some(finished) = waiting.next() => {
                    let Finished { latency, acknowledged_at } = finished?;
                    latencies.push(latency);
                    acknowledged = acknowledged.or(acknowledged_at.map(|at| at - began));
                }
            }
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Series { took: began.elapsed(), acknowledged, latencies })
    }

    /// Runs the tasks with these numbers, each after the other.
    ///
    /// # Errors
    /// As [`Client::all`].
    pub async fn one_by_one(&self, numbers: Range<u64>) -> Result<Series> {
        let began = Instant::now();
        let mut latencies = Vec::new();
        for number in numbers {
            let series = self.all(number..number + 1).await?;
            latencies.extend(series.latencies);
        }
        Ok(Series { took: began.elapsed(), acknowledged: None, latencies })
    }
}

/// What `work` gives, unless the count of what is done stands still meanwhile.
async fn unless_stalled<T>(limit: Duration, done: &AtomicU64, work: impl Future<Output = Result<T>>) -> Result<T> {
    let stalled = async {
        let mut known = None;
        loop {
            let now = done.load(Ordering::Relaxed);
            if known.replace(now) == Some(now) {
                return now;
            }
            sleep(limit).await;
        }
    };
    tokio::select! {
        outcome = work => outcome,
        done = stalled => bail!("for {} s nothing happened, after {done} submits and results", limit.as_secs_f64()),
    }
}

/// One task that has ended well.
struct Finished {
    latency: Duration,
    /// When its submit was acknowledged, if that was asked for.
    acknowledged_at: Option<Instant>,
}

/// Waits for a task that was submitted at this time.
async fn finish(number: u64, mut task: SubmittedTask, at: Instant, asks_when_acknowledged: bool) -> Result<Finished> {
    let mut acknowledged_at = None;
    if asks_when_acknowledged {
        task.accepted().await?;
        acknowledged_at = Some(Instant::now());
    }
    let end = task.result().await?;
    let latency = at.elapsed();
    check(end.succeeded(), end.output.as_ref(), end.message.as_deref(), number)?;
    Ok(Finished { latency, acknowledged_at })
}

/// Refuses anything but the echo of the input with this number.
///
/// # Errors
/// Says what came instead.
pub fn check(succeeded: bool, output: Option<&Bytes>, message: Option<&str>, number: u64) -> Result<()> {
    ensure!(succeeded, "the task with input {number} did not succeed: {}", message.unwrap_or("no reason is given"));
    ensure!(output == Some(&payload::input(number)), "the task with input {number} has a wrong output: {output:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_without_progress_ends() {
        let limit = Duration::from_millis(20);
        let done = AtomicU64::new(3);
        let never = unless_stalled(limit, &done, std::future::pending::<Result<()>>());
        let text = never.await.expect_err("it never ends").to_string();
        assert!(text.contains("after 3 submits and results"), "{text}");
        assert!(unless_stalled(limit, &done, async { Ok(()) }).await.is_ok());
    }

    #[test]
    fn only_the_right_echo_passes() {
        assert!(check(true, Some(&payload::input(7)), None, 7).is_ok());
        assert!(check(true, Some(&payload::input(8)), None, 7).is_err());
        assert!(check(true, None, None, 7).is_err());
        let text = check(false, None, Some("no memory"), 7).expect_err("it failed").to_string();
        assert!(text.contains("no memory"), "{text}");
    }
}
