//! From the command line to an exit code.

use std::process::ExitCode;

use bytes::Bytes;
use clap::Parser;
use flame_sdk::endpoints::Environment;
use flame_sdk::{Connection, Endpoints, Options, SessionOptions};

use super::args::PingArgs;
use super::payload::PingInput;
use super::report;
use crate::bulk::{Bulk, Results, close, ended_early};
use crate::exit::{Exit, Failure};
use crate::output::{Color, note, print};
use crate::time::Stopwatch;

/// The application whose tasks these are.
const APPLICATION: &str = "flmping";

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

async fn run(args: &PingArgs) -> Result<(), Failure> {
    let endpoints = Endpoints::discover(&args.endpoint, args.config.as_deref(), &Environment::of_process())?;
    let options = Options { tls: args.tls.clone().into(), ..Options::default() };
    let connection = Connection::open(endpoints, options)?;
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
    let input = PingInput { duration: args.duration, memory: args.memory }.write().map(Bytes::from);
    let (tasks, keep_ends) = (args.task_num, !args.perf);
    let pings = Bulk { connection: &connection, session: &id, tasks, input, keep_ends, shows_progress: true };
    let results = tokio::select! {
        results = pings.run() => results,
        failure = ended_early(args.timeout) => Err(failure),
    };
    let took = stopwatch.elapsed();
    close(APPLICATION, &connection, &id).await;
    let Results { ends, succeeded } = results?;
    let text = if args.perf {
        report::benchmark(args.task_num, succeeded, took)
    } else {
        report::table(&id, ends, Color::Auto.applies_to_stdout())
    };
    print(&(text + &report::completed(args.task_num, took)))?;
    if succeeded < args.task_num {
        let failed = args.task_num - succeeded;
        let failure = Failure::failed(format!("{failed} of {} tasks failed", args.task_num));
        return Err(failure.hint(format!("`flmctl view -s {id} -t TASK` says why")));
    }
    Ok(())
}
