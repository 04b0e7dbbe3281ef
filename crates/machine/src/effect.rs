//! Requests to the outside. Only the leader acts on them, in apply order; all of them are derived again from the
//! state when a worker says Hello, so losing one is harmless, and a worker does none of them twice.

use flame_types::{Epoch, ExecutorKey, NodeName, Resources, SessionKey, TaskNo, Token};

/// A message for one worker, valid for one lease of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The worker.
    pub node: NodeName,
    /// Its lease when this was decided; on a later one it is dropped.
    pub epoch: Epoch,
    /// What it is told.
    pub order: Order,
}

/// What a worker is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// The Hello is applied. Of the tokens it listed, these are not held any more: forget them. When the lease had lapsed
    /// they were given to others, else they are recorded.
    Welcome { settled: Vec<Token>, lapsed: bool },
    /// Start a service and enter the session; for an executor it knows, leave its session and enter this one.
    Start { executor: ExecutorKey, session: SessionKey, resources: Resources },
    /// Run a task, for at most so long.
    Assign {
        executor: ExecutorKey,
        session: SessionKey,
        task: TaskNo,
        attempt: u32,
        token: Token,
        timeout_ms: Option<u64>,
    },
    /// Give these back if they have not started, and answer either way.
    Recall { tokens: Vec<Token> },
    /// These have ended; stop working on them, and say when their place is free.
    Cancel { tokens: Vec<Token> },
    /// Stop the service and say when it has left.
    Stop { executor: ExecutorKey },
    /// The results are settled; forget them.
    Recorded { tokens: Vec<Token> },
}
