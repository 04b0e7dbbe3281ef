//! From the command line to an exit code.

use std::future::pending;
use std::process::ExitCode;

use bytes::Bytes;
use clap::Parser;
use flame_sdk::endpoints::Environment;
use flame_sdk::model::Task;
use flame_sdk::{Connection, Endpoints, FlameError, Options, SessionOptions};
use flame_types::TaskNo;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::args::PingArgs;
use super::payload::PingInput;
use super::{progress, report};
use crate::exit::{Exit, Failure};
use crate::output::{Color, note, print};
use crate::time::Stopwatch;

/// The application whose tasks these are.
const APPLICATION: &str = "flmping";

/// Most submits under way at a time.
pub const SUBMITS_IN_FLIGHT_MAX: usize = 256;

/// Most times one submit is sent again after its answer was lost. Two pings instead of one harm nobody.
const REPEATS_MAX: u32 = 5;

/// Runs `flmping`.
pub async fn main() -> ExitCode {
    let args = match PingArgs::try_parse() {
        Ok(args) => args,
        Err(error) => return crate::cli::told_by_clap(&error),
    };
    match run(&args).await {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            note(&failure.text("flmping"));
            failure.exit.into()
        }
    }
}

/// What became of the tasks.
struct Results {
    tasks: Vec<Task>,
    succeeded: u64,
    /// Submits that were sent again after their answer was lost.
    repeated: u64,
}

async fn run(args: &PingArgs) -> Result<(), Failure> {
    let endpoints = Endpoints::discover(&args.endpoint, args.config.as_deref(), &Environment::of_process())?;
    let connection = Connection::open(endpoints, Options::default())?;
    let stopwatch = Stopwatch::start();
    let options = SessionOptions {
        common_data: args.common_data.clone().map(Bytes::from),
        priority: args.priority,
        resreq: args.resreq,
        ..SessionOptions::new(APPLICATION)
    };
    let session = connection.create_session(&options).await.map_err(Failure::from).map_err(|failure| {
        if failure.exit == Exit::NotFound {
            failure.or_hint("the application flmping is not registered; `flmctl list -a` shows what is")
        } else {
            failure
        }
    })?;
    let id = session.metadata.id;
    print(&report::created(&id, stopwatch.elapsed(), args.task_num))?;

    let stopwatch = Stopwatch::start();
    let results = tokio::select! {
        results = ping(&connection, &id, args) => results,
        failure = ended_early(args) => Err(failure),
    };
    let took = stopwatch.elapsed();
    close(&connection, &id).await;
    let Results { tasks, succeeded, repeated } = results?;
    if repeated > 0 {
        note(&format!(
            "flmping: {repeated} submits were repeated after their answer was lost; as many tasks may be extra\n"
        ));
    }
    let text = if args.perf {
        report::benchmark(args.task_num, succeeded, took)
    } else {
        report::table(tasks, Color::Auto.applies_to_stdout())
    };
    print(&(text + &report::completed(args.task_num, took)))?;
    if succeeded < args.task_num {
        let failed = args.task_num - succeeded;
        let failure = Failure::failed(format!("{failed} of {} tasks failed", args.task_num));
        return Err(failure.hint(format!("`flmctl view -s {id} -t TASK` says why")));
    }
    Ok(())
}

/// Submits all tasks and waits for all results, both at the same time.
async fn ping(connection: &Connection, session: &str, args: &PingArgs) -> Result<Results, Failure> {
    let input = PingInput { duration: args.duration, memory: args.memory }.write().map(Bytes::from);
    let (watcher, mut updates) = connection.watch_tasks(session);
    let bar = progress::bar(args.task_num);
    let submit = async move {
        stream::iter(0..args.task_num)
            .map(|_| submit_one(connection, session, input.clone()))
            .buffer_unordered(SUBMITS_IN_FLIGHT_MAX)
            .try_fold((watcher, 0), |(watcher, repeated), (task, again)| async move {
                watcher.add(task).await?;
                Ok((watcher, repeated + again))
            })
            .await
            .map(|(_, repeated)| repeated)
    };
    let collect = async {
        let (mut tasks, mut succeeded) = (Vec::new(), 0);
        while let Some(task) = updates.try_next().await? {
            if !task.is_terminal() {
                continue;
            }
            succeeded += u64::from(report::succeeded(&task));
            bar.inc(1);
            if !args.perf {
                tasks.push(task);
            }
        }
        Ok((tasks, succeeded))
    };
    let (repeated, (tasks, succeeded)) = futures::try_join!(submit, collect)?;
    bar.finish();
    Ok(Results { tasks, succeeded, repeated })
}

/// Submits one task; says how often it was sent again.
async fn submit_one(connection: &Connection, session: &str, input: Option<Bytes>) -> Result<(TaskNo, u64), FlameError> {
    let mut repeats = 0;
    loop {
        match connection.create_task(session, input.clone()).await {
            Ok(task) => return Ok((task.number()?, repeats.into())),
            Err(FlameError::UnknownOutcome(_)) if repeats < REPEATS_MAX => repeats += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Resolves when the user or the clock ends the run.
async fn ended_early(args: &PingArgs) -> Failure {
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => return Failure::failed(format!("cannot wait for signals: {error}")),
    };
    let timeout = async {
        match args.timeout {
            Some(timeout) => sleep(timeout).await,
            None => pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => Failure::new(Exit::Interrupted, "interrupted; the session was closed"),
        _ = terminate.recv() => Failure::new(Exit::Interrupted, "interrupted; the session was closed"),
        () = timeout => Failure::new(Exit::TimedOut, "the tasks did not end in time; the session was closed")
            .hint("`flmctl list -n` shows whether workers are there to run them"),
    }
}

/// Leaves nothing behind. A task may still run: one of a repeated submit, or all after an early end.
async fn close(connection: &Connection, session: &str) {
    let closed = match connection.close_session(session).await {
        Err(FlameError::FailedPrecondition(_)) => connection.force_close_session(session).await,
        result => result.map(|_| ()),
    };
    if let Err(error) = closed {
        note(&format!("flmping: session <{session}> could not be closed: {error}\n"));
    }
}
