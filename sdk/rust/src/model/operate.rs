//! Workers and what they hold, why a task does not run, what happened in the cluster.

use flame_proto::ha;
use flame_types::{ExecutorState, NodeState, Resources, Shim, TaskState};
use serde::Serialize;

use super::State;

/// A worker and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeLoad {
    /// Its name.
    pub name: String,
    /// Its host.
    pub hostname: String,
    /// Whether tasks may run on it.
    pub state: State<NodeState>,
    /// Its stream to the leader stands.
    pub attached: bool,
    /// It takes no new executors.
    pub cordoned: bool,
    /// It takes no new tasks either, and gives up what it has.
    pub draining: bool,
    /// What executors may hold in all.
    pub capacity: Resources,
    /// What they hold.
    pub allocated: Resources,
    /// Executors that have not left.
    pub executors: u32,
    /// Sessions that these serve.
    pub sessions: u64,
    /// Tasks that run.
    pub running: u64,
    /// Tasks that are here and have not begun.
    pub queued: u64,
    /// Executors that failed to bind here since the last that did not.
    pub bind_failures: u32,
    /// After that it gets no executor for so many milliseconds; 0: nobody avoids it.
    pub avoided_ms: u64,
    /// Whose executors these are, in words; empty: nobody avoids it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub avoided_by: String,
    /// When it attached last, in milliseconds since 1970.
    pub last_hello: i64,
    /// How it runs services.
    pub shims: Vec<State<Shim>>,
    /// Its processor.
    pub arch: String,
    /// Its operating system.
    pub os: String,
    /// Its executors, by age; only where one worker was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<NodeExecutor>,
}

/// An executor on a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeExecutor {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub state: State<ExecutorState>,
    /// It gets no new task and leaves its session when it is done.
    pub retiring: bool,
    /// Whose service it runs.
    pub application: String,
    /// The session it serves; empty when it serves none.
    pub session_id: String,
    /// What it holds.
    pub resources: Resources,
    /// Tasks that it runs.
    pub running: u64,
    /// Tasks that it has and has not begun.
    pub queued: u64,
}

/// Why a task does not run, or where it runs, or how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskExplanation {
    /// Its session.
    pub session_id: String,
    /// Its number.
    pub task_id: String,
    /// The application of its session.
    pub application: String,
    /// As shown: a task behind another one is Pending.
    pub state: State<TaskState>,
    /// Where it is, or how it ended, in words.
    pub summary: String,
    /// Where it runs, ran last or is queued; empty when nowhere.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// The executor that has it; empty when none has.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub executor: String,
    /// Its last start; 0 when there was none.
    pub attempt: u32,
    /// Since when it runs, when it ended or was submitted: milliseconds since 1970.
    pub since: i64,
    /// Why it does not run, apart from what the workers say.
    pub reasons: Vec<Reason>,
    /// Of each worker: why it runs nothing more of this session.
    pub nodes: Vec<NodeReasons>,
}

/// A reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// A short stable name.
    pub kind: String,
    /// A sentence.
    pub message: String,
}

/// Why a worker runs nothing more of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeReasons {
    /// The worker.
    pub node: String,
    /// Why not. None: there is room for one more executor of the session.
    pub reasons: Vec<Reason>,
    /// Executors of the session on this worker.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub executors: Vec<ExecutorReason>,
}

/// What an executor of the session does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExecutorReason {
    /// Its id.
    pub id: String,
    /// entering, busy, retiring or idle.
    pub kind: String,
    /// The same in words.
    pub message: String,
}

/// What happened in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClusterEvents {
    /// By number.
    pub events: Vec<ClusterEvent>,
    /// The lowest number that is kept; 0 when nothing has happened.
    pub oldest: u64,
    /// The highest number; 0 when nothing has happened.
    pub newest: u64,
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClusterEvent {
    /// 1, 2, 3 … without gaps.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub time: i64,
    /// A short stable name of what it is.
    pub kind: String,
    /// The coordinator, worker, session or application; empty when it is about all of the cluster.
    pub subject: String,
    /// In words.
    pub message: String,
}

impl From<ha::NodeLoad> for NodeLoad {
    fn from(load: ha::NodeLoad) -> Self {
        Self {
            name: load.name,
            hostname: load.hostname,
            state: load.state.into(),
            attached: load.attached,
            cordoned: load.cordoned,
            draining: load.draining,
            capacity: load.capacity.unwrap_or_default().into(),
            allocated: load.allocated.unwrap_or_default().into(),
            executors: load.executors,
            sessions: load.sessions,
            running: load.running,
            queued: load.queued,
            bind_failures: load.bind_failures,
            avoided_ms: load.avoided_ms,
            avoided_by: load.avoided_by,
            last_hello: load.last_hello,
            shims: load.shims.into_iter().map(State::from).collect(),
            arch: load.arch,
            os: load.os,
            held: load.held.into_iter().map(NodeExecutor::from).collect(),
        }
    }
}

impl From<ha::NodeExecutor> for NodeExecutor {
    fn from(executor: ha::NodeExecutor) -> Self {
        Self {
            id: executor.id,
            state: executor.state.into(),
            retiring: executor.retiring,
            application: executor.application,
            session_id: executor.session_id,
            resources: executor.resources.unwrap_or_default().into(),
            running: executor.running,
            queued: executor.queued,
        }
    }
}

/// What the last install of an application's package wrote on a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstallLog {
    /// The worker.
    pub node: String,
    /// What was written; its end, if it is long.
    pub text: String,
    /// When it was written last, in milliseconds since 1970.
    pub written: i64,
    /// Whether the beginning is missing.
    pub cut: bool,
    /// Why there is no text; empty when there is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

impl From<ha::NodeInstallLog> for InstallLog {
    fn from(log: ha::NodeInstallLog) -> Self {
        Self { node: log.node, text: log.text, written: log.written, cut: log.cut, error: log.error }
    }
}

impl From<ha::ExplainTaskReply> for TaskExplanation {
    fn from(reply: ha::ExplainTaskReply) -> Self {
        Self {
            session_id: reply.session_id,
            task_id: reply.task_id,
            application: reply.application,
            state: reply.state.into(),
            summary: reply.summary,
            node: reply.node,
            executor: reply.executor,
            attempt: reply.attempt,
            since: reply.since,
            reasons: reply.reasons.into_iter().map(Reason::from).collect(),
            nodes: reply.nodes.into_iter().map(NodeReasons::from).collect(),
        }
    }
}

impl From<ha::Reason> for Reason {
    fn from(reason: ha::Reason) -> Self {
        Self { kind: reason.kind, message: reason.message }
    }
}

impl From<ha::NodeReasons> for NodeReasons {
    fn from(node: ha::NodeReasons) -> Self {
        let executors = node.executors.into_iter();
        Self {
            node: node.node,
            reasons: node.reasons.into_iter().map(Reason::from).collect(),
            executors: executors
                .map(|here| ExecutorReason { id: here.id, kind: here.kind, message: here.message })
                .collect(),
        }
    }
}

impl From<ha::ListClusterEventsReply> for ClusterEvents {
    fn from(reply: ha::ListClusterEventsReply) -> Self {
        let event = |event: ha::ClusterEvent| ClusterEvent {
            number: event.number,
            time: event.time,
            kind: event.kind,
            subject: event.subject,
            message: event.message,
        };
        Self { events: reply.events.into_iter().map(event).collect(), oldest: reply.oldest, newest: reply.newest }
    }
}
