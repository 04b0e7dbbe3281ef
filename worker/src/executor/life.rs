//! The life of an executor: start, enter, serve, perhaps enter another session, leave, stop.

use std::sync::Arc;
use std::time::Duration;

use flame_proto::ha;
use flame_types::{ExecutorKey, SessionKey, kept_text};
use tokio::time::{sleep, timeout};

use super::handle::Parts;
use super::outcome::usable_attributes;
use super::queue::Queue;
use super::report::{End, Report};
use super::{BIND_ENTER, BIND_INSTALLATION, BIND_SHIM, stream, unary};
use crate::installer::Installed;
use crate::instance::{CallError, ConnectError, Service, Sockets};
use crate::shim::host::LaunchError;
use crate::shim::process::Process;

/// First pause between two looks for the socket of a service that starts.
const LOOK_AFTER: Duration = Duration::from_millis(1);

/// Longest such pause.
const LOOK_AFTER_MAX: Duration = Duration::from_millis(50);

/// How long after its connection broke a service may take to end, so that we can say how it ended.
const EXIT_WITHIN: Duration = Duration::from_millis(500);

/// How long the last answer of a service that has ended may still be on its way through the socket.
pub(super) const LAST_ANSWER_WITHIN: Duration = Duration::from_millis(200);

/// One executor, from inside.
pub(super) struct Life {
    key: ExecutorKey,
    /// The session it serves.
    pub(super) start: ha::Start,
    pub(super) queue: Arc<Queue>,
    pub(super) parts: Parts,
    /// What the application has here, held as long as its service runs.
    installed: Installed,
}

/// What became of a process.
enum Outcome {
    /// The executor has ended.
    Ended(End),
    /// Another session waits, and its application is not what this process was started as.
    Replaced,
}

/// Why serving a session ended without the executor ending.
pub(super) enum Served {
    /// Another session waits.
    Rebind(Box<ha::Start>),
    /// The executor is to end.
    Stop,
}

impl Life {
    pub(super) fn new(key: ExecutorKey, start: ha::Start, queue: Arc<Queue>, parts: Parts) -> Self {
        Self { key, start, queue, parts, installed: Installed::default() }
    }

    /// Lives and reports the end.
    pub(super) async fn run(mut self) {
        let executor = self.key;
        let end = self.live().await;
        self.parts.host.on_ended(executor);
        tracing::info!(executor.id = %executor, ?end, "executor ended");
        // No agent any more: the worker itself ends, nobody is left to hear of it.
        let _ = self.parts.reports.send(Report::Ended { executor, end }).await;
    }

    async fn live(&mut self) -> End {
        loop {
            let launched = self.launch().await;
            let mut process = match launched {
                Ok(Some(process)) => process,
                Ok(None) => return End::Left,
                Err(error) => return bind(error.return_code(), error.to_string()),
            };
            let (Ok(outcome) | Err(outcome)) = self.live_with(&mut process).await.map_err(Outcome::Ended);
            match outcome {
                Outcome::Ended(end @ End::Crashed { .. }) => {
                    process.kill().await;
                    return end;
                }
                Outcome::Ended(end) => {
                    process.stop(self.parts.host.limits.terminate).await;
                    return end;
                }
                Outcome::Replaced => process.stop(self.parts.host.limits.terminate).await,
            }
        }
    }

    /// Installs the application and starts its service; nothing when the executor is told to stop before that.
    async fn launch(&mut self) -> Result<Option<Process>, LaunchError> {
        let application = self.start.application.as_ref().ok_or(LaunchError::NoCommand)?;
        let host = &self.parts.host;
        self.installed = tokio::select! {
            biased;
            installed = host.installer.install(application) => installed?,
            () = self.queue.stopped() => return Ok(None),
        };
        let launch = host.prepare(self.key, application, &self.installed)?;
        Process::start(host, self.key, launch).await.map(Some)
    }

    /// Whether the process serves the next session just as one that would be started now.
    async fn is_current(&self, next: &ha::Start) -> Result<bool, End> {
        let (Some(present), Some(application)) = (&self.start.application, &next.application) else { return Ok(true) };
        if present != application {
            return Ok(false);
        }
        tokio::select! {
            biased;
            installed = self.parts.host.installer.install(application) => match installed {
                Ok(installed) => Ok(installed.is_same(&self.installed)),
                Err(error) => Err(bind(BIND_INSTALLATION, error.to_string())),
            },
            () = self.queue.stopped() => Err(End::Left),
        }
    }

    /// What happens while there is a process. `Err` is an end that cut things short.
    async fn live_with(&mut self, process: &mut Process) -> Result<Outcome, End> {
        let mut service = self.connect(process).await?;
        loop {
            let attributes = self.enter(&mut service, process).await?;
            if !self.queue.has_rebind() {
                let session = SessionKey(self.start.session);
                self.report(Report::Ready { executor: self.key, session, attributes }).await;
            }
            let served = self.serve(&mut service, process).await?;
            self.leave(&mut service, process).await;
            match served {
                Served::Rebind(start) => {
                    let is_current = self.is_current(&start).await?;
                    self.start = *start;
                    if !is_current {
                        return Ok(Outcome::Replaced);
                    }
                }
                Served::Stop => return Ok(Outcome::Ended(End::Left)),
            }
        }
    }

    /// Waits until the service listens, while watching whether it still lives.
    async fn connect(&self, process: &mut Process) -> Result<Service, End> {
        let limit = self.parts.host.limits.start;
        let sockets = process.sockets().clone();
        tokio::select! {
            biased;
            how = process.exited() => {
                Err(bind(BIND_SHIM, self.with_log(format!("the service {how} before it listened on its socket"))))
            }
            () = self.queue.stopped() => Err(End::Left),
            () = sleep(limit) => {
                Err(bind(BIND_SHIM, self.with_log(format!("the service did not listen on its socket within {limit:?}"))))
            }
            service = listening(sockets) => Ok(service),
        }
    }

    async fn enter(&self, service: &mut Service, process: &mut Process) -> Result<Option<ha::Attributes>, End> {
        let limit = self.parts.host.limits.enter;
        let reply = tokio::select! {
            biased;
            reply = service.enter(&self.start) => reply,
            how = process.exited() => {
                return Err(bind(BIND_ENTER, self.with_log(format!("the service {how} in OnSessionEnter"))));
            }
            () = self.queue.stopped() => return Err(End::Left),
            () = sleep(limit) => {
                let message = format!("OnSessionEnter did not end within {limit:?}");
                return Err(bind(BIND_ENTER, self.with_log(message)));
            }
        };
        match reply {
            Ok(entered) if entered.return_code == 0 => Ok(usable_attributes(entered.attributes)),
            Ok(entered) => {
                let code = entered.return_code;
                let message = entered.message.filter(|message| !message.is_empty());
                Err(bind(BIND_ENTER, message.unwrap_or_else(|| format!("OnSessionEnter returned {code}"))))
            }
            Err(CallError::Answered(message)) => Err(bind(BIND_ENTER, message)),
            Err(broken @ CallError::Broken(_)) => {
                let what = match self.how_it_ended(process).await {
                    Some(how) => format!("the service {how}"),
                    None => broken.to_string(),
                };
                Err(bind(BIND_ENTER, self.with_log(format!("{what} in OnSessionEnter"))))
            }
        }
    }

    /// Runs tasks until something else is to be done. `Err` is the end of the executor.
    async fn serve(&mut self, service: &mut Service, process: &mut Process) -> Result<Served, End> {
        match service {
            Service::Stream(stream) => stream::serve(self, stream, process).await,
            Service::Unary(calls) => unary::serve(self, calls, process).await,
        }
    }

    async fn leave(&self, service: &mut Service, process: &mut Process) {
        let limit = self.parts.host.limits.leave;
        let failure = tokio::select! {
            biased;
            reply = service.leave() => reply.err().map(|error| error.to_string()),
            how = process.exited() => Some(format!("the service {how}")),
            () = sleep(limit) => Some(format!("it did not end within {limit:?}")),
        };
        if let Some(failure) = failure {
            tracing::warn!(executor.id = %self.key, failure, "OnSessionLeave failed");
        }
    }

    pub(super) async fn report(&self, report: Report) {
        // As in `run`: without an agent nobody is left to hear of it.
        let _ = self.parts.reports.send(report).await;
    }

    /// Reports that tasks have ended.
    pub(super) async fn report_done(&self, completions: Vec<ha::Completion>) {
        self.report(Report::Done { executor: self.key, completions }).await;
    }

    /// The end of an executor whose service is gone, in whatever it was doing.
    pub(super) fn crashed(&self, what: &str) -> End {
        let running = self.queue.running();
        let when = match running.head.map(|head| head.number) {
            Some(number) if running.count > 1 => {
                format!("with {} tasks at hand, the first of them task {number}", running.count)
            }
            Some(number) => format!("while it ran task {number}"),
            None => "while it was idle".to_owned(),
        };
        self.given_up(&format!("{what} {when}"))
    }

    /// The end of an executor whose service is not to go on.
    pub(super) fn given_up(&self, message: &str) -> End {
        End::Crashed { started: self.queue.begun(), message: self.with_log(message.to_owned()) }
    }

    /// How the service ended, when it ended soon after its connection broke.
    pub(super) async fn how_it_ended(&self, process: &mut Process) -> Option<String> {
        timeout(EXIT_WITHIN, process.exited()).await.ok()
    }

    /// A message with the last lines of the service's log.
    fn with_log(&self, message: String) -> String {
        let tail = self.parts.host.logs.tail(self.key);
        if tail.is_empty() { message } else { format!("{message}; the end of its log:\n{tail}") }
    }
}

/// Connects as soon as somebody listens.
async fn listening(sockets: Sockets) -> Service {
    let mut pause = LOOK_AFTER;
    loop {
        match Service::connect(&sockets).await {
            Ok(service) => return service,
            Err(ConnectError::Nobody) => {}
            // Between bind and listen the file is there and nobody answers.
            Err(error) => tracing::debug!(?sockets, %error, "the service does not listen yet"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LOOK_AFTER_MAX);
    }
}

fn bind(return_code: i32, message: String) -> End {
    End::Bind { return_code, message: kept_text(message) }
}
