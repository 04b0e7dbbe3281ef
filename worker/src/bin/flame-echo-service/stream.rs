//! Our stream: one loop runs the tasks in order and reads frames while one of them waits.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use flame_clock::{Clock, SystemClock};
use flame_proto::ha;
use flame_proto::ha::service_down::Frame as Down;
use flame_proto::ha::service_stream_server::ServiceStream;
use flame_proto::ha::service_up::Frame as Up;
use futures::{Stream, TryStreamExt};
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::echo::{Echo, FAILED, Outcome, Run};

/// Most tasks at hand.
const IN_FLIGHT_MAX: u32 = 256;

/// Frames on their way out.
const FRAMES_AHEAD: usize = 16;

pub(crate) type Frames<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

pub(crate) struct Streams {
    echo: Arc<Echo>,
}

impl Streams {
    pub(crate) fn new(echo: Arc<Echo>) -> Self {
        Self { echo }
    }
}

#[tonic::async_trait]
impl ServiceStream for Streams {
    type RunStream = Frames<ha::ServiceUp>;

    async fn run(&self, request: Request<Streaming<ha::ServiceDown>>) -> Result<Response<Self::RunStream>, Status> {
        Ok(Response::new(answers(Arc::clone(&self.echo), Box::pin(request.into_inner()))))
    }
}

/// Works on what comes down, and says what goes up.
pub(crate) fn answers(echo: Arc<Echo>, frames: Frames<ha::ServiceDown>) -> Frames<ha::ServiceUp> {
    let (up, answers) = mpsc::channel(FRAMES_AHEAD);
    let server = Server {
        echo,
        frames,
        up: up.clone(),
        session: String::new(),
        waiting: VecDeque::new(),
        running: None,
        cancelled: Arc::new(Notify::new()),
        done: Vec::new(),
    };
    tokio::spawn(async move {
        if let Err(status) = server.run().await {
            // Nobody reads any more when this fails.
            let _ = up.send(Err(status)).await;
        }
    });
    Box::pin(ReceiverStream::new(answers))
}

struct Server {
    echo: Arc<Echo>,
    frames: Frames<ha::ServiceDown>,
    up: mpsc::Sender<Result<ha::ServiceUp, Status>>,
    session: String,
    waiting: VecDeque<ha::InvokeTask>,
    running: Option<u64>,
    cancelled: Arc<Notify>,
    done: Vec<ha::TaskDone>,
}

impl Server {
    async fn run(mut self) -> Result<(), Status> {
        loop {
            match self.waiting.pop_front() {
                Some(task) => self.run_task(task).await?,
                None => {
                    self.flush().await?;
                    match self.frames.try_next().await? {
                        Some(frame) => self.on_frame(frame).await?,
                        None => return Ok(()),
                    }
                }
            }
        }
    }

    async fn run_task(&mut self, task: ha::InvokeTask) -> Result<(), Status> {
        let token = task.token;
        self.running = Some(token);
        self.cancelled = Arc::new(Notify::new());
        let (session, number) = (self.session.clone(), task.task.to_string());
        let run = Run { session, task: number, input: task.input, token, attempt: task.attempt };
        let begun = SystemClock.mono();
        let (echo, cancelled) = (Arc::clone(&self.echo), Arc::clone(&self.cancelled));
        let mut call = Box::pin(async move { echo.invoke(run, &cancelled).await });
        let outcome = match futures::poll!(&mut call) {
            Poll::Ready(outcome) => outcome?,
            Poll::Pending => {
                self.flush().await?;
                loop {
                    tokio::select! {
                        outcome = &mut call => break outcome?,
                        frame = self.frames.try_next() => match frame? {
                            Some(frame) => {
                                self.on_frame(frame).await?;
                                self.flush().await?;
                            }
                            None => return Err(Status::cancelled("the worker is gone")),
                        },
                    }
                }
            }
        };
        self.running = None;
        let ran_us = u64::try_from(SystemClock.mono().since(begun).as_micros()).unwrap_or(u64::MAX);
        let Outcome { output, failure, publish, retract } = outcome;
        let return_code = if failure.is_some() { FAILED } else { 0 };
        let done =
            ha::TaskDone { token, return_code, output, message: failure, publish, retract, ran_us, skipped: false };
        self.done.push(done);
        Ok(())
    }

    async fn on_frame(&mut self, frame: ha::ServiceDown) -> Result<(), Status> {
        match frame.frame {
            Some(Down::Enter(enter)) => {
                self.session.clone_from(&enter.session_id);
                let mut entered = ha::EnteredSession {
                    feature_level: 1,
                    in_flight_max: IN_FLIGHT_MAX,
                    ..ha::EnteredSession::default()
                };
                match self.echo.enter(&self.session).await? {
                    Ok(publish) => entered.publish = publish,
                    Err(text) => (entered.return_code, entered.message) = (FAILED, text),
                }
                self.send(Up::Entered(entered)).await
            }
            Some(Down::Invoke(invoke)) => {
                self.waiting.extend(invoke.tasks);
                Ok(())
            }
            Some(Down::Cancel(cancel)) if self.running == Some(cancel.token) => {
                self.cancelled.notify_one();
                Ok(())
            }
            Some(Down::Cancel(cancel)) => {
                self.skip(|task| task.token == cancel.token);
                Ok(())
            }
            Some(Down::Withdraw(_)) => {
                self.skip(|_| true);
                Ok(())
            }
            Some(Down::Leave(_)) => {
                self.echo.leave()?;
                self.send(Up::Left(ha::LeftSession::default())).await
            }
            None => Err(Status::invalid_argument("an unknown frame")),
        }
    }

    fn skip(&mut self, is_meant: impl Fn(&ha::InvokeTask) -> bool) {
        let done = &mut self.done;
        self.waiting.retain(|task| {
            let skip = is_meant(task);
            if skip {
                done.push(ha::TaskDone { token: task.token, skipped: true, ..ha::TaskDone::default() });
            }
            !skip
        });
    }

    async fn flush(&mut self) -> Result<(), Status> {
        let done = std::mem::take(&mut self.done);
        if done.is_empty() { Ok(()) } else { self.send(Up::Done(ha::TasksDone { done })).await }
    }

    async fn send(&mut self, frame: Up) -> Result<(), Status> {
        let sent = self.up.send(Ok(ha::ServiceUp { frame: Some(frame) })).await;
        sent.map_err(|_| Status::cancelled("the worker reads no more"))
    }
}
