//! Requests to the outside. Only the leader acts on them, in apply order; all of them are derived again from the
//! state when a worker says Hello, so losing one is harmless, and a worker does none of them twice. A cache node that says
//! Hello says what it has, and the answers to that make up for the orders it has missed.

use flame_types::{
    Epoch, ExecutorKey, Generation, NodeName, ObjectApp, ObjectKey, ObjectVersion, Resources, SessionKey, TaskNo, Token,
};

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

/// A message for one cache node, valid for one lease of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEffect {
    /// The cache node.
    pub cache: NodeName,
    /// Its lease when this was decided; on a later one it is dropped.
    pub epoch: Epoch,
    /// What it is told.
    pub order: CacheOrder,
}

/// What a cache node is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheOrder {
    /// The Hello is applied, in this generation. These applications have used up their quota.
    Welcome { generation: Generation, full: Vec<ObjectApp> },
    /// Forget these objects, unless they are of later versions: they were deleted, or written elsewhere since.
    Drop { objects: Vec<(ObjectKey, ObjectVersion)> },
    /// An object of which this node has the first copy has so many.
    Copied { key: ObjectKey, version: ObjectVersion, copies: u32 },
    /// The objects of an application have as many bytes as they may, or fewer again: until then puts are refused.
    Quota { app: ObjectApp, full: bool },
}
