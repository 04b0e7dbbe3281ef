//! What a user's program does with the SDK: submits tasks one by one and waits for their results.
//!
//! **Invariant:** every output is compared with the input of its task; a wrong one, or a task that failed, is an error.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use flame_sdk::{Connection, SessionStream, SubmittedTask};
use futures::stream::{self, BoxStream, FuturesUnordered, StreamExt};
use tokio::time::Instant;

use crate::figures::{Figures, SUBMITS_PER_S, TASKS_PER_S};
use crate::payload;
use crate::statistics::Latencies;

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

    async fn series(&self, mut numbers: BoxStream<'static, u64>, last: Option<u64>) -> Result<Series> {
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

    #[test]
    fn only_the_right_echo_passes() {
        assert!(check(true, Some(&payload::input(7)), None, 7).is_ok());
        assert!(check(true, Some(&payload::input(8)), None, 7).is_err());
        assert!(check(true, None, None, 7).is_err());
        let text = check(false, None, Some("no memory"), 7).expect_err("it failed").to_string();
        assert!(text.contains("no memory"), "{text}");
    }
}
