//! Runs what lies on the desk, one order after the other.

use std::sync::Arc;
use std::time::Duration;

use flame_clock::SharedClock;
use flame_proto::ha;
use flame_proto::ha::service_up::Frame;
use flame_types::Token;
use flame_types::limits::TASK_PAYLOAD_BYTES_MAX;
use tokio::time::Instant;

use super::api::{ApplicationContext, Fence, FlameService, SessionContext, TaskContext};
use super::cancellation::Cancellation;
use super::desk::{Desk, IN_FLIGHT_MAX, Order, Word};
use super::publisher::Publisher;
use super::shield::{FAILED, OK, shielded};

/// What this crate understands of the stream.
const FEATURE_LEVEL: u32 = 1;

pub(super) struct Runner<S> {
    pub(super) service: Arc<S>,
    pub(super) desk: Arc<Desk>,
    pub(super) clock: SharedClock,
}

impl<S: FlameService> Runner<S> {
    /// Runs until the desk says that nothing more will come.
    pub(super) async fn run(self) {
        let mut session_id = String::new();
        let mut said = None;
        while let Some(order) = self.desk.next_order(said.take()).await {
            said = Some(match order {
                Order::Enter(enter) => {
                    session_id.clone_from(&enter.session_id);
                    Word::Frame(Frame::Entered(self.enter(enter).await))
                }
                Order::Task(task, cancellation) => Word::Done(self.invoke(&session_id, task, cancellation).await),
                Order::Leave => Word::Frame(Frame::Left(self.leave().await)),
            });
            // Tasks that never wait would keep everything else on this thread of the caller's runtime from running.
            tokio::task::consume_budget().await;
        }
    }

    async fn enter(&self, enter: ha::EnterSession) -> ha::EnteredSession {
        let context = SessionContext {
            session_id: enter.session_id,
            application: ApplicationContext {
                name: enter.application,
                image: enter.image,
                command: enter.command,
                working_directory: enter.working_directory,
                url: enter.url,
            },
            common_data: enter.common_data,
            tokens: enter.tokens,
            batch_size: enter.batch_size.max(1),
        };
        let mut entered = ha::EnteredSession {
            feature_level: FEATURE_LEVEL,
            in_flight_max: u32::try_from(IN_FLIGHT_MAX).unwrap_or(u32::MAX),
            ..ha::EnteredSession::default()
        };
        match shielded(self.service.on_session_enter(context)).await {
            Ok(()) => (entered.publish, entered.retract) = self.attributes(),
            // What it published on its way to a failure waits for the session that it does enter.
            Err(text) => (entered.return_code, entered.message) = (FAILED, text),
        }
        entered
    }

    async fn invoke(&self, session_id: &str, task: ha::InvokeTask, cancellation: Cancellation) -> ha::TaskDone {
        let token = task.token;
        let context = TaskContext {
            task_id: task.task.to_string(),
            session_id: session_id.to_owned(),
            input: task.input,
            fence: Some(Fence { token: Token(token), attempt: task.attempt }),
            cancellation,
            deadline: (task.timeout_ms > 0).then(|| Instant::now() + Duration::from_millis(task.timeout_ms)),
        };
        let begun = self.clock.mono();
        let result = shielded(self.service.on_task_invoke(context)).await;
        let ran_us = u64::try_from(self.clock.mono().since(begun).as_micros()).unwrap_or(u64::MAX);
        let (publish, retract) = self.attributes();
        let mut done = ha::TaskDone { token, return_code: OK, publish, retract, ran_us, ..ha::TaskDone::default() };
        match result {
            Ok(Some(output)) if output.len() > TASK_PAYLOAD_BYTES_MAX => {
                let length = output.len();
                done.return_code = FAILED;
                done.message =
                    Some(format!("the output has {length} bytes, at most {TASK_PAYLOAD_BYTES_MAX} are allowed"));
            }
            Ok(output) => done.output = output,
            Err(text) => (done.return_code, done.message) = (FAILED, Some(text)),
        }
        done
    }

    async fn leave(&self) -> ha::LeftSession {
        match shielded(self.service.on_session_leave()).await {
            Ok(()) => ha::LeftSession { return_code: OK, message: String::new() },
            Err(message) => ha::LeftSession { return_code: FAILED, message },
        }
    }

    fn attributes(&self) -> (Vec<bytes::Bytes>, Vec<bytes::Bytes>) {
        self.service.publisher().map(Publisher::take).unwrap_or_default()
    }
}
