//! Streams that go on at another coordinator when the one they began on is gone: when they are opened again, and when
//! that is given up.
//!
//! **Invariant:** nobody waits for ever. A stream that was never served is given up after the deadline of its connection,
//! one that was served after its patience; both count from the first failure until a coordinator says something again.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Sleep, sleep};
use tonic::Status;

use crate::fate::{Fate, Trouble};
use crate::retry::Backoff;
use crate::tls::Misfits;
use crate::{Connection, FlameError};

/// What became of a stream to one coordinator.
#[derive(Debug)]
pub enum Left {
    /// No coordinator will say otherwise.
    Refused(Status),
    /// Another coordinator may serve it.
    Broken(Broken),
}

/// A stream that another coordinator may serve.
#[derive(Debug)]
pub struct Broken {
    /// The place of the coordinator that failed.
    pub(crate) at: usize,
    pub(crate) trouble: Trouble,
}

impl Left {
    /// It ended so at this coordinator.
    pub(crate) fn with(at: usize, status: Status) -> Self {
        match Fate::of(status) {
            Fate::Answered(status) => Self::Refused(status),
            Fate::NotDone(trouble) => Self::Broken(Broken { at, trouble }),
            Fate::Lost(why) => Self::broken(at, why),
        }
    }

    /// This coordinator did not answer in time.
    pub(crate) fn silent(at: usize, limit: Duration) -> Self {
        Self::broken(at, format!("no answer within {} s", limit.as_secs_f64()))
    }

    /// This coordinator cannot serve it.
    pub(crate) fn broken(at: usize, why: impl Into<String>) -> Self {
        Self::Broken(Broken { at, trouble: Trouble::with(why) })
    }
}

/// One stream, wherever it is served.
#[derive(Debug)]
pub struct Reopening {
    connection: Connection,
    backoff: Backoff,
    misfits: Misfits,
    /// When it is given up; none while it is served.
    late: Option<Pin<Box<Sleep>>>,
    was_served: bool,
    /// A coordinator has said something since the last failure.
    has_heard: bool,
}

impl Reopening {
    /// A stream of this client that was not opened yet.
    #[must_use]
    pub fn new(connection: &Connection) -> Self {
        let connection = connection.clone();
        let (backoff, misfits) = (connection.backoff(), Misfits::default());
        Self { connection, backoff, misfits, late: None, was_served: false, has_heard: false }
    }

    /// A coordinator has said something on it.
    pub fn heard(&mut self) {
        self.backoff.reset();
        self.has_heard = true;
    }

    /// Leaves the coordinator that failed, and waits until the next one may be tried.
    ///
    /// # Errors
    /// [`FlameError::Unavailable`] or [`FlameError::Overloaded`] once it is to be given up, [`FlameError::Untrusted`] when no
    /// further coordinator could fare better.
    pub async fn wait(&mut self, broken: Broken) -> Result<(), FlameError> {
        let Broken { at, trouble } = broken;
        let trouble = self.connection.weigh(&mut self.misfits, at, trouble)?;
        if std::mem::take(&mut self.has_heard) {
            self.was_served = true;
            self.late = None;
        }
        tracing::debug!(why = trouble.why, "a stream broke; trying the next coordinator");
        self.connection.leave(at);
        let options = self.connection.options();
        let limit = if self.was_served { options.patience } else { options.deadline };
        let late = self.late.get_or_insert_with(|| Box::pin(sleep(limit)));
        tokio::select! {
            biased;
            () = late.as_mut() => Err(self.connection.gave_up(&trouble)),
            () = sleep(self.backoff.wait_after(&trouble)) => Ok(()),
        }
    }
}
