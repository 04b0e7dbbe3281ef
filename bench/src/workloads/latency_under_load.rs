//! `latency-under-load`: a caller that waits for each result, beside a load of half of what the cluster can do.
//!
//! The full rate is measured first, on the same cluster. The load has its two executors, as in `throughput`; the caller
//! has a session and an executor of its own, so that what it feels is the cluster at work and not a queue of its own.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::stream::{BoxStream, StreamExt};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::meter::Meter;
use crate::pace;
use crate::scene::Scene;
use crate::settings::Settings;
use crate::workloads::Outcome;

/// Of the caller.
const TASKS: u64 = 1_000;
const WARM_UP: u64 = 50;
const LOAD_EXECUTORS: u32 = 2;
const CALLER_EXECUTORS: u32 = 1;

/// How many tasks find out the full rate.
const CALIBRATION: u64 = 5_000;

/// The load, as a share of the full rate.
const LOAD_SHARE: f64 = 0.5;

/// Between two portions of the load.
const PORTION_EVERY: Duration = Duration::from_millis(2);

/// One run.
pub async fn run(settings: Settings) -> Result<Outcome> {
    let tasks = settings.tasks_or(TASKS);
    let scene = Scene::start(LOAD_EXECUTORS + CALLER_EXECUTORS, &settings).await?;
    let load = scene.echo_client(LOAD_EXECUTORS).await?;
    let caller = scene.echo_client(CALLER_EXECUTORS).await?;
    caller.one_by_one(0..WARM_UP).await?;
    load.all(0..CALIBRATION / 10).await?;
    let full = load.all(0..CALIBRATION).await?.rate();
    let rate = full * LOAD_SHARE;
    eprintln!("    the full rate is {full:.0}/s, the load {rate:.0}/s");

    let (done, until) = watch::channel(false);
    let loading = tokio::spawn(async move { load.paced(paced(rate, until)).await });
    let meter = Meter::start(&scene, &settings).await?;
    let series = caller.one_by_one(WARM_UP..WARM_UP + tasks).await;
    done.send_replace(true);
    let loaded = loading.await.context("the load broke")??;
    let costs = meter.stop(&scene, tasks + loaded.latencies.len() as u64).await?;
    ensure!(!loaded.latencies.is_empty(), "no load was made");
    let mut figures = series?.figures();
    figures.set("full_tasks_per_s", full);
    figures.set("load_tasks_per_s", loaded.rate());
    figures.extend(costs);
    scene.end(figures).await
}

/// The load, until told that it is enough.
fn paced(rate: f64, until: watch::Receiver<bool>) -> BoxStream<'static, u64> {
    let numbers = pace::steady(Instant::now(), PORTION_EVERY, rate);
    numbers.take_while(move |_| std::future::ready(!*until.borrow())).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_load_comes_in_order_and_ends_when_told() {
        let (done, until) = watch::channel(false);
        let mut numbers = paced(10_000.0, until);
        let first: Vec<u64> = numbers.by_ref().take(50).collect().await;
        assert_eq!(first, (0..50).collect::<Vec<_>>());
        done.send_replace(true);
        // What is due already may still come; that it ends at all is what counts.
        let rest: Vec<u64> = numbers.collect().await;
        assert!(rest.iter().zip(50..).all(|(number, expected)| *number == expected), "{rest:?}");
    }
}
