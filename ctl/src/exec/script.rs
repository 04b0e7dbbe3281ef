//! One run of one script, from its start to the end of everything it has started.
//!
//! The service starts a [`keeper`] and the keeper starts the script. The keeper's standard input is its leash:
//! first the length and the bytes of the script's input, then nothing more. When the leash is let go, whether on purpose,
//! because this future is dropped or because the service is dead, the keeper ends all that the script has started.

use std::convert::Infallible;
use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use flame_sdk::service::Cancellation;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::capture::{Tail, Whole};
use super::interpreter::CommandLine;
use super::keeper;

/// What a script wrote is there when its keeper has ended. Only somebody who has escaped the keeper can still hold the pipes;
/// nobody waits for them longer than this.
const READ_ON_MAX: Duration = Duration::from_secs(1);

const READ_BYTES: usize = 16 * 1024;

/// How a keeper is called in lists of processes.
const KEEPER_NAME: &str = "flmexec-keeper";

/// What is run, and where.
pub(super) struct Script<'a> {
    /// The program that is its keeper.
    pub(super) keeper: &'a Path,
    pub(super) command: &'a CommandLine,
    /// Where it runs.
    pub(super) folder: &'a Path,
    /// All of it: nothing is inherited.
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) input: &'a [u8],
    pub(super) timeout: Option<Duration>,
    pub(super) cancellation: &'a Cancellation,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) end: End,
    pub(super) stdout: Whole,
    pub(super) stderr: Tail,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself.
    Itself(ExitStatus),
    /// It ran too long.
    TimedOut(Duration),
    /// Nobody wanted it any more.
    Cancelled,
    /// It wrote more than a result can carry.
    TooMuch,
}

impl Script<'_> {
    /// Runs it. When this returns, no process of it is left; when it is dropped, they end soon.
    ///
    /// # Errors
    /// When the system refuses to start the keeper or to speak of its end.
    pub(super) async fn run(&self) -> io::Result<Run> {
        let mut keeper = self.start()?;
        let missing = || io::Error::other("the keeper has no pipes");
        let leash = keeper.stdin.take().ok_or_else(missing)?;
        let (stdout, stderr) = (keeper.stdout.take().ok_or_else(missing)?, keeper.stderr.take().ok_or_else(missing)?);
        let (mut whole, mut tail) = (Whole::default(), Tail::default());
        let too_much = Notify::new();
        let end = {
            let to_whole = read(stdout, |bytes| {
                if !whole.push(bytes) {
                    too_much.notify_one();
                }
            });
            let mut reading = pin!(async { tokio::join!(to_whole, read(stderr, |bytes| tail.push(bytes))) });
            let mut ending = pin!(self.ending(&mut keeper, leash, &too_much));
            tokio::select! {
                end = &mut ending => {
                    let _escaped = timeout(READ_ON_MAX, &mut reading).await;
                    end?
                }
                _ = &mut reading => ending.await?,
            }
        };
        let end = if whole.is_too_much() { End::TooMuch } else { end };
        Ok(Run { end, stdout: whole, stderr: tail })
    }

    fn start(&self) -> io::Result<Child> {
        Command::new(self.keeper)
            .arg0(KEEPER_NAME)
            .arg(keeper::SUBCOMMAND)
            .arg(&self.command.program)
            .args(&self.command.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A worker that ends a service signals its whole group. The keeper is not meant: it ends with its script.
            .process_group(0)
            .spawn()
    }

    /// Waits for the end of the keeper, or makes it end.
    async fn ending(&self, keeper: &mut Child, leash: ChildStdin, too_much: &Notify) -> io::Result<End> {
        let why = async {
            tokio::select! {
                never = hold(leash, self.input) => match never {},
                () = self.cancellation.cancelled() => End::Cancelled,
                end = expired(self.timeout) => end,
                () = too_much.notified() => End::TooMuch,
            }
        };
        let why = tokio::select! {
            biased;
            status = keeper.wait() => return status.map(End::Itself),
            why = why => why,
        };
        // The leash has been let go with the future that held it.
        keeper.wait().await?;
        Ok(why)
    }
}

/// Hands the input over, then holds the leash.
async fn hold(mut leash: ChildStdin, input: &[u8]) -> Infallible {
    let head = keeper::head(input.len());
    // A keeper that does not listen has ended, and its end says why.
    if leash.write_all(&head).await.is_ok() {
        let _ended = leash.write_all(input).await;
    }
    pending().await
}

async fn expired(timeout: Option<Duration>) -> End {
    match timeout {
        Some(timeout) => {
            sleep(timeout).await;
            End::TimedOut(timeout)
        }
        None => pending().await,
    }
}

/// Reads to the end. A pipe that cannot be read has nothing more to say.
async fn read(mut pipe: impl AsyncRead + Unpin, mut take: impl FnMut(&[u8])) {
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(length) = pipe.read(&mut buffer).await
        && length > 0
    {
        take(&buffer[..length]);
    }
}
