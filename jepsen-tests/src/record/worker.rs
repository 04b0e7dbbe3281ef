//! What workers were given, did, and were told of their results.
//!
//! The starts of tasks may come from the service itself: a line that it writes before it begins.

use flame_types::{ExecutorKey, TaskNo, Token};
use serde::{Deserialize, Serialize};

use super::Text;
use crate::at_rest::Nonce;

/// Something a worker did or heard.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerEvent {
    /// Its name.
    pub worker: Text,
    /// What.
    pub step: WorkerStep,
}

/// What a worker did or heard.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WorkerStep {
    /// Its Hello was accepted: it has a lease.
    Attached,
    /// Its lease is over, by its own clock or because it was told so.
    LeaseLost,
    /// It was given a task. Being told the same once more, after a Hello, is not written again.
    Granted { executor: ExecutorKey, session: Text, task: TaskNo, token: Token, attempt: u32, nonce: Nonce },
    /// It is passed to the service, and counts as begun from here on. Where this is written, a start may come later.
    Handed { token: Token },
    /// The service begins to work on it.
    Started { executor: ExecutorKey, token: Token, nonce: Nonce },
    /// The service is done with it. Written by whoever writes the starts; only then can it be seen what runs at a time.
    Finished { token: Token },
    /// It is given back; it has not begun.
    Returned { token: Token },
    /// The service has answered, and the worker is about to report it.
    Reported { token: Token, outcome: Outcome },
    /// It was told that this result is settled: it may forget it.
    Stored { token: Token },
    /// It was told that this token is not its any more: the result is dropped.
    Refused { token: Token },
    /// It was told to stop working on this task.
    Stopped { token: Token },
    /// A service process died, or could not be started.
    ExecutorLost { executor: ExecutorKey, why: String },
}

/// What the service answered.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// Done, with this output or a digest of it.
    Succeed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Text>,
    },
    /// It could not do it. The task may be tried again.
    Failed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Text>,
    },
}
