//! `watch-fanout`: a thousand watchers on all nodes while tasks of a hundred sessions are submitted through all nodes:
//! what the watching costs in throughput, and how long after its recording each watcher learns of each result.
//!
//! There are three loads on one cluster: at full rate without watchers, the same with them, and one at a steady rate of
//! a share of `throughput`. Lags are those of the last. At full rate everything waits for processors: a watcher gets all
//! of its results in three or four frames, and most of a lag lies between a node that has put a frame together and the
//! watcher that reads it, in a process with all others and all clients. These lags are told too, as `full_lag_…`.
//!
//! Executors are simulated, one for each session, so that sessions do not wait for each other.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_testkit::ClusterOptions;
use futures::future::try_join_all;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Endpoint;

use super::throughput;
use crate::accounting::Snapshot;
use crate::client::Client;
use crate::figures::{Figures, TASKS_PER_S};
use crate::meter::Meter;
use crate::pace;
use crate::scene::{self, Scene};
use crate::settings::Settings;
use crate::simulated::{Crowd, Recorded, Shape};
use crate::statistics::Latencies;
use crate::watcher::{Seen, Watcher};
use crate::workloads::Outcome;

const TASKS: u64 = 30_000;

/// The steady load: so many times as many tasks, at this share of the rate of `throughput`. It aims a little higher
/// than the 0.7 that are to be reached, since the rate is taken until the last result.
const STEADY_TIMES: u64 = 2;
const STEADY_SHARE: f64 = 0.76;

/// Tasks that a session is given at a time then, one session after the other.
const PORTION: u64 = 100;

const SESSIONS: u64 = 100;
const WATCHERS_PER_SESSION: usize = 10;
const WORKERS: u32 = 10;
const WARM_UP_EACH: u64 = 20;

/// For the workers to be told of the last recorded results, and between two looks.
const TOLD_LIMIT: Duration = Duration::from_secs(20);
const TOLD_PAUSE: Duration = Duration::from_millis(20);

/// Watches that are being opened at a time.
const OPENING_MAX: usize = 64;

/// One run.
pub async fn run(settings: Settings) -> Result<Outcome> {
    let tasks_each = (settings.tasks_or(TASKS) / SESSIONS).max(1);
    let tasks = tasks_each * SESSIONS;
    let reference = throughput::reference(&settings).await?;
    let options = ClusterOptions { workers: 0, ..scene::options(0) };
    let mut scene = Scene::start_with(options, &settings).await?;
    let executors = u32::try_from(SESSIONS).context("sessions are few")?.div_ceil(WORKERS);
    let mut crowd = Crowd::start(&mut scene, Shape { workers: WORKERS, executors, journal: true }).await?;
    let sessions = scene.sessions(scene.register_echo().await?, SESSIONS, 1).await?;
    let clients = clients(&scene, &sessions).await?;
    load(&clients, 0, WARM_UP_EACH).await?;
    let unwatched = load(&clients, 0, tasks_each).await?;
    let began = Instant::now();
    let mut watchers = watchers(&scene, &sessions).await?;
    let opened = began.elapsed();

    let meter = Meter::start(&scene, &settings).await?;
    let (full, seen) = watched(&mut watchers, tasks_each, load(&clients, tasks_each, tasks_each)).await?;
    let costs = meter.stop(&scene, tasks).await?;
    let journal = told(&mut crowd, WARM_UP_EACH + tasks_each, tasks).await?;
    let mut figures = Figures::default();
    figures.set(TASKS_PER_S, full);
    set_lags(&mut figures, "full_lag", &journal, &seen)?;
    figures.extend(costs);

    let (steady_each, rate) = (tasks_each * STEADY_TIMES, reference * STEADY_SHARE);
    let before = Snapshot::take(&scene.processes())?;
    let (steady, seen) = watched(&mut watchers, steady_each, steady_load(&clients, rate, steady_each)).await?;
    let usage = Snapshot::take(&scene.processes())?.since(&before);
    let journal = told(&mut crowd, WARM_UP_EACH + 2 * tasks_each, tasks * STEADY_TIMES).await?;
    set_lags(&mut figures, "lag", &journal, &seen)?;
    figures.set("steady_tasks_per_s", steady);
    figures.set("steady_ratio", steady / reference);
    figures.set("steady_own_cpu", usage.own);
    figures.set("steady_foreign_cpu", usage.foreign);

    figures.set("throughput_tasks_per_s", reference);
    figures.set("ratio", full / reference);
    figures.set("unwatched_tasks_per_s", unwatched);
    figures.set("unwatched_ratio", full / unwatched);
    figures.set("watchers", watchers.len() as f64);
    figures.set("watch_open_s", opened.as_secs_f64());
    crowd.end().await?;
    scene.end(figures).await
}

/// Runs a load that ends so many tasks in each session while everybody watches: its rate, and what was seen.
async fn watched(
    watchers: &mut Vec<Watcher>,
    tasks_each: u64,
    load: impl Future<Output = Result<f64>>,
) -> Result<(f64, Vec<Seen>)> {
    let following = std::mem::take(watchers).into_iter().map(|mut watcher| {
        tokio::spawn(async move {
            let seen = watcher.follow(tasks_each).await?;
            anyhow::Ok((watcher, seen))
        })
    });
    let following: Vec<_> = following.collect();
    let rate = load.await?;
    let mut all = Vec::new();
    for outcome in try_join_all(following).await.context("a watcher broke")? {
        let (watcher, seen) = outcome?;
        watchers.push(watcher);
        all.push(seen);
    }
    Ok((rate, all))
}

/// A client for each session, on the nodes in turn.
async fn clients(scene: &Scene, sessions: &[String]) -> Result<Vec<Client>> {
    let mut clients = Vec::new();
    for (position, session) in sessions.iter().enumerate() {
        clients.push(Client::open(&scene.connection_to(position)?, session).await?);
    }
    Ok(clients)
}

/// Watchers of all sessions, those of one session on the nodes in turn, each node's on one connection.
async fn watchers(scene: &Scene, sessions: &[String]) -> Result<Vec<Watcher>> {
    let mut channels = Vec::new();
    for endpoint in scene.cluster.endpoints() {
        channels.push(Endpoint::from_shared(endpoint)?.tcp_nodelay(true).connect().await?);
    }
    let places = sessions.iter().flat_map(|session| (0..WATCHERS_PER_SESSION).map(move |place| (session, place)));
    let starting = places.map(|(session, place)| Watcher::start(channels[place % channels.len()].clone(), session));
    stream::iter(starting).buffer_unordered(OPENING_MAX).try_collect().await
}

/// What workers were told of so many tasks with numbers above `last`. They may be told after the watchers.
async fn told(crowd: &mut Crowd, last: u64, tasks: u64) -> Result<Vec<Recorded>> {
    let journal = timeout(TOLD_LIMIT, journal_after(crowd, last, tasks)).await;
    journal.context("workers were not told of all recorded results")?
}

/// So many entries of tasks with numbers above `last`.
async fn journal_after(crowd: &mut Crowd, last: u64, tasks: u64) -> Result<Vec<Recorded>> {
    let mut journal = Vec::new();
    while (journal.len() as u64) < tasks {
        sleep(TOLD_PAUSE).await;
        journal.extend(crowd.journal().await?.into_iter().filter(|entry| entry.task > last));
    }
    ensure!(journal.len() as u64 == tasks, "{} of {tasks} results were told to be recorded", journal.len());
    Ok(journal)
}

/// Runs so many tasks in each session, all at the same time; the rate of all together.
async fn load(clients: &[Client], first: u64, tasks_each: u64) -> Result<f64> {
    let began = Instant::now();
    let series = try_join_all(clients.iter().map(|client| client.all(first..first + tasks_each))).await?;
    let tasks: usize = series.iter().map(|series| series.latencies.len()).sum();
    Ok(tasks as f64 / began.elapsed().as_secs_f64())
}

/// The same, submitted at this rate by all together.
async fn steady_load(clients: &[Client], rate: f64, tasks_each: u64) -> Result<f64> {
    let began = Instant::now();
    let every = Duration::from_secs_f64(PORTION as f64 * clients.len() as f64 / rate);
    let series = clients.iter().enumerate().map(|(place, client)| {
        let begin = began + every.mul_f64(place as f64 / clients.len() as f64);
        let numbers = pace::steady(begin, every, rate / clients.len() as f64);
        client.paced(numbers.take(usize::try_from(tasks_each).unwrap_or(usize::MAX)).boxed())
    });
    let series = try_join_all(series).await?;
    let tasks: usize = series.iter().map(|series| series.latencies.len()).sum();
    Ok(tasks as f64 / began.elapsed().as_secs_f64())
}

/// How long after its recording, and after the worker had sent it, watchers learned of a result. It was recorded at the
/// latest when the first of all learned of it: the worker, or one of the watchers.
fn set_lags(figures: &mut Figures, name: &str, journal: &[Recorded], seen: &[Seen]) -> Result<()> {
    let mut times: HashMap<(&str, u64), (u64, u64)> = HashMap::new();
    for entry in journal {
        times.insert((&entry.session, entry.task), (entry.sent_us, entry.recorded_us));
    }
    for watch in seen {
        for (task, at) in &watch.at_us {
            let known = times.get_mut(&(watch.session.as_str(), *task));
            let (_, recorded) = known.with_context(|| format!("task {task} of {} was never sent", watch.session))?;
            *recorded = (*recorded).min(*at);
        }
    }
    let (mut recorded, mut sent) = (Vec::new(), Vec::new());
    for watch in seen {
        for (task, at) in &watch.at_us {
            let (sent_us, recorded_us) = times[&(watch.session.as_str(), *task)];
            recorded.push(Duration::from_micros(at.saturating_sub(recorded_us)));
            sent.push(Duration::from_micros(at.saturating_sub(sent_us)));
        }
    }
    for (name, lags) in [(format!("{name}_ms"), recorded), (format!("{name}_from_worker_ms"), sent)] {
        let lags = Latencies::of(lags);
        for (suffix, percent) in [("p50", 50.0), ("p99", 99.0), ("max", 100.0)] {
            figures.set(&format!("{name}_{suffix}"), lags.percentile_ms(percent).context("results were seen")?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lags_are_counted_from_the_recording() -> Result<()> {
        let seen = |at| Seen { session: "s".to_owned(), at_us: HashMap::from([(1, at)]) };
        // The worker is told before the watchers, or so late that the first of them is the better witness.
        for (recorded_us, p50, max) in [(3_000, 1.0, 5.0), (5_000, 0.0, 4.0)] {
            let entry = Recorded { session: "s".to_owned(), task: 1, sent_us: 1_000, recorded_us };
            let mut figures = Figures::default();
            set_lags(&mut figures, "lag", &[entry], &[seen(4_000), seen(8_000)])?;
            assert_eq!((figures.get("lag_ms_p50"), figures.get("lag_ms_max")), (Some(p50), Some(max)));
            assert_eq!(figures.get("lag_from_worker_ms_max"), Some(7.0));
        }
        assert!(set_lags(&mut Figures::default(), "lag", &[], &[seen(1)]).is_err());
        Ok(())
    }
}
