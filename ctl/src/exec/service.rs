//! `flmexec-service`: what a worker starts to run scripts.
//!
//! **Invariant:** whatever its input, a task is answered: with what its script wrote, or with why there is nothing.

use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use flame_sdk::service::{self, Cancellation, SessionContext, TaskContext};
use flame_sdk::{FlameError, FlameService, async_trait};
use tempfile::TempDir;

use super::capture::STDOUT_BYTES_MAX;
use super::environment::environment;
use super::interpreter::Tools;
use super::job::Job;
use super::payload::{Defaults, ScriptInput, ScriptOutput};
use super::script::{End, Run, Script};
use crate::exit::{Exit, Failure};
use crate::output::note;

/// This program, also after an upgrade has put another one in its place.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// The folder for temporary files in the folder of a task.
const TEMPORARY: &str = "tmp";

/// Runs `flmexec-service`.
pub async fn main() -> ExitCode {
    match service::run(ExecService::with_keeper(THIS_PROGRAM)).await {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            let failure = Failure::from(error);
            note(&failure.text("flmexec-service"));
            failure.exit.into()
        }
    }
}

/// Runs the script of each task.
#[derive(Debug)]
pub struct ExecService {
    keeper: PathBuf,
    tools: Tools,
    /// What the common data of the session says; it may be wrong, and then every task hears that.
    defaults: Mutex<Result<Defaults, String>>,
}

impl ExecService {
    /// With this `flmexec-service` as the keeper of scripts.
    #[must_use]
    pub fn with_keeper(program: impl Into<PathBuf>) -> Self {
        Self { keeper: program.into(), tools: Tools::of_process(), defaults: Mutex::new(Ok(Defaults::default())) }
    }

    fn job(&self, input: Option<&[u8]>) -> Result<Job, String> {
        let defaults = self.defaults.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Job::new(ScriptInput::read(input)?, &defaults)
    }

    async fn run(&self, job: &Job, folder: &Path, cancellation: &Cancellation) -> Result<Run, FlameError> {
        let command = self.tools.command(job).map_err(FlameError::FailedPrecondition)?;
        let temporary = folder.join(TEMPORARY);
        let made = std::fs::create_dir(&temporary);
        let made = made.and_then(|()| std::fs::write(folder.join(job.language.file()), &job.code));
        made.map_err(|error| failed("write the script", &error))?;
        let environment = environment(job.language, std::env::vars_os(), &temporary);
        let (input, timeout, keeper) = (&*job.input, job.timeout, &*self.keeper);
        let script = Script { keeper, command: &command, folder, environment, input, timeout, cancellation };
        script.run().await.map_err(|error| failed("run the script", &error))
    }
}

#[async_trait]
impl FlameService for ExecService {
    async fn on_session_enter(&self, context: SessionContext) -> Result<(), FlameError> {
        let defaults = Defaults::read(context.common_data.as_deref());
        *self.defaults.lock().unwrap_or_else(PoisonError::into_inner) = defaults;
        Ok(())
    }

    async fn on_task_invoke(&self, context: TaskContext) -> Result<Option<Bytes>, FlameError> {
        let job = self.job(context.input.as_deref()).map_err(FlameError::InvalidArgument)?;
        let folder = tempfile::Builder::new().prefix("flmexec-").tempdir();
        let folder = folder.map_err(|error| failed("make a folder for the script", &error))?;
        let run = self.run(&job, folder.path(), &context.cancellation).await;
        remove(folder);
        let output = judge(run?).map_err(FlameError::Internal)?;
        let output = serde_json::to_vec(&output).map_err(|error| failed("write the answer", &error))?;
        Ok(Some(output.into()))
    }
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> FlameError {
    FlameError::Internal(format!("cannot {what}: {error}"))
}

/// What cannot be removed is in the way of nobody: the log of the service says so, the task has its result.
fn remove(folder: TempDir) {
    let path = folder.path().to_owned();
    if let Err(error) = folder.close() {
        note(&format!("flmexec-service: cannot remove {}: {error}\n", path.display()));
    }
}

/// What a client gets, or why its task has failed.
fn judge(run: Run) -> Result<ScriptOutput, String> {
    let what = match run.end {
        End::Itself(status) if status.success() => {
            let (data, stderr) = (run.stdout.bytes, run.stderr.into_bytes());
            return Ok(ScriptOutput { data, stderr, exit_code: 0 });
        }
        End::Itself(status) => format!("the script {}", described(status)),
        End::TimedOut(timeout) => format!("the script ran longer than its timeout of {timeout:?} and was killed"),
        End::Cancelled => "the task was cancelled, and its script was killed".to_owned(),
        End::TooMuch => format!(
            "the script wrote more than {STDOUT_BYTES_MAX} bytes to its stdout, which is the most that a result can \
             carry, and was killed; write less, or to a file or the object cache"
        ),
    };
    match run.stderr.last_lines() {
        lines if lines.is_empty() => Err(format!("{what}; it wrote nothing to stderr")),
        lines => Err(format!("{what}; the end of its stderr:\n{lines}")),
    }
}

fn described(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => format!("ended: {status}"),
    }
}
