//! The quickstart, run as a reader would: every command of the page, in its order, in one shell.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_testkit::{Binaries, RunId, wait_until};
use tokio::process::Command;
use tokio::time::timeout;

/// The page says two minutes; a busy machine may take longer.
const LIMIT: Duration = Duration::from_secs(240);

/// What a reader sees when all is well, in this order.
const SIGNS: [&str; 7] = [
    "healthy (3 of 3 members serve",
    "1,000/1,000",
    "Completed on",
    "you said one",
    "quickstart-echo",
    "1,000/1,000",
    "2 of 3 members",
];

/// Names the folder with Python's packages as files; `make deps` fetches them.
const WHEELS_VARIABLE: &str = "FLAME_WHEELS";

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_quickstart_works_as_it_stands() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let page = std::fs::read_to_string(root.join("docs/start/quickstart.md"))?;
    let folder = tempfile::tempdir()?;
    std::os::unix::fs::symlink(root.join("sdk"), folder.path().join("sdk"))?;
    let run = RunId::new();
    let ended = timeout(LIMIT, shell(&page, folder.path(), &run)?.output()).await;
    let left = wait_until(Duration::from_secs(20), "nothing of it runs", || async {
        let left = run.processes();
        ensure!(left.is_empty(), "still there: {left:#?}");
        Ok(())
    });
    let left = left.await;
    run.kill_leftovers();
    let ended = ended.context("it does not end")??;
    let (said, told) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    ensure!(ended.status.success(), "{}:\n{said}\n{told}", ended.status);
    let mut rest: &str = &said;
    for sign in SIGNS {
        let (_, after) = rest.split_once(sign).with_context(|| format!("no {sign:?} in time:\n{said}"))?;
        rest = after;
    }
    left
}

/// All commands of the page, in a folder of its own, where no network is.
fn shell(page: &str, folder: &Path, run: &RunId) -> Result<Command> {
    let programs = Binaries::find()?.path("flmctl")?;
    let programs = programs.parent().context("a program is in a folder")?;
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("bash");
    command.args(["-eu", "-c", &commands(page)]).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    command.env("PATH", format!("{}:{path}", programs.display())).env_remove("FLAME_ENDPOINT");
    command.env("HOME", folder).env("TMPDIR", folder);
    command.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", wheels()?).env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    let (name, value) = run.environment();
    command.env(name, value);
    Ok(command)
}

/// The blocks of the page that a shell runs.
fn commands(page: &str) -> String {
    let blocks = page.split("\n```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    blocks.collect::<Vec<_>>().join("\n")
}

fn wheels() -> Result<PathBuf> {
    let folder = match std::env::var_os(WHEELS_VARIABLE) {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(&std::env::var_os("HOME").context("HOME is not set")?).join(".cache/flame-ha/wheels"),
    };
    ensure!(folder.is_dir(), "{} is missing; `make deps` fetches the packages of our Python client", folder.display());
    Ok(folder)
}
