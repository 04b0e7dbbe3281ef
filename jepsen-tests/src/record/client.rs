//! What clients ask for, and what they are told.
//!
//! As in Jepsen, an operation begins with an *invoke* and ends as *ok* (done, and this is the answer), *fail* (certainly not
//! done) or *info* (nobody knows). One that never ends is as one that ends with *info*.

use flame_types::{CoordinatorId, SessionState, TaskNo, TaskState};
use serde::{Deserialize, Serialize};

use super::{Process, Request, Text};
use crate::at_rest::Nonce;

/// Something a client did or heard.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientEvent {
    /// Which client.
    pub process: Process,
    /// What.
    pub step: ClientStep,
}

/// What a client did or heard.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientStep {
    /// It is about to ask.
    Invoke {
        /// The node that is asked, where the client chose one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<CoordinatorId>,
        /// For what.
        operation: Operation,
    },
    /// Its library, or something in between, sends the open operation once more.
    Again {
        /// To this node.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<CoordinatorId>,
    },
    /// The open operation was done.
    Ok(Answer),
    /// The open operation was certainly not done.
    Fail(Error),
    /// Whether the open operation was or will be done is not known.
    Info(Error),
    /// A watch of this client said something. That is no part of an operation.
    Told {
        /// Which watch.
        watch: u64,
        /// What.
        news: News,
    },
}

/// What can be asked for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// Make a session. No two sessions of a recording have the same id, even when the first is deleted.
    CreateSession {
        session: Text,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<Request>,
    },
    /// Open a session; make it if it is not there and that is allowed.
    OpenSession {
        session: Text,
        make: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<Request>,
    },
    /// End a session, also while tasks run if forced.
    CloseSession {
        session: Text,
        force: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<Request>,
    },
    /// Remove a closed session with its tasks.
    DeleteSession {
        session: Text,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<Request>,
    },
    /// Add tasks with these marks, all or none. A mark goes with one change: another submit has it only if it is the same
    /// change once more, with the same request id.
    Submit {
        session: Text,
        nonces: Vec<Nonce>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<Request>,
    },
    /// End one task.
    Cancel {
        session: Text,
        task: TaskNo,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<Request>,
    },
    /// Read one task.
    Get { session: Text, task: TaskNo },
    /// Read all tasks of a session.
    List { session: Text },
    /// Read which sessions there are.
    ListSessions,
    /// Follow the tasks of a session. What it tells comes as [`ClientStep::Told`].
    Watch {
        session: Text,
        watch: u64,
        /// Everything up to this log position is known already.
        from: u64,
        /// Whether every change is told, or only how tasks end.
        every: bool,
    },
    /// Change the cluster itself.
    Admin { change: AdminChange },
}

/// Changes of the cluster.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AdminChange {
    /// Let a coordinator in, up to its vote.
    AddNode { node: CoordinatorId },
    /// Take a coordinator out, for ever.
    RemoveNode { node: CoordinatorId },
    /// Give the lead to this one.
    TransferLead { to: CoordinatorId },
    /// No new executors on a worker, or again.
    Cordon { worker: Text, on: bool },
    /// Let a worker run empty.
    Drain { worker: Text },
}

/// What came back.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// Done; there is nothing to say.
    Done,
    /// The session is there; whether this made it.
    Session { created: bool },
    /// The tasks are there; this is the number of the first, the others follow.
    Submitted { first: TaskNo },
    /// The task.
    Task(TaskSeen),
    /// There is no such task (any more).
    NoTask {
        /// It was there, and has left since with its age.
        trimmed: bool,
    },
    /// All tasks of the session.
    Tasks {
        tasks: Vec<TaskSeen>,
        /// How many more there were that have left with their age.
        #[serde(default)]
        trimmed: u64,
    },
    /// All sessions.
    Sessions { sessions: Vec<SessionSeen> },
}

/// A session as a node shows it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionSeen {
    pub session: Text,
    pub state: SessionState,
}

/// A task as a node shows it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSeen {
    /// Its number.
    pub task: TaskNo,
    /// The mark in its input, where the input is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Nonce>,
    /// Its state.
    pub state: TaskState,
    /// The how manieth start, where it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// What its service returned, or a digest of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Text>,
    /// How many times its story says that it ended, where it is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completions: Option<u32>,
}

/// What a watch tells.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum News {
    /// A task has a new state since this log position.
    Task { revision: u64, seen: TaskSeen },
    /// Everything up to here is left out, and the watch says so.
    Skipped { to: u64 },
    /// The watch broke and goes on after this position, which is what its client asked for.
    Resumed { from: u64 },
    /// The watch is over.
    Over,
}

/// Why something was not done, or why that is not known.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Error {
    pub class: ErrorClass,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// Kinds of errors, by what the client may conclude.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// No such session.
    SessionNotFound,
    /// The id is taken.
    SessionExists,
    /// The session is closed.
    SessionNotOpen,
    /// Delete wants a closed session.
    SessionStillOpen,
    /// Close without force, while tasks run.
    RunningTasks,
    /// No such task.
    TaskNotFound,
    /// The task has ended already.
    TaskEnded,
    /// Refused before anything was done: full, short of disk, no leader known.
    Overloaded,
    /// Any other refusal.
    Refused,
    /// No answer in time.
    Timeout,
    /// The connection broke after the request was sent.
    Broken,
    /// Nobody remembers whether this request was done.
    RequestForgotten,
}

impl ErrorClass {
    /// Whether it says for certain that this attempt did nothing.
    #[must_use]
    pub fn is_certain(self) -> bool {
        !matches!(self, Self::Timeout | Self::Broken | Self::RequestForgotten)
    }
}

impl Operation {
    /// A word for it, as Jepsen's `:f`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateSession { .. } => "create-session",
            Self::OpenSession { .. } => "open-session",
            Self::CloseSession { .. } => "close-session",
            Self::DeleteSession { .. } => "delete-session",
            Self::Submit { .. } => "submit",
            Self::Cancel { .. } => "cancel",
            Self::Get { .. } => "get",
            Self::List { .. } => "list",
            Self::ListSessions => "list-sessions",
            Self::Watch { .. } => "watch",
            Self::Admin { .. } => "admin",
        }
    }

    /// The id of the change, if it has one.
    #[must_use]
    pub fn request(&self) -> Option<&Request> {
        match self {
            Self::CreateSession { request, .. }
            | Self::OpenSession { request, .. }
            | Self::CloseSession { request, .. }
            | Self::DeleteSession { request, .. }
            | Self::Submit { request, .. }
            | Self::Cancel { request, .. } => request.as_ref(),
            Self::Get { .. } | Self::List { .. } | Self::ListSessions | Self::Watch { .. } | Self::Admin { .. } => None,
        }
    }

    /// Whether it asks for a change of what users own.
    #[must_use]
    pub fn is_write(&self) -> bool {
        match self {
            Self::CreateSession { .. }
            | Self::CloseSession { .. }
            | Self::DeleteSession { .. }
            | Self::Submit { .. }
            | Self::Cancel { .. } => true,
            Self::OpenSession { make, .. } => *make,
            Self::Get { .. } | Self::List { .. } | Self::ListSessions | Self::Watch { .. } | Self::Admin { .. } => {
                false
            }
        }
    }

    /// Whether this can be the answer to it.
    #[must_use]
    pub fn takes(&self, answer: &Answer) -> bool {
        match self {
            Self::CreateSession { .. } | Self::OpenSession { .. } => matches!(answer, Answer::Session { .. }),
            Self::Submit { .. } => matches!(answer, Answer::Submitted { .. }),
            Self::Get { .. } => matches!(answer, Answer::Task(_) | Answer::NoTask { .. }),
            Self::List { .. } => matches!(answer, Answer::Tasks { .. }),
            Self::ListSessions => matches!(answer, Answer::Sessions { .. }),
            Self::CloseSession { .. }
            | Self::DeleteSession { .. }
            | Self::Cancel { .. }
            | Self::Watch { .. }
            | Self::Admin { .. } => matches!(answer, Answer::Done),
        }
    }
}
