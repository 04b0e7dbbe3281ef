//! A recording: what everybody saw of one run, event by event, in the order in which it was seen.
//!
//! It is the same for a simulation and for real processes, so one set of checkers judges both. Whoever runs a cluster
//! writes one; nothing in it comes from the cluster's own idea of what it did, but for what its nodes are asked to tell
//! ([`node`]).
//!
//! | who | tells | module |
//! |---|---|---|
//! | clients | what they asked for, what they were answered, what their watches told | [`client`] |
//! | workers | which tasks they were given, started and reported, and what was said of the results | [`worker`] |
//! | nodes | entries applied with their digests, leaders, what the log did to each task | [`node`] |
//! | nemesis | the trouble: installed, skipped, healed | [`fault`] |
//! | the runner | the phases of the run | [`Phase`] |
//!
//! **Invariant:** one clock. Times are of one monotonic source (a host's, or the simulated one) and never go back from one
//! event to the next; recordings of several clocks cannot be joined.
//! **Invariant:** an event is written before what it tells of is sent, and after what it tells of was received. So the true
//! moment of an effect always lies between the two events around it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub mod client;
pub mod edn;
pub mod fault;
pub mod file;
pub mod merge;
pub mod node;
pub mod plan;
pub mod worker;

pub use client::{
    AdminChange, Answer, ClientEvent, ClientStep, Error, ErrorClass, News, Operation, SessionSeen, TaskSeen,
};
pub use fault::{FaultEvent, FaultKind, FaultStep, Target};
pub use node::{ExecutorUse, NodeEvent, NodeStep, WorkerUse};
pub use plan::{Bounds, Plan, Wants};
pub use worker::{Outcome, WorkerEvent, WorkerStep};

/// A text of which many events hold the same copy: names of sessions, of workers, outputs.
pub type Text = Arc<str>;

/// Nanoseconds on the clock of the recording.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nanos(pub u64);

impl Nanos {
    /// So many milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// So many seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1_000_000_000)
    }

    /// From `earlier` to this, nothing if it is not later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }

    /// So much later.
    #[must_use]
    pub const fn plus(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0))
    }
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0 / 1_000_000;
        write!(f, "{}.{:03} s", millis / 1_000, millis % 1_000)
    }
}

/// One who acts alone: a client with at most one operation open. A client whose operation has an unknown outcome goes on
/// under a new number, since that operation stays open for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Process(pub u32);

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The id that a client gives to one change, however often and by way of whichever nodes it sends it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Request(pub Text);

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which clock the times are of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// The monotonic clock of the one host on which everybody who writes runs.
    Host,
    /// The simulated one.
    Simulated,
}

/// Who was listened to. A checker that needs a witness nobody listened to does not judge.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    /// Operations and their ends, of all clients.
    Clients,
    /// What watches told.
    Watches,
    /// Every start of a task, by the service or the worker that made it.
    Starts,
    /// Everything that workers were given and reported.
    Workers,
    /// The digest of the state of every node, now and then or after each entry.
    Digests,
    /// What the log did to tasks: every assignment, release and completion with its position.
    Journal,
    /// Terms, votes, leaders, what is durable, members.
    Raft,
    /// Use of resources, sampled.
    Usage,
    /// Sizes of what must not grow, sampled.
    Gauges,
    /// What processes wrote to their logs, and how they ended.
    Logs,
}

impl Witness {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Clients,
        Self::Watches,
        Self::Starts,
        Self::Workers,
        Self::Digests,
        Self::Journal,
        Self::Raft,
        Self::Usage,
        Self::Gauges,
        Self::Logs,
    ];
}

/// What a recording is of.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Names the run.
    pub run: Text,
    /// Which clock the times are of.
    pub clock: Clock,
    /// What everything was drawn from, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Who was listened to.
    pub witnesses: BTreeSet<Witness>,
    /// What was meant to happen.
    pub plan: Plan,
}

/// One thing that somebody saw.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When.
    pub time: Nanos,
    /// What.
    pub what: What,
}

/// Whose word it is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A client's.
    Client(ClientEvent),
    /// A worker's.
    Worker(WorkerEvent),
    /// A coordinator's.
    Node(NodeEvent),
    /// The nemesis'.
    Fault(FaultEvent),
    /// The runner's.
    Phase(Phase),
}

/// Where the run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// No fault is installed any more and none will be: from now on everything must get well by itself.
    HealBegan,
    /// Nobody has an operation open and nothing more is submitted; the reads that follow are the last ones.
    AtRest,
    /// Every session is closed.
    Drained,
}

/// A whole run, in memory.
#[derive(Clone, PartialEq, Debug)]
pub struct Recording {
    /// What it is of.
    pub header: Header,
    /// What happened, in order.
    pub events: Vec<Event>,
}
