//! Serving a session by the published calls: one task after the other, each one call.

use std::pin::Pin;
use std::time::Duration;

use flame_proto::instance::InvokeReply;
use flame_proto::{ha, v1};
use flame_types::Token;
use tokio::time::{Sleep, sleep, timeout};

use super::life::{LAST_ANSWER_WITHIN, Life, Served};
use super::outcome::{failed, replied};
use super::queue::{Next, Room};
use super::report::End;
use crate::instance::{CallError, Calls};
use crate::shim::process::Process;

/// What became of a task, and of its executor with it.
#[derive(Debug)]
struct Ran {
    /// Its result, if there is one.
    completion: Option<ha::Completion>,
    /// How the executor ends, if it does.
    end: Option<End>,
}

/// Why there is no reply.
enum NoReply {
    Call(CallError),
    Exit(String),
    Unwanted(Duration),
    TimedOut(Duration),
}

/// Runs tasks until something else is to be done. `Err` is the end of the executor.
pub(super) async fn serve(life: &mut Life, calls: &mut Calls, process: &mut Process) -> Result<Served, End> {
    loop {
        let may_start = life.parts.gate.may_start();
        match life.queue.next(may_start, |_| Room::ONE) {
            Next::Stop => return Ok(Served::Stop),
            Next::Rebind(start) => return Ok(Served::Rebind(start)),
            Next::Tasks(tasks) => {
                for task in tasks {
                    let ran = run(life, task, calls, process).await;
                    if let Some(completion) = ran.completion {
                        life.report_done(vec![completion]).await;
                    }
                    if let Some(end) = ran.end {
                        return Err(end);
                    }
                }
            }
            Next::Nothing => {
                tokio::select! {
                    biased;
                    how = process.exited() => return Err(life.crashed(&format!("the service {how}"))),
                    () = life.queue.changed() => {}
                    open = life.parts.gate.changed() => {
                        // The agent is gone, and with it everybody who could give work or take results.
                        if open.is_err() {
                            return Ok(Served::Stop);
                        }
                    }
                }
            }
        }
    }
}

/// Runs one task to its end, whatever that is.
async fn run(life: &Life, task: ha::Task, calls: &mut Calls, process: &mut Process) -> Ran {
    let token = task.token;
    let number = task.task;
    let limit = (task.timeout_ms > 0).then(|| Duration::from_millis(task.timeout_ms));
    let context = v1::TaskContext {
        task_id: task.task.to_string(),
        session_id: life.start.session_id.clone(),
        input: task.input,
    };
    let begun = life.parts.clock.mono();
    let reply = reply_to(life, context, limit, calls, process).await;
    let ran_us = u64::try_from(life.parts.clock.mono().since(begun).as_micros()).unwrap_or(u64::MAX);
    let ended = |completion| {
        life.queue.on_done([Token(token)]);
        Ran { completion: Some(completion), end: None }
    };
    let crashed = |what: String| Ran { completion: None, end: Some(life.crashed(&what)) };
    match reply {
        Ok(reply) => ended(replied(token, reply, ran_us)),
        Err(NoReply::Call(CallError::Answered(message))) => ended(failed(token, message, ran_us)),
        Err(NoReply::Call(broken @ CallError::Broken(_))) => match life.how_it_ended(process).await {
            Some(how) => crashed(format!("the service {how}")),
            None => crashed(broken.to_string()),
        },
        Err(NoReply::Exit(how)) => crashed(format!("the service {how}")),
        Err(NoReply::TimedOut(limit)) => {
            let message = format!("task {number} ran longer than {limit:?}, the time it was given");
            let ran = ended(failed(token, message.clone(), ran_us));
            Ran { end: Some(life.given_up(&format!("{message}; its service was stopped"))), ..ran }
        }
        Err(NoReply::Unwanted(_)) if life.queue.is_stopped() => Ran { completion: None, end: Some(End::Left) },
        Err(NoReply::Unwanted(grace)) => {
            let message = format!("task {number} was taken back and did not end within {grace:?}");
            Ran { completion: None, end: Some(life.given_up(&message)) }
        }
    }
}

async fn reply_to(
    life: &Life,
    context: v1::TaskContext,
    limit: Option<Duration>,
    calls: &mut Calls,
    process: &mut Process,
) -> Result<InvokeReply, NoReply> {
    let mut call = std::pin::pin!(calls.invoke(context));
    let mut timer = limit.map(|limit| Box::pin(sleep(limit)));
    let mut grace: Option<(Duration, Pin<Box<Sleep>>)> = None;
    loop {
        tokio::select! {
            biased;
            reply = &mut call => return reply.map_err(NoReply::Call),
            how = process.exited() => {
                return match timeout(LAST_ANSWER_WITHIN, &mut call).await {
                    Ok(Ok(reply)) => Ok(reply),
                    Ok(Err(_)) | Err(_) => Err(NoReply::Exit(how)),
                };
            }
            () = life.queue.changed() => {
                let wanted = life.queue.running().grace(life.parts.host.limits.cancel_grace);
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
