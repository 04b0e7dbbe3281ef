//! The process with simulated workers.
//!
//! It says `attached` when all are, and serves until its stdin ends. When it reads a line it prints its journal (session,
//! task, when its result was sent, when it was told to be recorded) and `end`.

use std::io::Write;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin, stdin};
use tokio::task::JoinSet;

use super::worker::{Identity, Journal, Worker};

/// Attaching at the same time.
const ATTACHING_MAX: usize = 64;

/// What the process is told at its start.
#[derive(Clone, Debug, clap::Args)]
pub struct CrowdArguments {
    /// Where a coordinator listens for workers; best the leader
    #[arg(long)]
    pub endpoint: String,
    /// How many workers
    #[arg(long)]
    pub workers: u32,
    /// Room of each for executors
    #[arg(long)]
    pub executors: u32,
    /// Keep a journal of results
    #[arg(long)]
    pub journal: bool,
}

/// Serves until stdin ends.
///
/// # Errors
/// If a worker cannot attach, or loses its stream.
pub async fn run(arguments: CrowdArguments) -> Result<()> {
    let journal = arguments.journal.then(Journal::default);
    let attaching = stream::iter(0..arguments.workers).map(|number| {
        let name = format!("simulated-{number}");
        let identity = Identity { name, executors: arguments.executors, nonce: rand::random() };
        let (endpoint, journal) = (arguments.endpoint.clone(), journal.clone());
        // A worker that is attached must live on while others attach.
        async move {
            let worker = Worker::attach(&endpoint, &identity, journal).await?;
            anyhow::Ok(tokio::spawn(worker.run()))
        }
    });
    let running: Vec<_> = attaching.buffer_unordered(ATTACHING_MAX).try_collect().await?;
    let mut workers = JoinSet::new();
    for worker in running {
        workers.spawn(worker);
    }
    println!("attached");
    let mut orders = BufReader::new(stdin()).lines();
    tokio::select! {
        ended = serve(&mut orders, journal.as_ref()) => ended,
        broken = workers.join_next() => match broken {
            Some(outcome) => outcome.context("a worker broke")?.context("a worker broke")?,
            None => bail!("there are no workers"),
        },
    }
}

/// Prints the journal whenever a line comes.
async fn serve(orders: &mut Lines<BufReader<Stdin>>, journal: Option<&Journal>) -> Result<()> {
    while orders.next_line().await.context("read stdin")?.is_some() {
        let lines =
            journal.map(|journal| std::mem::take(&mut *journal.lock().unwrap_or_else(|broken| broken.into_inner())));
        let mut out = std::io::stdout().lock();
        for line in lines.unwrap_or_default() {
            writeln!(out, "{line}").context("print the journal")?;
        }
        writeln!(out, "end").context("print the end")?;
    }
    Ok(())
}
