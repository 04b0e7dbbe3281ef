//! One service call and what becomes of it.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use flame_proto::instance::InvokeReply;
use flame_proto::{ha, v1};
use flame_types::Token;
use flame_types::limits::TASK_PAYLOAD_BYTES_MAX;
use tokio::time::{Sleep, sleep, timeout};

use super::life::Life;
use super::report::End;
use crate::attributes;
use crate::instance::{CallError, Service};
use crate::shim::process::Process;
use crate::text::cut;

/// How long the last reply of a service that has ended may still be on its way through the socket.
const LAST_REPLY_WITHIN: Duration = Duration::from_millis(200);

/// What became of a task, and of its executor with it.
#[derive(Debug)]
pub(super) struct Ran {
    /// Its result, if there is one.
    pub completion: Option<ha::Completion>,
    /// How the executor ends, if it does.
    pub end: Option<End>,
}

/// Why there is no reply.
enum NoReply {
    Call(CallError),
    Exit(String),
    Unwanted(Duration),
    TimedOut(Duration),
}

/// Runs one task to its end, whatever that is.
pub(super) async fn run(life: &Life, task: ha::Task, service: &mut Service, process: &mut Process) -> Ran {
    let token = task.token;
    let number = task.task;
    let limit = (task.timeout_ms > 0).then(|| Duration::from_millis(task.timeout_ms));
    let context = v1::TaskContext {
        task_id: task.task.to_string(),
        session_id: life.start.session_id.clone(),
        input: task.input,
    };
    let begun = life.parts.clock.mono();
    let reply = reply_to(life, context, limit, service, process).await;
    let ran = life.parts.clock.mono().since(begun);
    life.queue.on_done();

    let ran_us = u64::try_from(ran.as_micros()).unwrap_or(u64::MAX);
    let answered = |outcome: Outcome| Ran { completion: Some(outcome.into_completion(token, ran_us)), end: None };
    match reply {
        Ok(reply) => answered(outcome_of(reply)),
        Err(NoReply::Call(CallError::Answered(message))) => answered(Outcome::failed(message)),
        Err(NoReply::Call(CallError::Broken(error))) => {
            let how = life.how_it_ended(process).await.unwrap_or(error);
            crashed(life, token, format!("the service {how} while it ran task {number}"))
        }
        Err(NoReply::Exit(how)) => crashed(life, token, format!("the service {how} while it ran task {number}")),
        Err(NoReply::TimedOut(limit)) => {
            let message = format!("task {number} ran longer than {limit:?}, the time it was given");
            let end = End::Crashed { started: None, message: format!("{message}; its service was stopped") };
            Ran { end: Some(end), ..answered(Outcome::failed(message)) }
        }
        Err(NoReply::Unwanted(_)) if life.queue.is_stopped() => Ran { completion: None, end: Some(End::Left) },
        Err(NoReply::Unwanted(grace)) => {
            crashed(life, token, format!("task {number} was taken back and did not end within {grace:?}"))
        }
    }
}

fn crashed(life: &Life, token: u64, message: String) -> Ran {
    let end = End::Crashed { started: Some(Token(token)), message: life.with_log(message) };
    Ran { completion: None, end: Some(end) }
}

async fn reply_to(
    life: &Life,
    context: v1::TaskContext,
    limit: Option<Duration>,
    service: &mut Service,
    process: &mut Process,
) -> Result<InvokeReply, NoReply> {
    let mut call = std::pin::pin!(service.invoke(context));
    let mut timer = limit.map(|limit| Box::pin(sleep(limit)));
    let mut grace: Option<(Duration, Pin<Box<Sleep>>)> = None;
    loop {
        tokio::select! {
            biased;
            reply = &mut call => return reply.map_err(NoReply::Call),
            how = process.exited() => {
                return match timeout(LAST_REPLY_WITHIN, &mut call).await {
                    Ok(Ok(reply)) => Ok(reply),
                    Ok(Err(_)) | Err(_) => Err(NoReply::Exit(how)),
                };
            }
            () = life.queue.changed() => {
                let wanted = life.queue.grace_of_running(life.parts.host.limits.cancel_grace);
                if let Some(wanted) = wanted && grace.as_ref().is_none_or(|(now, _)| wanted < *now) {
                    grace = Some((wanted, Box::pin(sleep(wanted))));
                }
            }
            () = ring(grace.as_mut().map(|(_, timer)| timer)) => {
                return Err(NoReply::Unwanted(grace.map(|(grace, _)| grace).unwrap_or_default()));
            }
            () = ring(timer.as_mut()) => return Err(NoReply::TimedOut(limit.unwrap_or_default())),
        }
    }
}

/// Waits for a timer; for ever when there is none.
async fn ring(timer: Option<&mut Pin<Box<Sleep>>>) {
    match timer {
        Some(timer) => timer.await,
        None => std::future::pending().await,
    }
}

/// How a task ended, in the words of its service.
#[derive(Debug, Default)]
struct Outcome {
    succeed: bool,
    output: Option<Bytes>,
    message: Option<String>,
    attributes: Option<ha::Attributes>,
}

impl Outcome {
    fn failed(message: String) -> Self {
        Self { message: Some(cut(message)), ..Self::default() }
    }

    fn into_completion(self, token: u64, ran_us: u64) -> ha::Completion {
        let Self { succeed, output, message, attributes } = self;
        ha::Completion { token, succeed, output, message, ran_us, attributes }
    }
}

fn outcome_of(reply: InvokeReply) -> Outcome {
    let attributes = usable_attributes(reply.attributes);
    let length = reply.result.output.as_ref().map_or(0, Bytes::len);
    if length > TASK_PAYLOAD_BYTES_MAX {
        let message = format!("the output has {length} bytes, at most {TASK_PAYLOAD_BYTES_MAX} are allowed");
        return Outcome { attributes, ..Outcome::failed(message) };
    }
    Outcome {
        succeed: reply.result.return_code == 0,
        output: reply.result.output,
        message: reply.result.message.map(cut),
        attributes,
    }
}

/// What a service reported about itself, if that keeps to the published limits. The reply counts either way.
pub(super) fn usable_attributes(reported: Option<v1::ExecutorAttributes>) -> Option<ha::Attributes> {
    attributes::check(reported?).unwrap_or_else(|why| {
        tracing::warn!(%why, "the attributes that a service reported are not taken over");
        None
    })
}

#[cfg(test)]
mod tests {
    use flame_proto::instance::Generation;

    use super::*;

    fn reply(result: v1::TaskResult) -> InvokeReply {
        InvokeReply { generation: Generation::V07, result, attributes: None }
    }

    #[test]
    fn the_words_of_the_service_are_kept() {
        let done = outcome_of(reply(v1::TaskResult { output: Some(Bytes::new()), ..v1::TaskResult::default() }));
        assert!(done.succeed && done.output == Some(Bytes::new()), "an empty output is present");
        let message = Some("boom".to_owned());
        let failed = outcome_of(reply(v1::TaskResult { return_code: -1, output: None, message }));
        assert_eq!((failed.succeed, failed.message.as_deref()), (false, Some("boom")));
    }

    #[test]
    fn an_output_that_no_client_could_read_fails_the_task() {
        let output = Some(Bytes::from(vec![0; TASK_PAYLOAD_BYTES_MAX + 1]));
        let outcome = outcome_of(reply(v1::TaskResult { output, ..v1::TaskResult::default() }));
        assert!(!outcome.succeed && outcome.output.is_none());
        assert!(outcome.message.unwrap().contains("at most"));
    }
}
