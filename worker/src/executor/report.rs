//! What the agent hears from an executor, in the order in which it happened.

use flame_proto::ha;
use flame_types::{ExecutorKey, SessionKey, Token};

/// A fact about an executor.
#[derive(Debug)]
pub(crate) enum Report {
    /// The service has entered the session.
    Ready { executor: ExecutorKey, session: SessionKey, attributes: Option<ha::Attributes> },
    /// Tasks have ended, in this order.
    Done { executor: ExecutorKey, completions: Vec<ha::Completion> },
    /// The service had not begun these, and they will not run here any more.
    Returned { tokens: Vec<Token> },
    /// The executor is gone, with its whole process group.
    Ended { executor: ExecutorKey, end: End },
}

/// How an executor went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As it was told. A task that still ran when its time was up has lost its start: the leader knows which.
    Left,
    /// It never entered the session.
    Bind { return_code: i32, message: String },
    /// It had entered. `started` are the tasks that the service had been given and has not answered.
    Crashed { started: Vec<Token>, message: String },
}
