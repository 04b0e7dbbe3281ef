//! Operations of clients: the question, the answer, and how often it was sent.

use flame_types::CoordinatorId;

use super::EventAt;
use crate::record::{Answer, Error, Nanos, Operation, Process};

/// A moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct At {
    /// The event.
    pub event: EventAt,
    /// Its time.
    pub time: Nanos,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug)]
pub enum End<'r> {
    /// Done.
    Ok(&'r Answer),
    /// Certainly not done.
    Fail(&'r Error),
    /// Nobody knows; without an error when nothing was ever heard of it.
    Info(Option<&'r Error>),
}

/// An operation.
#[derive(Clone, Debug)]
pub struct Op<'r> {
    /// Who asked.
    pub process: Process,
    /// Who was asked, where the client chose.
    pub node: Option<CoordinatorId>,
    /// For what.
    pub operation: &'r Operation,
    /// When it was called.
    pub call: At,
    /// When it ended; `None` when it never did.
    pub ret: Option<At>,
    /// How it ended.
    pub end: End<'r>,
    /// How often it was sent beyond the first time.
    pub again: u32,
}

impl<'r> Op<'r> {
    /// The answer, if it was done.
    #[must_use]
    pub fn answer(&self) -> Option<&'r Answer> {
        match self.end {
            End::Ok(answer) => Some(answer),
            End::Fail(_) | End::Info(_) => None,
        }
    }

    /// Whether it certainly did nothing. What was sent more than once without an id was perhaps done by an attempt whose
    /// answer was lost, whatever the last one was told.
    #[must_use]
    pub fn did_nothing(&self) -> bool {
        match self.end {
            End::Fail(error) => error.class.is_certain() && (self.again == 0 || self.operation.request().is_some()),
            End::Ok(_) | End::Info(_) => false,
        }
    }

    /// Why it was refused, if that is certain.
    #[must_use]
    pub fn refusal(&self) -> Option<&'r Error> {
        match self.end {
            End::Fail(error) if self.did_nothing() => Some(error),
            _ => None,
        }
    }

    /// Whether its outcome is not known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.answer().is_none() && !self.did_nothing()
    }
}
