//! Our stream: many tasks per frame down, many results per frame up.

use flame_proto::ha::service_down::Frame as Down;
use flame_proto::ha::service_up::Frame as Up;
use flame_proto::{ha, v1};
use flame_types::Token;
use tonic::transport::Channel;

use super::frames::Frames;
use super::reply::{CallError, Entered};
use super::transport::{Grpc, Transport};

/// What this worker understands of the stream.
const FEATURE_LEVEL: u32 = 1;

/// Most tasks that a service has at a time, whatever it would take.
pub(crate) const IN_FLIGHT_MAX: usize = 256;

/// Frames on their way into the stream. At most one Invoke and one Cancel per task in flight, and a few others: a
/// service that lets more pile up does not read.
pub(super) const FRAMES_AHEAD: usize = 3 * IN_FLIGHT_MAX;

/// A service that speaks the stream.
#[derive(Debug)]
pub(crate) struct Stream {
    transport: Transport,
    in_flight_max: usize,
}

impl Stream {
    /// The stream over frames.
    pub(super) fn over(frames: Frames) -> Self {
        Self { transport: Transport::Frames(frames), in_flight_max: 1 }
    }

    /// Opens the stream over gRPC.
    ///
    /// # Errors
    /// [`CallError::Answered`] when the service does not speak it.
    pub(super) async fn open(channel: Channel) -> Result<Self, CallError> {
        Ok(Self { transport: Transport::Grpc(Grpc::open(channel).await?), in_flight_max: 1 })
    }

    /// How many tasks the service takes at a time.
    pub(crate) fn in_flight_max(&self) -> usize {
        self.in_flight_max
    }

    pub(super) async fn enter(&mut self, start: &ha::Start) -> Result<Entered, CallError> {
        self.send(Down::Enter(enter_frame(start)))?;
        match self.receive().await? {
            Up::Entered(ha::EnteredSession { return_code, message, in_flight_max, publish, retract, .. }) => {
                self.in_flight_max = usize::try_from(in_flight_max).unwrap_or(usize::MAX).clamp(1, IN_FLIGHT_MAX);
                let message = Some(message).filter(|message| !message.is_empty());
                let attributes = Some(v1::ExecutorAttributes { publish, retract });
                Ok(Entered { return_code, message, attributes })
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Hands tasks over. They have begun.
    pub(crate) fn invoke(&mut self, tasks: Vec<ha::Task>) -> Result<(), CallError> {
        self.send(Down::Invoke(ha::InvokeTasks { tasks: tasks.into_iter().map(invoke_frame).collect() }))
    }

    /// Nobody wants this task any more.
    pub(crate) fn cancel(&mut self, token: Token) -> Result<(), CallError> {
        self.send(Down::Cancel(ha::CancelInvoke { token: token.0 }))
    }

    /// Asks back whatever has not begun.
    pub(crate) fn withdraw(&mut self) -> Result<(), CallError> {
        self.send(Down::Withdraw(ha::WithdrawTasks {}))
    }

    /// The next answers. May be dropped and called again.
    pub(crate) async fn answers(&mut self) -> Result<Vec<ha::TaskDone>, CallError> {
        match self.receive().await? {
            Up::Done(done) => Ok(done.done),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn leave(&mut self) -> Result<(), CallError> {
        self.send(Down::Leave(ha::LeaveSession {}))?;
        match self.receive().await? {
            Up::Left(_) => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    fn send(&mut self, frame: Down) -> Result<(), CallError> {
        self.transport.send(ha::ServiceDown { frame: Some(frame) })
    }

    async fn receive(&mut self) -> Result<Up, CallError> {
        match self.transport.receive().await? {
            Some(ha::ServiceUp { frame: Some(frame) }) => Ok(frame),
            Some(ha::ServiceUp { frame: None }) => {
                Err(CallError::Broken("it sent a frame that this worker does not know".into()))
            }
            None => Err(CallError::Broken("it ended the stream".into())),
        }
    }
}

/// What a service is told of its session: as much as the published protocol tells.
fn enter_frame(start: &ha::Start) -> ha::EnterSession {
    let application = start.application.clone().unwrap_or_default();
    ha::EnterSession {
        feature_level: FEATURE_LEVEL,
        session_id: start.session_id.clone(),
        application: application.name,
        common_data: start.common_data.clone(),
        tokens: start.tokens.clone(),
        batch_size: start.batch_size,
        image: application.image,
        command: application.command,
        working_directory: application.working_directory,
        url: application.url,
    }
}

fn invoke_frame(task: ha::Task) -> ha::InvokeTask {
    let ha::Task { token, task, attempt, input, timeout_ms, .. } = task;
    ha::InvokeTask { token, task, attempt, input, timeout_ms }
}

fn unexpected(frame: &Up) -> CallError {
    let name = match frame {
        Up::Entered(_) => "Entered",
        Up::Done(_) => "Done",
        Up::Left(_) => "Left",
    };
    CallError::Broken(format!("it sent {name} out of turn"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_told_everything_that_concerns_it() {
        let application = ha::Application {
            name: "a".into(),
            image: Some("i".into()),
            command: Some("c".into()),
            working_directory: Some("/w".into()),
            url: Some("u".into()),
            ..ha::Application::default()
        };
        let start = ha::Start {
            session_id: "s".into(),
            application: Some(application),
            common_data: Some("data".into()),
            tokens: [("service".to_owned(), "secret".to_owned())].into(),
            batch_size: 3,
            ..ha::Start::default()
        };
        let expected = ha::EnterSession {
            feature_level: FEATURE_LEVEL,
            session_id: "s".into(),
            application: "a".into(),
            common_data: Some("data".into()),
            tokens: start.tokens.clone(),
            batch_size: 3,
            image: Some("i".into()),
            command: Some("c".into()),
            working_directory: Some("/w".into()),
            url: Some("u".into()),
        };
        assert_eq!(enter_frame(&start), expected);
        let task = ha::Task { token: 1, executor: 2, session: 3, task: 4, attempt: 5, input: None, timeout_ms: 6 };
        let expected = ha::InvokeTask { token: 1, task: 4, attempt: 5, input: None, timeout_ms: 6 };
        assert_eq!(invoke_frame(task), expected);
    }
}
