//! What the service does, however it is called.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tonic::Status;

use crate::Flags;

/// The published return code of a failure.
pub(crate) const FAILED: i32 = -1;

/// Pause between two looks for a file that a task waits for.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// One run of a task, as far as the protocol tells.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) session: String,
    pub(crate) task: String,
    pub(crate) input: Option<Bytes>,
    pub(crate) token: u64,
    pub(crate) attempt: u32,
}

/// What a task does, by the first word of its input. Anything that is not in this list is echoed at once.
#[derive(Debug, PartialEq)]
pub(crate) enum Order<'a> {
    Echo,
    /// `sleep MS`
    Sleep(Duration),
    /// `fail TEXT`
    Fail(&'a str),
    /// `crash`: end the process, as a broken one ends
    Crash,
    /// `hang`
    Hang,
    /// `hang-until-cancelled`, and fail then
    HangUntilCancelled,
    /// `wait FILE`: until the file is there
    Wait(&'a Path),
    /// `token`: answer `TOKEN ATTEMPT`
    Token,
    /// `publish KEY`
    Publish(&'a str),
    /// `retract KEY`
    Retract(&'a str),
}

/// What a run came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) output: Option<Bytes>,
    pub(crate) failure: Option<String>,
    pub(crate) publish: Vec<Bytes>,
    pub(crate) retract: Vec<Bytes>,
}

pub(crate) struct Echo {
    pub(crate) flags: Flags,
    log: Option<File>,
}

impl Echo {
    pub(crate) fn new(flags: Flags) -> anyhow::Result<Self> {
        let log = match std::env::var_os("FLAME_ECHO_LOG") {
            Some(file) => Some(OpenOptions::new().create(true).append(true).open(file)?),
            None => None,
        };
        Ok(Self { flags, log })
    }

    /// Enters a session, or says why not. The keys are what the executor publishes.
    pub(crate) async fn enter(&self, session: &str) -> Result<Result<Vec<Bytes>, String>, Status> {
        self.log("enter", session, "-")?;
        tokio::time::sleep(Duration::from_millis(self.flags.enter_ms)).await;
        Ok(match &self.flags.fail_enter {
            Some(text) => Err(text.clone()),
            None => Ok(self.flags.publish.iter().map(|key| Bytes::from(key.clone())).collect()),
        })
    }

    pub(crate) async fn invoke(&self, run: Run, cancelled: &Notify) -> Result<Outcome, Status> {
        self.log("invoke", &run.session, &run.task)?;
        let text = run.input.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        let mut outcome = Outcome::default();
        match Order::read(&text) {
            Order::Echo => {}
            Order::Sleep(time) => tokio::time::sleep(time).await,
            Order::Fail(text) => outcome.failure = Some(text.to_owned()),
            Order::Crash => {
                eprintln!("crashing as I was told");
                std::process::abort();
            }
            Order::Hang => std::future::pending().await,
            Order::HangUntilCancelled => {
                cancelled.notified().await;
                outcome.failure = Some("cancelled".to_owned());
            }
            Order::Wait(file) => {
                while !file.exists() {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
            Order::Token => outcome.output = Some(format!("{} {}", run.token, run.attempt).into()),
            Order::Publish(key) => outcome.publish = vec![Bytes::from(key.to_owned())],
            Order::Retract(key) => outcome.retract = vec![Bytes::from(key.to_owned())],
        }
        if outcome.failure.is_none() && outcome.output.is_none() {
            outcome.output = run.input;
        }
        Ok(outcome)
    }

    pub(crate) fn leave(&self) -> Result<(), Status> {
        self.log("leave", "-", "-")
    }

    fn log(&self, call: &str, session: &str, task: &str) -> Result<(), Status> {
        let Some(mut log) = self.log.as_ref() else { return Ok(()) };
        let line = format!("{call} {session} {task} {}\n", std::process::id());
        log.write_all(line.as_bytes()).map_err(|error| Status::internal(format!("cannot write the log: {error}")))
    }
}

impl<'a> Order<'a> {
    fn read(input: &'a str) -> Self {
        let (order, rest) = input.split_once(' ').unwrap_or((input, ""));
        match order {
            "sleep" => Self::Sleep(Duration::from_millis(rest.trim().parse().unwrap_or(0))),
            "fail" => Self::Fail(rest),
            "crash" => Self::Crash,
            "hang" => Self::Hang,
            "hang-until-cancelled" => Self::HangUntilCancelled,
            "wait" => Self::Wait(Path::new(rest)),
            "token" => Self::Token,
            "publish" => Self::Publish(rest),
            "retract" => Self::Retract(rest),
            _ => Self::Echo,
        }
    }
}
