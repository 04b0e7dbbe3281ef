//! `sessions-10k`: ten thousand open sessions: how fast they are opened, what each costs while it idles, and the rate of
//! tasks beside them and in them.
//!
//! Beside them: one session with both executors of a real worker runs the tasks of `throughput` while the others are
//! open. In them: simulated workers with room for an executor of each session join, and every session gets one task in
//! turn, over a stream of its own, round after round. The first round is told apart: in it streams are opened and
//! executors are placed.

use anyhow::{Context, Result};
use flame_sdk::SessionOptions;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::{Duration, Instant};

use super::throughput;
use crate::client::{Client, Series};
use crate::meter::Meter;
use crate::scene::{Scene, growth_each};
use crate::settings::Settings;
use crate::simulated::{Crowd, Shape};
use crate::workloads::Outcome;

const SESSIONS: u64 = 10_000;
const EXECUTORS: u32 = 2;

/// Tasks of the one session beside all others.
const TASKS_BESIDE: u64 = 30_000;
const WARM_UP: u64 = 200;

/// Simulated workers, and after the first how many rounds.
const WORKERS: u32 = 20;
const ROUNDS: u64 = 3;

/// Sessions with a task under way.
const UNDER_WAY_MAX: usize = 1_024;

/// One run.
pub async fn run(settings: Settings) -> Result<Outcome> {
    let count = settings.tasks_or(SESSIONS);
    let reference = throughput::reference(&settings).await?;
    let mut scene = Scene::start(EXECUTORS, &settings).await?;
    let application = scene.register_echo().await?;
    let idle = scene.coordinators_pss()?;
    let began = Instant::now();
    let sessions = scene.open_sessions(&SessionOptions::new(application), count).await?;
    let opened = began.elapsed();
    let full = scene.coordinators_pss()?;
    let beside = rate_beside(&scene).await.context("one session beside the others")?;
    eprintln!("    opened in {:.2} s; {beside:.0} tasks/s beside them", opened.as_secs_f64());

    let executors = u32::try_from(count.div_ceil(u64::from(WORKERS))).context("fewer sessions, please")?;
    let crowd = Crowd::start(&mut scene, Shape { workers: WORKERS, executors, journal: false }).await?;
    let (first_round, clients) = first_round(&scene, &sessions).await.context("the first task of each session")?;
    let meter = Meter::start(&scene, &settings).await?;
    let series = further_rounds(&clients).await.context("one task in each session")?;
    let in_turn = series.rate();
    let tasks = series.latencies.len() as u64;
    let mut figures = series.figures();
    figures.extend(meter.stop(&scene, tasks).await?);
    figures.set("open_s", opened.as_secs_f64());
    figures.set("bytes_per_session_per_replica", growth_each(&idle, &full, count));
    figures.set("throughput_tasks_per_s", reference);
    figures.set("ratio", in_turn / reference);
    figures.set("beside_tasks_per_s", beside);
    figures.set("beside_ratio", beside / reference);
    figures.set("first_round_tasks_per_s", count as f64 / first_round.as_secs_f64());
    crowd.end().await?;
    scene.end(figures).await
}

/// The rate of one session that has both executors. They are free for others when it is closed.
async fn rate_beside(scene: &Scene) -> Result<f64> {
    let session = scene.echo_session(EXECUTORS).await?;
    let client = Client::open(&scene.connection, &session).await?;
    client.all(0..WARM_UP).await?;
    let rate = client.all(WARM_UP..WARM_UP + TASKS_BESIDE).await?.rate();
    scene.connection.close_session(&session).await.context("close the session")?;
    Ok(rate)
}

/// One task in each session, and the streams that were opened for them.
async fn first_round(scene: &Scene, sessions: &[String]) -> Result<(Duration, Vec<Client>)> {
    let began = Instant::now();
    let tasks = (0..).zip(sessions).map(|(number, session)| async move {
        let client = Client::open(&scene.connection, session).await.context("open a stream")?;
        client.all(number..number + 1).await?;
        anyhow::Ok(client)
    });
    let clients = stream::iter(tasks).buffer_unordered(UNDER_WAY_MAX).try_collect().await?;
    Ok((began.elapsed(), clients))
}

/// One task in each session, in turn, round after round.
async fn further_rounds(clients: &[Client]) -> Result<Series> {
    let began = Instant::now();
    let in_turn = (0..ROUNDS).flat_map(|_| clients);
    let tasks = (0..).zip(in_turn).map(|(number, client)| async move {
        let at = Instant::now();
        client.all(number..number + 1).await?;
        anyhow::Ok(at.elapsed())
    });
    let latencies = stream::iter(tasks).buffer_unordered(UNDER_WAY_MAX).try_collect().await?;
    Ok(Series { took: began.elapsed(), acknowledged: None, latencies })
}
