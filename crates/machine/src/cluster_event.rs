//! What happened in the cluster, for operators. It lies in the replicated state, so every node tells the same story, and
//! neither a restart nor a change of leader loses any of it.
//!
//! The last [`limits::CLUSTER_EVENTS_MAX`] are kept: bulk rows by their numbers. Memory knows the next number only.
//!
//! **Invariant:** nothing here happens once per task, session or executor: a busy cluster writes none.
//!
//! [`limits::CLUSTER_EVENTS_MAX`]: flame_types::limits::CLUSTER_EVENTS_MAX

use std::fmt;

use flame_types::{AppName, CoordinatorId, Generation, NodeName, SessionId, Term, WallMs};
use serde::{Deserialize, Serialize};

use crate::command::LeaseEnd;

/// Something that happened, as it lies on disk. Its number is in the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterEventRow {
    /// When.
    pub at: WallMs,
    /// What.
    pub what: ClusterEvent,
}

/// Something that happened. The order of variants is the format: append, never reorder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClusterEvent {
    /// A coordinator leads from now on. All workers count as detached until they say Hello to it.
    LeaderStarted { leader: CoordinatorId, term: Term },
    /// These are the coordinators from now on.
    MembersChanged { voters: Vec<CoordinatorId>, learners: Vec<CoordinatorId> },
    /// A worker said Hello.
    WorkerAttached { node: NodeName, life: WorkerLife },
    /// A worker's stream is lost, or it is stopping; its lease still runs.
    WorkerDetached { node: NodeName },
    /// A worker's lease is over.
    WorkerExpired { node: NodeName, end: LeaseEnd },
    /// A worker takes no new executors.
    NodeCordoned { node: NodeName },
    /// A worker takes executors and tasks again.
    NodeUncordoned { node: NodeName },
    /// A worker takes neither executors nor tasks, and gives up what it has.
    NodeDraining { node: NodeName },
    /// Executors of a session failed to bind so often that it gets no new ones.
    SessionPaused { session: SessionId, failures: u32 },
    /// A new application.
    AppRegistered { app: AppName },
    /// An application has another specification.
    AppUpdated { app: AppName, revision: u64 },
    /// An application is gone.
    AppUnregistered { app: AppName },
    /// The replicated configuration is another one.
    ConfigChanged,
    /// The feature level was raised.
    LevelChanged { level: u32 },
    /// The cluster was restored from a backup, or recovered by force.
    NewGeneration { generation: Generation },
    /// A node of the object cache said Hello.
    CacheAttached { cache: NodeName, life: WorkerLife },
    /// A cache node's stream is lost, or it is stopping; its lease still runs.
    CacheDetached { cache: NodeName },
    /// A cache node's lease is over.
    CacheExpired { cache: NodeName, end: LeaseEnd },
    /// A cache node was removed.
    CacheRemoved { cache: NodeName },
    /// Only in the build that tests of upgrades use.
    #[cfg(feature = "next-level")]
    TestOnly { text: String },
}

/// What a worker, or a cache node, is to the one that had its name before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerLife {
    /// There was none.
    New,
    /// The same process, back on a new stream.
    Same,
    /// A later process; the earlier one was known to be gone.
    Restarted,
    /// A later process; the earlier one still counted as attached.
    Superseding,
}

impl ClusterEvent {
    /// A short stable name of what it is.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::LeaderStarted { .. } => "leader",
            Self::MembersChanged { .. } => "members",
            Self::WorkerAttached { .. } => "worker_attached",
            Self::WorkerDetached { .. } => "worker_detached",
            Self::WorkerExpired { end: LeaseEnd::RanOut, .. } => "worker_expired",
            Self::WorkerExpired { end: LeaseEnd::Goodbye, .. } => "worker_goodbye",
            Self::NodeCordoned { .. } => "node_cordoned",
            Self::NodeUncordoned { .. } => "node_uncordoned",
            Self::NodeDraining { .. } => "node_draining",
            Self::SessionPaused { .. } => "session_paused",
            Self::AppRegistered { .. } => "application_registered",
            Self::AppUpdated { .. } => "application_updated",
            Self::AppUnregistered { .. } => "application_unregistered",
            Self::ConfigChanged => "configuration",
            Self::LevelChanged { .. } => "feature_level",
            Self::NewGeneration { .. } => "generation",
            Self::CacheAttached { .. } => "cache_attached",
            Self::CacheDetached { .. } => "cache_detached",
            Self::CacheExpired { end: LeaseEnd::RanOut, .. } => "cache_expired",
            Self::CacheExpired { end: LeaseEnd::Goodbye, .. } => "cache_goodbye",
            Self::CacheRemoved { .. } => "cache_removed",
            #[cfg(feature = "next-level")]
            Self::TestOnly { .. } => "test_only",
        }
    }

    /// Which coordinator, worker, session or application it is about; empty when it is about all of the cluster.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::LeaderStarted { leader, .. } => leader.to_string(),
            Self::WorkerAttached { node, .. }
            | Self::WorkerDetached { node }
            | Self::WorkerExpired { node, .. }
            | Self::NodeCordoned { node }
            | Self::NodeUncordoned { node }
            | Self::NodeDraining { node } => node.to_string(),
            Self::CacheAttached { cache, .. }
            | Self::CacheDetached { cache }
            | Self::CacheExpired { cache, .. }
            | Self::CacheRemoved { cache } => cache.to_string(),
            Self::SessionPaused { session, .. } => session.to_string(),
            Self::AppRegistered { app } | Self::AppUpdated { app, .. } | Self::AppUnregistered { app } => {
                app.to_string()
            }
            Self::MembersChanged { .. }
            | Self::ConfigChanged
            | Self::LevelChanged { .. }
            | Self::NewGeneration { .. } => String::new(),
            #[cfg(feature = "next-level")]
            Self::TestOnly { .. } => String::new(),
        }
    }
}

impl fmt::Display for ClusterEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeaderStarted { leader, term } => write!(f, "coordinator {leader} leads in term {term}"),
            Self::MembersChanged { voters, learners } if learners.is_empty() => {
                write!(f, "the voters are {}", listed(voters))
            }
            Self::MembersChanged { voters, learners } => {
                write!(f, "the voters are {}, the learners {}", listed(voters), listed(learners))
            }
            Self::WorkerAttached { node, life } => write!(f, "worker {node} attached: {life}"),
            Self::WorkerDetached { node } => {
                write!(f, "worker {node} detached: its stream ended or it is stopping; its lease still runs")
            }
            Self::WorkerExpired { node, end: LeaseEnd::RanOut } => {
                write!(f, "the lease of worker {node} ran out; its tasks go elsewhere")
            }
            Self::WorkerExpired { node, end: LeaseEnd::Goodbye } => {
                write!(f, "worker {node} said goodbye; what it held goes elsewhere")
            }
            Self::NodeCordoned { node } => write!(f, "node {node} was cordoned: it takes no new executors"),
            Self::NodeUncordoned { node } => write!(f, "node {node} was uncordoned: it takes executors again"),
            Self::NodeDraining { node } => {
                write!(f, "node {node} is drained: it takes nothing new, and what runs there may end")
            }
            Self::SessionPaused { session, failures } => {
                write!(f, "session {session} gets no new executors: {failures} failed to bind in a row")
            }
            Self::AppRegistered { app } => write!(f, "application {app} was registered"),
            Self::AppUpdated { app, revision } => write!(f, "application {app} was updated to revision {revision}"),
            Self::AppUnregistered { app } => write!(f, "application {app} was unregistered"),
            Self::ConfigChanged => write!(f, "the leader's configuration was taken over by the cluster"),
            Self::LevelChanged { level } => write!(f, "the cluster runs at feature level {level}"),
            Self::NewGeneration { generation } => {
                write!(f, "the cluster was restored or recovered: this is generation {generation}")
            }
            Self::CacheAttached { cache, life } => write!(f, "cache node {cache} attached: {life}"),
            Self::CacheDetached { cache } => {
                write!(f, "cache node {cache} detached: its stream ended or it is stopping; its lease still runs")
            }
            Self::CacheExpired { cache, end: LeaseEnd::RanOut } => {
                write!(f, "the lease of cache node {cache} ran out; what only it has is lost until it is back")
            }
            Self::CacheExpired { cache, end: LeaseEnd::Goodbye } => {
                write!(f, "cache node {cache} said goodbye; what only it has is lost until it is back")
            }
            Self::CacheRemoved { cache } => write!(f, "cache node {cache} was removed; what only it had is lost"),
            #[cfg(feature = "next-level")]
            Self::TestOnly { text } => f.write_str(text),
        }
    }
}

impl fmt::Display for WorkerLife {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "it was not known before",
            Self::Same => "the same process is back",
            Self::Restarted => "it was started anew",
            Self::Superseding => "it takes the place of an earlier one that still counted as attached",
        })
    }
}

fn listed(ids: &[CoordinatorId]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ids.join(", ")
}
