//! `clients`: the leader is killed, then each coordinator in turn, while programs of three kinds run their tasks: one on our
//! Python package, one on our Rust crate, and one on the published Python package behind `flmctl proxy`.
//!
//! Each is an ordinary program that handles no error and tries nothing again. None may meet an error, each has to get every
//! result once, and the longest silence of each is in the report.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use flame_sdk::{Connection, Endpoints, Options as ClientOptions};
use flame_testkit::{Binaries, ClusterOptions};
use flame_types::CoordinatorId;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::Deserialize;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::judge::Judge;
use super::program::{Program, SILENCE_MAX, interpreter};
use super::report::Report;
use crate::run::setup::APPLICATION;
use crate::run::{Run, RunOptions};

const NAME: &str = "clients";

/// Results of a client after which trouble may begin.
const RUNNING: usize = 100;

/// A coordinator stays away for so long.
const AWAY: Duration = Duration::from_secs(3);

/// Nobody may wait longer than this for a result.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Flags of `flame-chaos clients`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Tasks of each of our own clients.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    tasks: u64,
    /// Tasks of each client in a second.
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u64).range(10..=2_000))]
    pace: u64,
}

/// What a client says at its end.
#[derive(Debug, Deserialize)]
struct Told {
    right: u64,
    errors: u64,
    first_errors: Vec<String>,
    longest_pause_ms: u64,
    took_ms: u64,
}

/// Plays it.
///
/// # Errors
/// If something does not start, or a coordinator does not come back.
pub async fn run(options: Options) -> Result<Report> {
    let (ours, published) = match (interpreter("FLAME_PYTHON_VENV", "venv-python"), published()) {
        (Some(ours), Some(published)) => (ours, published),
        _ => return Ok(Report::skipped(NAME, "the Python packages are not installed; `make deps` does it".to_owned())),
    };
    let cluster = ClusterOptions { workers: 2, ..ClusterOptions::default() };
    let mut run = Run::start(RunOptions { cluster, services_max: 12, window: 1_000 }).await?;
    let mut judge = Judge::new(NAME);
    let endpoints = run.cluster.endpoints();
    let mut proxy = Proxy::start(&endpoints)?;
    let behind = proxy.endpoint().await?;

    let words = |endpoint: &str| {
        let (tasks, pace) = (options.tasks.to_string(), options.pace.to_string());
        [endpoint.to_owned(), APPLICATION.to_owned(), tasks, pace]
    };
    let mut python = Program::start("ours.py", &ours, &words(&endpoints.join(",")), &[])?;
    let mut old = Program::start("published.py", &published, &words(&behind), &[])?;
    let (tell, mut rust_runs) = watch::channel(false);
    let rust = tokio::spawn(rust_client(endpoints, options.clone(), tell));
    python.runs().await?;
    old.runs().await?;
    rust_runs.wait_for(|runs| *runs).await.context("the Rust client has ended")?;

    let leader = run.cluster.leader().await?.id;
    let victims: Vec<CoordinatorId> = std::iter::once(leader).chain(run.cluster.coordinator_ids()).collect();
    for victim in &victims {
        eprintln!("==> coordinator {victim} is killed");
        run.cluster.kill_coordinator(*victim).await?;
        run.cluster.leader().await?;
        tokio::time::sleep(AWAY).await;
        run.cluster.start_coordinator(*victim).await?;
    }
    let were_at_work = !rust.is_finished();
    judge.figure("kills", victims.len());
    judge.presume(were_at_work && python.is_at_work()? && old.is_at_work()?, || {
        "a client was done before the last kill: give it more --tasks".to_owned()
    });
    for (client, told) in [
        ("python", python.told::<Told>().await?),
        ("rust", timeout(SILENCE_MAX, rust).await.context("the Rust client does not end")??),
        ("published", old.told::<Told>().await?),
    ] {
        eprintln!("    {client}: {told:?}");
        weigh(&mut judge, client, &told, options.tasks);
    }
    proxy.stop().await?;
    run.cluster.shutdown().await?;
    Ok(judge.report())
}

/// No error, every result once, no long silence.
fn weigh(judge: &mut Judge, client: &'static str, told: &Told, tasks: u64) {
    let names = match client {
        "python" => ["python_tasks", "python_pause_ms", "python_took_ms"],
        "rust" => ["rust_tasks", "rust_pause_ms", "rust_took_ms"],
        _ => ["published_tasks", "published_pause_ms", "published_took_ms"],
    };
    for (name, value) in names.into_iter().zip([told.right, told.longest_pause_ms, told.took_ms]) {
        judge.figure(name, value);
    }
    judge.require(told.errors == 0, || format!("{client}: {} errors: {}", told.errors, told.first_errors.join("; ")));
    judge.require(told.right == tasks, || format!("{client}: {} of {tasks} results", told.right));
    let pause = Duration::from_millis(told.longest_pause_ms);
    judge.require(pause <= PAUSE_MAX, || format!("{client}: no result for {} ms", told.longest_pause_ms));
}

/// The client on our Rust crate: a program that awaits what it has handed over.
async fn rust_client(endpoints: Vec<String>, options: Options, runs: watch::Sender<bool>) -> Told {
    let began = Instant::now();
    let mut told = Told { right: 0, errors: 0, first_errors: Vec::new(), longest_pause_ms: 0, took_ms: 0 };
    if let Err(error) = rust_tasks(endpoints, options, runs, &mut told).await {
        told.errors += 1;
        told.first_errors.push(format!("{error:#}"));
    }
    told.took_ms = super::judge::millis(began.elapsed());
    told
}

async fn rust_tasks(
    endpoints: Vec<String>,
    options: Options,
    runs: watch::Sender<bool>,
    told: &mut Told,
) -> Result<()> {
    let connection = Connection::open(Endpoints::parse(&endpoints)?, ClientOptions::default())?;
    let session = connection.create_session_with(APPLICATION).await?;
    let (began, mut last) = (Instant::now(), Instant::now());
    let between = Duration::from_secs(1) / u32::try_from(options.pace)?;
    let mut open = FuturesUnordered::new();
    let (mut number, mut seen) = (0, BTreeSet::new());
    while number < options.tasks || !open.is_empty() {
        let due = began + between * u32::try_from(number)?;
        tokio::select! {
            () = sleep_until(due), if number < options.tasks => {
                let sent = Bytes::from(format!("rust-{number}"));
                let task = session.invoke::<_, Bytes>(sent.clone()).await?;
                open.push(async move { (sent, task.await) });
                number += 1;
            }
            Some((sent, got)) = open.next() => {
                told.longest_pause_ms = told.longest_pause_ms.max(super::judge::millis(last.elapsed()));
                last = Instant::now();
                ensure!(got? == sent && seen.insert(sent), "a wrong result, or a second one");
                told.right += 1;
                runs.send_replace(seen.len() >= RUNNING);
            }
        }
    }
    session.close().await?;
    Ok(())
}

/// `flmctl proxy`, for the client that knows one endpoint.
struct Proxy(Program);

impl Proxy {
    fn start(endpoints: &[String]) -> Result<Self> {
        let mut command = Command::new(Binaries::find()?.path("flmctl")?);
        command.args(["proxy", "-o", "json"]).env("FLAME_ENDPOINT", endpoints.join(","));
        Ok(Self(Program::spawn("flmctl proxy", command)?))
    }

    async fn endpoint(&mut self) -> Result<String> {
        let said: serde_json::Value = serde_json::from_str(&self.0.line().await?)?;
        Ok(said["endpoint"].as_str().with_context(|| format!("{said} names no endpoint"))?.to_owned())
    }

    async fn stop(self) -> Result<()> {
        self.0.end().await
    }
}

/// The environment of the published package.
fn published() -> Option<PathBuf> {
    interpreter("FLAME_VENV", "venv-flamepy-0.6.0")
}
