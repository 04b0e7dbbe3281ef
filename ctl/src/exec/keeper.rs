//! The process between the service and a script: it starts the script, and sees to it that nothing of it is left.
//!
//! A process group would not do: `timeout`, `setsid` and shells with job control make groups of their own. So the kernel is
//! asked to hand orphans below the keeper to the keeper; once the script has ended, the keeper ends its children, and theirs
//! as they come to it, until it has none.
//!
//! **Invariant:** it ends as the script did: with the same exit code, or by the same signal.
//! **Invariant:** it holds the script's fate to that of whoever holds the other end of its standard input, with no signal and
//! no process number that could be somebody else's by now.

use std::convert::Infallible;
use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::{ExitCode, ExitStatus, Stdio};

use rustix::process::{Resource, Rlimit, Signal, getpid, kill_process, set_child_subreaper, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::process::{ChildStdin, Command};

use super::processes::end_children;
use crate::output::note;

/// First argument of the service's program when it is to be a keeper. Not for people.
pub const SUBCOMMAND: &str = "__keep";

/// Exit code when the script could not be started, as shells have it.
const EXIT_NOT_STARTED: u8 = 127;

/// What shells add to the number of a signal.
const EXIT_BY_SIGNAL: i32 = 128;

/// What comes before the input on the leash.
pub(super) fn head(input_bytes: usize) -> [u8; 8] {
    (input_bytes as u64).to_le_bytes()
}

/// Keeps one script. `words` are the program that runs it and that program's arguments.
pub async fn main(words: impl Iterator<Item = OsString>) -> ExitCode {
    match keep(words).await {
        Ok(Some(status)) => end_likewise(status),
        Ok(None) => ExitCode::SUCCESS,
        Err(text) => {
            note(&format!("flmexec: {text}\n"));
            EXIT_NOT_STARTED.into()
        }
    }
}

/// Gives the end of the script; none when nobody wants to know it any more.
async fn keep(mut words: impl Iterator<Item = OsString>) -> Result<Option<ExitStatus>, String> {
    let by_hand = |error: io::Error| format!("{SUBCOMMAND} is for flmexec-service itself: {error}");
    let program = words.next().ok_or_else(|| by_hand(io::Error::other("no program")))?;
    let leash = io::stdin().as_fd().try_clone_to_owned();
    let mut leash = leash.and_then(pipe::Receiver::from_owned_fd).map_err(by_hand)?;
    set_child_subreaper(Some(getpid())).map_err(|error| format!("cannot keep processes: {error}"))?;
    // All of it before the script starts: one that does not read must not keep the leash from being heard.
    let Some(input) = input(&mut leash).await else { return Ok(None) };

    let mut command = Command::new(&program);
    command.args(words).stdin(Stdio::piped()).process_group(0);
    let mut script = command.spawn().map_err(|error| format!("cannot run {}: {error}", program.display()))?;
    let stdin = script.stdin.take();
    let status = {
        let mut let_go = pin!(let_go(&mut leash));
        tokio::select! {
            status = script.wait() => Some(status),
            never = feed(stdin, &input) => match never {},
            () = &mut let_go => None,
        }
    };
    let status = match status {
        Some(status) => Some(status.map_err(|error| format!("cannot wait for the script: {error}"))?),
        None => {
            // It has not been waited for, so it is there, be it dead.
            let _dead = script.kill().await;
            None
        }
    };
    end_children();
    Ok(status)
}

/// What the script will read; none when the leash was let go before it was whole.
async fn input(leash: &mut pipe::Receiver) -> Option<Vec<u8>> {
    let length = leash.read_u64_le().await.ok()?;
    let mut input = Vec::new();
    let read = leash.take(length).read_to_end(&mut input).await.ok()?;
    (read as u64 == length).then_some(input)
}

/// Gives the script its input, then the end of it.
async fn feed(stdin: Option<ChildStdin>, input: &[u8]) -> Infallible {
    if let Some(mut stdin) = stdin {
        // A script need not read what it gets.
        let _unread = stdin.write_all(input).await;
    }
    pending().await
}

/// Waits until nobody holds the other end.
async fn let_go(leash: &mut pipe::Receiver) {
    let mut unexpected = [0; 64];
    while leash.read(&mut unexpected).await.is_ok_and(|length| length > 0) {}
}

/// Ends as the script did. One that was killed by a signal is followed by the same signal, without another core file.
fn end_likewise(status: ExitStatus) -> ExitCode {
    let Some(signal) = status.signal() else {
        return ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX));
    };
    if let Some(signal) = Signal::from_named_raw(signal) {
        let _kept = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        // The runtime has handlers of its own that only give way to the system's at the first signal (stack overflows).
        for _ in 0..2 {
            let _survived = kill_process(getpid(), signal);
        }
    }
    ExitCode::from(u8::try_from(EXIT_BY_SIGNAL + signal).unwrap_or(u8::MAX))
}
