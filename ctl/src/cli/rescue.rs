//! `flmctl cluster restore|recover` and `flmctl cluster backup --verify`: what is done while no coordinator runs.
//!
//! Only `flame-coordinator` knows what lies in a data directory and in a backup. So it is started, from beside `flmctl`, and
//! speaks for itself; its last word becomes the error of this command.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use clap::Args;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::OutputArgs;
use crate::dev::beside;
use crate::exit::{Exit, Failure};
use crate::output::{note, print};
use crate::render::{Format, value_in};

const PROGRAM: &str = "flame-coordinator";

/// How it begins its last word.
const LAST_WORD: &str = "flame-coordinator: ";

/// Flags of `flmctl cluster restore`.
#[derive(Clone, Debug, Args)]
pub struct RestoreArgs {
    /// A file that `flmctl cluster backup` has written
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Which coordinator
    #[command(flatten)]
    pub coordinator: CoordinatorArgs,
    /// How to print
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Flags of `flmctl cluster recover`.
#[derive(Clone, Debug, Args)]
pub struct RecoverArgs {
    /// Take the vote from all other coordinators, for ever
    #[arg(long)]
    pub force_new: bool,
    /// Which coordinator
    #[command(flatten)]
    pub coordinator: CoordinatorArgs,
    /// Do not ask for the name of the cluster before it is done
    #[arg(long)]
    pub yes: bool,
    /// Only say what would be done
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// How to print
    #[command(flatten)]
    pub output: OutputArgs,
}

/// A coordinator of this machine that does not run.
#[derive(Clone, Debug, Args)]
pub struct CoordinatorArgs {
    /// Its configuration, as it is started with; ~/.flame/flame-cluster.yaml when not given and present
    #[arg(long, value_name = "FILE")]
    pub coordinator_config: Option<PathBuf>,
    /// Its data directory; that of its configuration when not given
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl CoordinatorArgs {
    fn words(&self) -> Vec<OsString> {
        let words = [("--config", &self.coordinator_config), ("--data-dir", &self.data_dir)];
        let given = words.into_iter().filter_map(|(flag, value)| Some((flag, value.clone()?)));
        given.flat_map(|(flag, value)| [flag.into(), value.into_os_string()]).collect()
    }
}

pub(super) async fn restore(args: &RestoreArgs) -> Result<(), Failure> {
    let mut words = vec!["restore".into(), args.file.clone().into_os_string()];
    words.extend(args.coordinator.words());
    hand_over(words, args.output.format).await
}

pub(super) async fn recover(args: &RecoverArgs) -> Result<(), Failure> {
    let mut words = vec!["recover".into()];
    words.extend(args.coordinator.words());
    let flags = [("--force-new", args.force_new), ("--yes", args.yes), ("--dry-run", args.dry_run)];
    words.extend(flags.into_iter().filter(|(_, is_given)| *is_given).map(|(flag, _)| flag.into()));
    hand_over(words, args.output.format).await
}

/// Has `flame-coordinator` do it.
pub(super) async fn hand_over(words: Vec<OsString>, format: Format) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("cannot run {PROGRAM}: {error}"));
    let flmctl = std::env::current_exe().map_err(failed)?;
    let program = beside(flmctl.parent().unwrap_or(&flmctl), PROGRAM)?;
    let mut command = Command::new(program);
    command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    if format != Format::Table {
        command.args(["--output", "json"]);
    }
    let mut child = command.spawn().map_err(failed)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (says, last_word) = tokio::join!(read(stdout), pass_on(stderr));
    let status = child.wait().await.map_err(failed)?;
    if !status.success() {
        return Err(Failure::new(exit(status), last_word.unwrap_or_else(|| format!("{PROGRAM} ended with {status}"))));
    }
    print(&shown(&says, format)?).map(|_| ())
}

fn shown(says: &str, format: Format) -> Result<String, Failure> {
    match format {
        Format::Table => Ok(says.to_owned()),
        Format::Json | Format::Yaml => {
            let value = serde_json::from_str::<serde_json::Value>(says);
            value_in(&value.map_err(|error| Failure::failed(format!("{PROGRAM} said no JSON: {error}")))?, format)
        }
    }
}

/// Its exit code as one of ours.
fn exit(status: ExitStatus) -> Exit {
    match status.code() {
        Some(2) => Exit::Usage,
        // The directory is in use, somebody else's, holds data, or was left unfinished.
        Some(10) => Exit::Conflict,
        _ => Exit::Failed,
    }
}

async fn read(from: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        // What cannot be read was not said.
        let _unread = from.read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Passes on what it says as it says it, a question without an end of line included, but for its last word.
async fn pass_on(from: Option<impl AsyncRead + Unpin>) -> Option<String> {
    let mut from = from?;
    let (mut text, mut last_word) = (String::new(), None);
    let mut piece = [0; 4096];
    loop {
        let count = from.read(&mut piece).await.unwrap_or(0);
        text += &String::from_utf8_lossy(&piece[..count]);
        while let Some((line, rest)) = text.split_once('\n') {
            match line.strip_prefix(LAST_WORD) {
                Some(word) => last_word = Some(word.to_owned()),
                None => note(&format!("{line}\n")),
            }
            text = rest.to_owned();
        }
        if count == 0 {
            note(&text);
            return last_word;
        }
        let may_be_last = text.starts_with(LAST_WORD) || LAST_WORD.starts_with(&text);
        if !may_be_last {
            note(&std::mem::take(&mut text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_word_is_kept_and_all_else_is_passed_on() {
        let said: &[u8] = b"it warns\nflame-coordinator: it refuses\n";
        assert_eq!(pass_on(Some(said)).await.as_deref(), Some("it refuses"));
        assert_eq!(pass_on(Some(&b"Type the name: "[..])).await, None);
        assert_eq!(pass_on(None::<&[u8]>).await, None);
    }

    #[test]
    fn the_coordinator_is_told_which_one_it_is() {
        let words = CoordinatorArgs { coordinator_config: None, data_dir: Some("/d".into()) }.words();
        assert_eq!(words, ["--data-dir", "/d"]);
    }
}
