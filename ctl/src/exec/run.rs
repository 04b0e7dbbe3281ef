//! From the command line to an exit code.

use std::process::ExitCode;

use bytes::Bytes;
use clap::Parser;
use flame_sdk::endpoints::Environment;
use flame_sdk::{Connection, Endpoints, Options, SessionOptions};

use super::args::{ExecArgs, Format};
use super::report::ExecView;
use super::source;
use crate::bulk::{Bulk, close, ended_early};
use crate::exit::{Exit, Failure};
use crate::output::note;

/// The application whose tasks these are.
const APPLICATION: &str = "flmexec";

/// Runs `flmexec`.
pub async fn main() -> ExitCode {
    let args = match ExecArgs::try_parse() {
        Ok(args) => args,
        Err(error) => return crate::cli::told_by_clap(&error),
    };
    match run(&args).await {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            note(&if args.format == Format::Json { failure.json() } else { failure.text(APPLICATION) });
            failure.exit.into()
        }
    }
}

async fn run(args: &ExecArgs) -> Result<(), Failure> {
    let input = Some(Bytes::from(source::script(args)?.write()));
    let endpoints = Endpoints::discover(&args.endpoint, args.config.as_deref(), &Environment::of_process())?;
    let connection = Connection::open(endpoints, Options::default())?;
    let session = connection.create_session(&SessionOptions::new(APPLICATION)).await;
    let session = session.map_err(Failure::from).map_err(|failure| {
        if failure.exit == Exit::NotFound {
            failure.or_hint("the application flmexec is not registered; `flmctl list -a` shows what is")
        } else {
            failure
        }
    })?;
    let id = session.metadata.id;
    let shows_progress = args.task_num > 1;
    let tasks = args.task_num;
    let scripts = Bulk { connection: &connection, session: &id, tasks, input, keep_ends: true, shows_progress };
    let results = tokio::select! {
        results = scripts.run() => results,
        failure = ended_early(args.wait) => Err(failure),
    };
    close(APPLICATION, &connection, &id).await;
    let results = results?;
    ExecView::new(&id, results.ends)?.print(args.format)?;
    if results.succeeded < tasks {
        let failed = tasks - results.succeeded;
        let failure = Failure::failed(format!("{failed} of {tasks} tasks failed"));
        return Err(failure.hint(format!("`flmctl view -s {id} -t TASK` says why")));
    }
    Ok(())
}
