//! One background task for each stream: which coordinator it goes to, and when it gives up.
//!
//! **Invariant:** it ends when nobody can submit or wait any more and everything handed over is answered, or with an
//! error that everybody is told.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use flame_proto::ha;
use flame_types::Seq;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

use super::frame::Frame;
use super::link::Leave;
use super::queue::{Queue, Submission, closed};
use super::recover::Asking;
use super::task::abandoned;
use super::unfinished::Unfinished;
use crate::fate::Trouble;
use crate::retry::Backoff;
use crate::tls::Misfits;
use crate::{Connection, FlameError};

/// A stream, wherever it is connected.
pub(super) struct Driver {
    pub(super) connection: Connection,
    pub(super) session: String,
    pub(super) queue: Arc<Queue>,
    /// Who waits for the first link.
    pub(super) first: Option<oneshot::Sender<Result<(), FlameError>>>,
    /// The client id of the numbered frames; 0 before there is one.
    pub(super) client: u64,
    /// The number of the next frame.
    pub(super) next: Seq,
    /// Taken out of the queue and not in a frame.
    pub(super) taken: VecDeque<Submission>,
    /// In the order of their numbers.
    pub(super) unanswered: VecDeque<Frame>,
    pub(super) unfinished: Unfinished,
    /// Up to here all results have come.
    pub(super) position: Option<ha::Position>,
    pub(super) asking: Option<Asking>,
    pub(super) backoff: Backoff,
    /// Something has come since a link was last left.
    pub(super) has_progressed: bool,
}

impl Driver {
    /// Starts the background task of a stream; the answer comes with the first link.
    pub(super) fn start(
        connection: &Connection,
        session: &str,
        queue: Arc<Queue>,
    ) -> oneshot::Receiver<Result<(), FlameError>> {
        let (first, opened) = oneshot::channel();
        let driver = Self {
            connection: connection.clone(),
            session: session.to_owned(),
            queue,
            first: Some(first),
            client: 0,
            next: Seq(1),
            taken: VecDeque::new(),
            unanswered: VecDeque::new(),
            unfinished: Unfinished::default(),
            position: None,
            asking: None,
            backoff: connection.backoff(),
            has_progressed: false,
        };
        tokio::spawn(driver.run());
        opened
    }

    async fn run(mut self) {
        let (mut late, mut misfits): (Option<Pin<Box<Sleep>>>, _) = (None, Misfits::default());
        loop {
            if self.first.is_none() && self.is_idle() {
                late = None;
                if !self.has_work().await {
                    return self.queue.end(&closed());
                }
            }
            let leave = self.serve().await;
            if std::mem::take(&mut self.has_progressed) {
                late = None;
            }
            let trouble = match leave {
                Leave::Done => {
                    self.queue.tell_closers();
                    return self.queue.end(&closed());
                }
                Leave::Refused(error) => return self.fail(&error),
                Leave::Expired(why) => {
                    self.forget_client(&why);
                    Trouble::with(why)
                }
                Leave::Broken { at, trouble } => {
                    self.connection.leave(at);
                    match self.connection.weigh(&mut misfits, at, trouble) {
                        Ok(trouble) => trouble,
                        Err(error) => return self.fail(&error),
                    }
                }
            };
            tracing::debug!(session = self.session, why = trouble.why, "stream broke; trying the next coordinator");
            // Time without progress: it runs from the first failure on.
            let options = self.connection.options();
            let limit = if self.first.is_some() { options.deadline } else { options.patience };
            let late = late.get_or_insert_with(|| Box::pin(sleep(limit)));
            tokio::select! {
                biased;
                () = late.as_mut() => {
                    let error = self.connection.gave_up(&trouble);
                    return self.fail(&error);
                }
                () = sleep(self.backoff.wait_after(&trouble)) => {}
            }
        }
    }

    /// Nothing is under way: a link would serve nobody.
    fn is_idle(&self) -> bool {
        self.taken.is_empty() && self.unanswered.is_empty() && self.unfinished.is_empty()
    }

    /// Waits without a link for something to do. `false`: there will be nothing any more.
    async fn has_work(&mut self) -> bool {
        loop {
            if self.queue.take(&mut self.taken) {
                return true;
            }
            if self.queue.is_ending() {
                self.queue.tell_closers();
                return false;
            }
            self.queue.woken().await;
        }
    }

    /// Whether nothing will be submitted any more and all of it is answered.
    pub(super) fn is_flushed(&mut self) -> bool {
        self.unanswered.is_empty()
            && self.taken.is_empty()
            && self.queue.is_ending()
            && !self.queue.take(&mut self.taken)
    }

    /// The client has expired: nobody can say what became of the frames without an answer.
    fn forget_client(&mut self, why: &str) {
        self.client = 0;
        self.next = Seq(1);
        let error = FlameError::UnknownOutcome(format!("{why}; what was under way may have been done or not"));
        for frame in std::mem::take(&mut self.unanswered) {
            self.drop_frame(frame, &error);
        }
    }

    /// Gives back the room of a frame that nothing becomes of.
    pub(super) fn drop_frame(&self, frame: Frame, error: &FlameError) {
        self.queue.give_room(frame.room);
        self.queue.give_places(frame.places);
        frame.refuse(error);
    }

    fn fail(&mut self, error: &FlameError) {
        if let Some(first) = self.first.take() {
            // Whoever has opened the stream may have stopped waiting.
            let _unheard = first.send(Err(error.clone()));
        }
        let unanswered = match error {
            // There is nothing that could have been done, or an error that promises nothing.
            FlameError::NotFound(_) | FlameError::Internal(_) => error.clone(),
            _ => FlameError::UnknownOutcome(format!("{error}; what was under way may have been done or not")),
        };
        for frame in std::mem::take(&mut self.unanswered) {
            frame.refuse(&unanswered);
        }
        for submission in std::mem::take(&mut self.taken) {
            submission.refuse(error.clone());
        }
        self.unfinished.fail(error);
        self.queue.end(error);
    }
}

impl Drop for Driver {
    /// The runtime may end before the stream does.
    fn drop(&mut self) {
        self.queue.end(&abandoned());
    }
}
