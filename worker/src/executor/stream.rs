//! Serving a session over our stream: the service has several tasks at hand and works on them one after the other.
//!
//! **Invariant:** a task that was handed over has begun as far as anybody else can tell. It comes back only when the
//! service itself says that it has not begun and never will.
//!
//! **Invariant:** when the service is gone, what it had been given and has not answered is told as started, and nothing
//! else: answers that were on their way are read first.

use std::time::Duration;

use bytes::Bytes;
use flame_proto::ha;
use flame_types::Token;
use tokio::time::timeout;

use super::life::{LAST_ANSWER_WITHIN, Life, Served};
use super::outcome::{answered, failed};
use super::pace::Pace;
use super::queue::Next;
use super::report::{End, Report};
use super::watch::{Alarm, Watch};
use crate::instance::{CallError, Stream};
use crate::shim::process::Process;

/// What happens while a service has tasks, or waits for some.
enum Event {
    Answers(Result<Vec<ha::TaskDone>, CallError>),
    Exited(String),
    QueueChanged,
    GateChanged,
    AgentGone,
    Alarm(Alarm),
}

/// Runs tasks until something else is to be done. `Err` is the end of the executor.
pub(super) async fn serve(life: &mut Life, stream: &mut Stream, process: &mut Process) -> Result<Served, End> {
    let mut pace = Pace::new(stream.in_flight_max());
    let mut watch = Watch::new();
    loop {
        let may_start = life.parts.gate.may_start();
        let handed_over = match life.queue.next(may_start, |count| pace.room(count)) {
            Next::Stop => return Ok(Served::Stop),
            Next::Rebind(start) => return Ok(Served::Rebind(start)),
            Next::Nothing => Ok(()),
            Next::Tasks(tasks) => stream.invoke(tasks),
        };
        let running = life.queue.running();
        let told = running.cancelled.iter().try_for_each(|token| stream.cancel(*token));
        watch.update(&running, life.parts.host.limits.cancel_grace);
        let event = match handed_over.and(told) {
            Ok(()) => next_event(life, stream, process, &mut watch).await,
            Err(error) => Event::Answers(Err(error)),
        };
        match event {
            Event::Answers(Ok(answers)) => on_answers(life, &mut pace, answers).await,
            Event::Answers(Err(error)) => {
                let what = match (life.how_it_ended(process).await, error) {
                    (Some(how), _) => format!("the service {how}"),
                    (None, CallError::Answered(status)) => format!("the service ended its stream with {status}"),
                    (None, broken @ CallError::Broken(_)) => broken.to_string(),
                };
                return Err(life.crashed(&what));
            }
            Event::Exited(how) => {
                read_the_rest(life, &mut pace, stream).await;
                return Err(life.crashed(&format!("the service {how}")));
            }
            Event::QueueChanged | Event::GateChanged => {}
            Event::AgentGone => return Ok(Served::Stop),
            Event::Alarm(Alarm::Overrun) => {
                pace.on_overrun();
                // A stream that broke is found out about when it is read.
                let _ = stream.withdraw();
            }
            Event::Alarm(Alarm::TimedOut(limit)) => return Err(on_timed_out(life, limit).await),
            Event::Alarm(Alarm::Unwanted(grace)) => return Err(on_unwanted(life, grace)),
        }
    }
}

async fn next_event(life: &mut Life, stream: &mut Stream, process: &mut Process, watch: &mut Watch) -> Event {
    tokio::select! {
        biased;
        answers = stream.answers() => Event::Answers(answers),
        how = process.exited() => Event::Exited(how),
        () = life.queue.changed() => Event::QueueChanged,
        // Without an agent nobody could give work or take results.
        open = life.parts.gate.changed() => if open.is_ok() { Event::GateChanged } else { Event::AgentGone },
        alarm = watch.alarm() => Event::Alarm(alarm),
    }
}

async fn on_answers(life: &Life, pace: &mut Pace, answers: Vec<ha::TaskDone>) {
    let (skipped, done): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.skipped);
    if !done.is_empty() {
        for answer in &done {
            let output_bytes = answer.output.as_ref().map_or(0, Bytes::len);
            pace.on_done(answer.ran_us, u64::try_from(output_bytes).unwrap_or(u64::MAX));
        }
        life.queue.on_done(done.iter().map(|answer| Token(answer.token)));
        life.report_done(done.into_iter().map(answered).collect()).await;
    }
    if !skipped.is_empty() {
        let skipped: Vec<Token> = skipped.iter().map(|answer| Token(answer.token)).collect();
        let tokens = life.queue.on_skipped(&skipped);
        if !tokens.is_empty() {
            life.report(Report::Returned { tokens }).await;
        }
    }
}

/// What a service said before it ended may still be on its way through the socket.
async fn read_the_rest(life: &Life, pace: &mut Pace, stream: &mut Stream) {
    let read = async {
        while let Ok(answers) = stream.answers().await {
            on_answers(life, pace, answers).await;
        }
    };
    // Somebody else holds the socket open, a child of the service perhaps; the service itself says no more.
    let _ = timeout(LAST_ANSWER_WITHIN, read).await;
}

async fn on_timed_out(life: &Life, limit: Duration) -> End {
    let Some(head) = life.queue.running().head else { return life.given_up("a task ran too long") };
    let message = format!("task {} ran longer than {limit:?}, the time it was given", head.number);
    let ran_us = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
    life.queue.on_done([head.token]);
    life.report_done(vec![failed(head.token.0, message.clone(), ran_us)]).await;
    life.given_up(&format!("{message}; its service was stopped"))
}

fn on_unwanted(life: &Life, grace: Duration) -> End {
    match life.queue.running().head {
        Some(head) if !life.queue.is_stopped() => {
            life.given_up(&format!("task {} was taken back and did not end within {grace:?}", head.number))
        }
        _ => End::Left,
    }
}
