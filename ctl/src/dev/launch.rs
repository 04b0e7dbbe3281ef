//! From `flmctl dev …` to a supervisor, or to the one that runs.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::control::{self, Reply, Request};
use super::supervisor::Supervisor;
use super::{DevArgs, DevCommand, child};
use crate::cli::GlobalArgs;
use crate::exit::{Exit, Failure};
use crate::output::{note, print};
use crate::render::{Format, render};

/// How long a background cluster may take to come up.
const START_LIMIT: Duration = Duration::from_secs(180);

/// Between two looks at a background cluster that comes up.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Only its owner may look into a data folder: it holds what tasks took and gave.
const FOLDER_MODE: u32 = 0o700;

/// Runs `flmctl dev`.
///
/// # Errors
/// Says which daemon did not come up and why, or that no cluster runs.
pub async fn run(args: DevArgs, global: &GlobalArgs) -> Result<(), Failure> {
    let (data, named) = match &args.data {
        Some(data) => (std::path::absolute(data).map_err(|error| Failure::usage(error.to_string()))?, true),
        None => (default_folder(), false),
    };
    let color = global.color.applies_to_stdout();
    match &args.command {
        None if args.detach => detach(&args, &data, color).await,
        None => {
            make_folder(&data)?;
            Supervisor::run(&args, &data, named, color).await
        }
        Some(DevCommand::Child(args)) => Err(child::run(args)),
        Some(DevCommand::Kill { who }) => told(control::ask(&data, &Request::Kill { who: who.clone() }).await?),
        Some(DevCommand::Start { who }) => told(control::ask(&data, &Request::Start { who: who.clone() }).await?),
        Some(DevCommand::Stop) => told(control::ask(&data, &Request::Stop).await?),
        Some(DevCommand::Env) => match control::ask(&data, &Request::Status).await? {
            Reply::Done { status, .. } => print(&format!("{}\n", status.export())).map(|_| ()),
            refused @ Reply::Refused { .. } => told(refused),
        },
        Some(DevCommand::Status { output }) => match control::ask(&data, &Request::Status).await? {
            Reply::Done { status, .. } => print(&render(&status, output.format, color)?).map(|_| ()),
            refused @ Reply::Refused { .. } => told(refused),
        },
    }
}

fn told(reply: Reply) -> Result<(), Failure> {
    match reply {
        Reply::Done { text, .. } => print(&text).map(|_| ()),
        Reply::Refused { exit, message } => {
            let exit = Exit::TABLE.iter().map(|(exit, _)| *exit).find(|known| known.code() == exit);
            Err(Failure::new(exit.unwrap_or(Exit::Failed), message))
        }
    }
}

/// One for each user; found again by `flmctl dev kill` without being named.
fn default_folder() -> PathBuf {
    let user = rustix::process::getuid().as_raw();
    std::env::temp_dir().join(format!("flame-dev-{user}"))
}

fn make_folder(data: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("{}: {error}", data.display()));
    std::fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(data).map_err(failed)?;
    let owner = std::fs::metadata(data).map_err(failed)?.uid();
    if owner != rustix::process::getuid().as_raw() {
        let failure = Failure::new(Exit::NotAllowed, format!("{} belongs to another user", data.display()));
        return Err(failure.hint("name a folder of your own: --data DIR"));
    }
    Ok(())
}

/// Starts a supervisor in the background and waits until its cluster is up.
async fn detach(args: &DevArgs, data: &Path, color: bool) -> Result<(), Failure> {
    make_folder(data)?;
    let log = data.join("dev.log");
    let failed = |error: std::io::Error| Failure::failed(format!("cannot start in the background: {error}"));
    let out = std::fs::File::create(&log).map_err(failed)?;
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.args(["dev", "--background", "--nodes", &args.nodes.to_string(), "--workers", &args.workers.to_string()]);
    if let Some(resources) = args.resources {
        let text = format!("cpu={},mem={},gpu={}", resources.cpu, resources.memory, resources.gpu);
        command.args(["--resources", &text]);
    }
    if args.profile == super::args::Profile::Fast {
        command.args(["--profile", "fast"]);
    }
    if let Some(data) = &args.data {
        command.arg("--data").arg(data);
    }
    let errors = out.try_clone().map_err(failed)?;
    let mut supervisor = command.stdin(Stdio::null()).stdout(out).stderr(errors).spawn().map_err(failed)?;
    let up = async {
        loop {
            if let Ok(Some(status)) = supervisor.try_wait() {
                return Err(not_up(&log, status.code()));
            }
            if let Ok(Reply::Done { status, .. }) = control::ask(data, &Request::Status).await
                && status.ready
                && Some(status.pid) == supervisor.id()
            {
                return Ok(status);
            }
            sleep(LOOK_INTERVAL).await;
        }
    };
    let late = || Failure::new(Exit::TimedOut, format!("the cluster did not come up in time; see {}", log.display()));
    let status = timeout(START_LIMIT, up).await.map_err(|_| late())??;
    print(&render(&status, Format::Table, color)?)?;
    note("The cluster runs in the background; `flmctl dev stop` ends it.\n");
    Ok(())
}

/// What the supervisor said before it ended.
fn not_up(log: &Path, code: Option<i32>) -> Failure {
    let said = std::fs::read_to_string(log).unwrap_or_default();
    let exits = Exit::TABLE.iter().map(|(exit, _)| *exit);
    let exit = exits.filter(|exit| *exit != Exit::Done).find(|exit| Some(i32::from(exit.code())) == code);
    let message = said.trim().trim_start_matches("flmctl: ").to_owned();
    Failure::new(
        exit.unwrap_or(Exit::Failed),
        if message.is_empty() { "the cluster did not come up".into() } else { message },
    )
}
