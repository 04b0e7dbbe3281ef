//! What coordinators tell about themselves.
//!
//! In the simulation a hook sees every entry as it is applied; of real processes some of it is asked for or read from their
//! logs. [`super::Header::witnesses`] says which.
//!
//! Positions of the log are of one generation: a run that restores a backup, or recovers by force, is two recordings.

use flame_types::{CoordinatorId, ExecutorKey, LogIndex, TaskNo, TaskState, Term, Token};
use serde::{Deserialize, Serialize};

use super::Text;

/// Something a coordinator did or said.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeEvent {
    /// Which.
    pub node: CoordinatorId,
    /// What.
    pub step: NodeStep,
}

/// What a coordinator did or said.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NodeStep {
    // ── its life ────────────────────────────────────────────────────────────────────────────────────────────────
    /// It has opened its directory, which holds the log up to here and this term, and takes part from now on.
    Opened { last: LogIndex, term: Term },
    /// It has ended by itself, with this code, or was ended by a signal.
    Exited {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<i32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
    },
    /// A line of its log, warnings and worse.
    Log { error: bool, text: String },

    // ── Raft ────────────────────────────────────────────────────────────────────────────────────────────────────
    /// It voted.
    Voted { term: Term, candidate: CoordinatorId },
    /// It leads.
    Leads { term: Term },
    /// It follows.
    Follows { term: Term, leader: CoordinatorId },
    /// It has told others that its disk holds the log up to here.
    Durable { last: LogIndex },
    /// A write or sync of its log failed.
    DiskFailed,
    /// It has a snapshot from elsewhere, which ends here, and goes on from there.
    SnapshotInstalled { last: LogIndex },
    /// These are the members since this entry; during a change there are two sets of voters.
    Members { index: LogIndex, voters: Vec<Vec<CoordinatorId>>, learners: Vec<CoordinatorId> },

    // ── the state machine ───────────────────────────────────────────────────────────────────────────────────────
    /// It has applied the log up to here, and its state has this digest.
    Applied { index: LogIndex, term: Term, digest: Text },
    /// The entry gave a task to a worker.
    Assigned { index: LogIndex, session: Text, task: TaskNo, token: Token, worker: Text },
    /// The entry took a task from a worker without a result.
    Released { index: LogIndex, session: Text, task: TaskNo, token: Token },
    /// The entry recorded a result; the task has this state now: ended, or Pending when a failure is tried again.
    Recorded {
        index: LogIndex,
        session: Text,
        task: TaskNo,
        token: Token,
        state: TaskState,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Text>,
    },
    /// The entry gave a worker up. `said` when the worker said goodbye or was started anew: nobody gave it up by silence.
    Evicted { index: LogIndex, worker: Text, said: bool },

    // ── samples ─────────────────────────────────────────────────────────────────────────────────────────────────
    /// Who uses what, at one log position.
    Usage { index: LogIndex, running: u64, pending: u64, workers: Vec<WorkerUse> },
    /// How much there is of something, how much there may be, and how much once everything is drained.
    Gauge {
        name: Text,
        value: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        drained: Option<u64>,
    },
}

/// A worker as a node accounts for it, in whatever unit its capacity has.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerUse {
    pub worker: Text,
    pub capacity: u64,
    pub allocated: u64,
    pub executors: Vec<ExecutorUse>,
}

/// An executor as a node accounts for it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecutorUse {
    pub executor: ExecutorKey,
    pub size: u64,
    /// Tasks it runs at the same time at most.
    pub slots: u32,
    /// Tasks that are shown as running there.
    pub running: u32,
}
