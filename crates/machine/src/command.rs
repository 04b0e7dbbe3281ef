//! What can be asked of the machine. A command is data: whatever is not deterministic (time, random ids, limits from
//! a configuration file) was put into it by its proposer. Apply checks everything again.
//!
//! The order of variants and of fields is the log format: append, never reorder (a frozen fixture fails otherwise).

use flame_types::{
    AppName, AppSpec, ClientId, ClusterMs, CoordinatorId, Epoch, ExecutorKey, HelloNo, Incarnation, NodeName,
    ObjectTarget, Payload, Payloads, Position, RequestId, RequestNo, Resources, Seq, SessionId, SessionKey,
    SessionSpec, Shim, TaskNo, TaskOptions, Token, WallMs, kept_text, limits,
};
use serde::{Deserialize, Serialize};

use crate::config::ClusterConfig;

mod objects;

pub use objects::{CacheHello, HeldObject, ObjectsChanged};

/// One Raft entry: commands in the order in which they take effect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Wall time of the proposer, for display.
    pub wall_ms: WallMs,
    /// How far cluster time advances with this entry, in milliseconds.
    pub cluster_delta_ms: u32,
    /// The commands.
    pub items: Vec<Item>,
}

/// A command and who sent it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The registered client, or [`ClientId::NONE`] for commands that are safe to repeat.
    pub client: ClientId,
    /// The client's number of this command. For [`ClientId::NONE`] it only names the reply to its local proposer.
    pub seq: Seq,
    /// The client needs no reply below this number any more.
    pub below: Seq,
    /// What to do.
    pub command: Command,
}

/// Everything the machine can be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    // ── applications ────────────────────────────────────────────────────────────────────────────────────────────
    /// Makes a new application.
    Register { name: AppName, spec: Box<AppSpec> },
    /// Replaces all attributes of an application without open sessions.
    Update { name: AppName, spec: Box<AppSpec> },
    /// Removes an application without open sessions.
    Unregister { name: AppName },
    /// Registers the applications that ship with Flame and are absent, once per version.
    InstallBuiltins { version: u32, apps: Vec<(AppName, AppSpec)> },

    // ── sessions ────────────────────────────────────────────────────────────────────────────────────────────────
    /// Makes a new session.
    Create { id: SessionId, spec: Box<SessionSpec> },
    /// Gives the open session of this id; makes it when absent and a specification is given.
    Open { id: SessionId, spec: Option<Box<SessionSpec>> },
    /// Ends a session. Refused while tasks run, unless forced: then they are cancelled.
    Close { id: SessionId, force: bool },
    /// Stops starting tasks.
    Suspend { id: SessionId },
    /// Starts tasks again.
    Resume { id: SessionId },
    /// Removes a closed session with all its tasks.
    Delete { id: SessionId },
    /// Removes closed sessions: exactly these, if they are still closed.
    Expire { sessions: Vec<SessionKey> },

    // ── tasks ───────────────────────────────────────────────────────────────────────────────────────────────────
    /// Adds tasks to a session, all or none.
    Submit(Box<Submit>),
    /// Ends one task.
    Cancel { session: SessionId, task: TaskNo },

    // ── workers ─────────────────────────────────────────────────────────────────────────────────────────────────
    /// A worker attaches and says what it holds.
    Hello(Box<Hello>),
    /// Results. Needs only the token: one that is not held is settled already.
    Complete { node: NodeName, done: Vec<Completion> },
    /// Tasks that were not started, given back. Burns no attempt.
    Return { node: NodeName, epoch: Epoch, tokens: Vec<Token> },
    /// A recall came too late: these tasks have started, their results will come.
    Started { node: NodeName, epoch: Epoch, tokens: Vec<Token> },
    /// The service of an executor has entered its session. A result of a task of that session says the same.
    ExecutorReady { node: NodeName, epoch: Epoch, executor: ExecutorKey, session: SessionKey, attributes: Attributes },
    /// The service of an executor could not be started, or died; the executor is gone.
    ExecutorFailed { node: NodeName, epoch: Epoch, executor: ExecutorKey, started: Vec<Token>, cause: FailureCause },
    /// An executor has stopped as told; its resources are free.
    ExecutorLeft { node: NodeName, epoch: Epoch, executor: ExecutorKey },
    /// No new executors on this node (or again).
    Cordon { node: NodeName, on: bool },
    /// Cordon, and give back what has not started.
    Drain { node: NodeName },

    // ── the leader ──────────────────────────────────────────────────────────────────────────────────────────────
    /// A new leader opens for business: every node counts as detached until it says Hello again. Idempotent per term.
    LeaderStart { leader: CoordinatorId },
    /// A worker's stream is lost, or it is stopping: nothing new goes there.
    Detach { node: NodeName, epoch: Epoch },
    /// A worker's lease is over: its executors are gone, its tasks go elsewhere.
    ExpireNode { node: NodeName, epoch: Epoch, end: LeaseEnd },
    /// An executor for a session on a node. `have` is the session's executor count when this was planned:
    /// a plan made twice is refused. `reuse` names an Unbinding executor to be bound anew instead of a fresh one.
    Place {
        node: NodeName,
        session: SessionKey,
        resources: Resources,
        have: u32,
        count: u32,
        reuse: Option<(ExecutorKey, Epoch)>,
    },
    /// Takes an idle executor from its session (Bound → Unbinding), or stops it (Unbinding → Releasing).
    Release { executor: ExecutorKey, epoch: Epoch },
    /// Asks for assigned tasks back that have not started.
    Recall { tokens: Vec<Token> },
    /// Why a session waits for executors; `None` when it does not.
    Waiting { session: SessionKey, reason: Option<WaitReason> },

    // ── upkeep ──────────────────────────────────────────────────────────────────────────────────────────────────
    /// Carries cluster time and nothing else.
    Tick,
    /// A new client; its id comes back in the reply. A gateway's earlier client of the same coordinator ends.
    RegisterClient { nonce: u128, gateway: Option<CoordinatorId> },
    /// A client says goodbye.
    EndClient { client: ClientId },
    /// An idle client ends, unless its window moved beyond `last`.
    ExpireClient { client: ClientId, last: Seq },
    /// Takes the place of a command its client gave up, so that the sequence has no gap.
    Void,
    /// Replaces the replicated configuration.
    SetConfig(Box<ClusterConfig>),
    /// Raises the feature level. Alone in its entry; acts from the next.
    SetFeatureLevel { level: u32 },
    /// After a restore or a forced recovery: tokens jump ahead, nodes and windows end.
    NewGeneration { nonce: u128 },

    // ── added later; the order of variants is the log format ────────────────────────────────────────────────────
    /// Finished tasks of a session that is not closed leave: exactly these, if nothing has left since it was planned.
    Trim(Box<Trim>),
    /// Whether so many coordinators are short of disk that nothing more may come in: the leader has heard of them. What
    /// frees disk, and the results of what runs, are taken all the same.
    DiskShort { on: bool },
    /// A change by a user whose client may send it again, through another coordinator, when an answer is lost: it is done
    /// once. `seen`: the next number of such a change ([`crate::State::next_request`]) as the client knew it before it sent
    /// this one for the first time; if anything since then is forgotten, it is refused rather than done twice. Only what
    /// users ask for ([`Command::is_of_users`]).
    Once { request: RequestId, seen: RequestNo, command: Box<Command> },
    /// A node of the object cache attaches.
    CacheHello(Box<CacheHello>),
    /// A cache node's stream is lost, or it is stopping: it gets no orders until its next Hello.
    CacheDetach { cache: NodeName, epoch: Epoch },
    /// A cache node's lease is over: what only it has is lost until it comes back.
    CacheExpire { cache: NodeName, epoch: Epoch, end: LeaseEnd },
    /// A cache node says what it has and what it has no more. Each object is taken or refused by itself.
    ObjectsChanged(Box<ObjectsChanged>),
    /// Deletes objects by key, session or application. From now on nobody finds them; of many, the entries leave in
    /// pieces.
    ObjectsDelete { target: ObjectTarget },
    /// Proposed by the leader while entries of deleted objects are left: some more of them leave.
    ObjectsSweep,
    /// A cache node that is gone will not come back: what it had counts as lost, and its name is free. Of many objects some
    /// at a time, so it is asked for until the node is not known any more.
    CacheRemove { cache: NodeName },
    /// Adds one task whose caller waits for its end and for nothing before: the leader may give it out while this is still to
    /// be written, and says here to whom.
    Lone { submit: Box<Submit>, ahead: Option<Ahead> },
    /// Only in the build that tests of upgrades use, and always the last one: it leads to an event. Of level 2.
    #[cfg(feature = "next-level")]
    TestOnly { text: String },
}

impl Command {
    /// What is to be done, whether or not it carries a request id.
    #[must_use]
    pub fn what(&self) -> &Self {
        match self {
            Self::Once { command, .. } => command,
            other => other,
        }
    }

    /// Whether it is a change that users ask for: those may carry a request id.
    #[must_use]
    pub fn is_of_users(&self) -> bool {
        matches!(
            self,
            Self::Register { .. }
                | Self::Update { .. }
                | Self::Unregister { .. }
                | Self::Create { .. }
                | Self::Open { .. }
                | Self::Close { .. }
                | Self::Suspend { .. }
                | Self::Resume { .. }
                | Self::Delete { .. }
                | Self::Submit(_)
                | Self::Cancel { .. }
                | Self::Cordon { .. }
                | Self::Drain { .. }
                | Self::ObjectsDelete { .. }
                | Self::CacheRemove { .. }
        )
    }
}

/// An assignment that the leader made before the entry that makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ahead {
    /// The token that the task got: the next one of the state that the leader saw.
    pub token: Token,
    /// Who got the task.
    pub executor: ExecutorKey,
}

/// Finished tasks that leave a session. The leader found them in its rows; the rows of what has ended never change, so
/// what it found is true on every node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trim {
    /// The session.
    pub session: SessionKey,
    /// Its `done_from` when this was planned.
    pub from: Position,
    /// Its `done_from` from now on: what ended up to here has left.
    pub to: Position,
    /// The tasks that ended after `from` and up to `to`: first and last of each range, in order.
    pub tasks: Vec<(TaskNo, TaskNo)>,
    /// Submits of which no task is left: first and last task of each range of neighbours, in order.
    pub submits: Vec<(TaskNo, TaskNo)>,
    /// What all these rows counted for.
    pub bytes: u64,
    /// When the youngest of the tasks ended.
    pub newest: ClusterMs,
    /// None of the tasks that stay ended before this time.
    pub oldest_left: ClusterMs,
}

/// Tasks to add.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submit {
    /// The session.
    pub session: SessionId,
    /// Their inputs.
    pub inputs: Inputs,
    /// Asked for all of them alike.
    pub options: TaskOptions,
    /// Makes the submit repeatable across client ids: the same key gives the same tasks.
    pub idempotency_key: Option<[u8; 16]>,
}

/// Inputs of the tasks of one submit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Inputs {
    /// One task per element; `None` is a task without input, which a service can tell from an empty one.
    Each(Vec<Option<Payload>>),
    /// `count` tasks that share one input: one row, one small entry, however many.
    Array { count: u64, input: Option<Payload> },
}

impl Inputs {
    /// Number of tasks.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            Self::Each(inputs) => inputs.len() as u64,
            Self::Array { count, .. } => *count,
        }
    }
}

/// A worker's first message on a stream: who it is and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Its configured name.
    pub node: NodeName,
    /// This life of the worker.
    pub incarnation: Incarnation,
    /// Grows with every Hello of an incarnation.
    pub hello: HelloNo,
    /// Host name and boot id: the same process host may take its name over from a predecessor at once.
    pub host: Host,
    /// What it can give to executors.
    pub capacity: Resources,
    /// Shims it can run.
    pub shims: Vec<Shim>,
    /// The highest token it knew when this was composed: what was assigned later is sent again.
    pub seen: Token,
    /// Executors it runs.
    pub executors: Vec<HeldExecutor>,
    /// Tasks it holds: queued, running, or done and not yet recorded.
    pub tokens: Vec<Token>,
}

/// The machine a worker runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Host name, for display.
    pub name: String,
    /// Changes with every boot.
    pub boot_id: String,
    /// Processor architecture, for display.
    pub arch: String,
    /// Operating system, for display.
    pub os: String,
}

/// An executor as its worker sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldExecutor {
    /// Its key.
    pub executor: ExecutorKey,
    /// The session it was last told to enter.
    pub session: SessionKey,
    /// Whether the service has entered that session.
    pub ready: bool,
    /// What it holds.
    pub resources: Resources,
    /// Its attributes, complete.
    pub attributes: Vec<Vec<u8>>,
}

/// Keys that an executor publishes (a data set it holds, a model it has loaded); tasks may ask for them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Added.
    pub publish: Vec<Vec<u8>>,
    /// Removed.
    pub retract: Vec<Vec<u8>>,
}

impl Attributes {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.publish.is_empty() && self.retract.is_empty()
    }
}

/// The end of one task, reported by its worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// What it was assigned under.
    pub token: Token,
    /// How it ended.
    pub outcome: Outcome,
    /// How long the service worked on it, in microseconds.
    pub ran_us: u64,
    /// What the executor publishes or retracts with it.
    pub attributes: Attributes,
}

/// How a task ended, in the words of its service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Well.
    Succeed { output: Option<Payload>, message: Option<String> },
    /// Badly. It is tried again only if its session, its application or the cluster says so.
    Failed { output: Option<Payload>, message: Option<String> },
}

impl Outcome {
    /// The same within the limits of what is kept: a longer message is cut, and an output that no client could be given
    /// is a failure that says so.
    ///
    /// Both sides of the log call it. The hub does so that a too large output is not copied to every coordinator's disk
    /// first; apply does because what it records must be readable whoever proposed it.
    #[must_use]
    pub fn bounded(self) -> Self {
        let (Self::Succeed { output, .. } | Self::Failed { output, .. }) = &self;
        let bytes = output.as_ref().map_or(0, Payload::len);
        let max = limits::TASK_PAYLOAD_BYTES_MAX;
        if bytes > max {
            let why = format!("the output has {bytes} bytes, at most {max} are allowed; give larger data by reference");
            return Self::Failed { output: None, message: Some(why) };
        }
        match self {
            Self::Succeed { output, message } => Self::Succeed { output, message: message.map(kept_text) },
            Self::Failed { output, message } => Self::Failed { output, message: message.map(kept_text) },
        }
    }
}

/// Why the lease of a worker is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LeaseEnd {
    /// Nothing was heard of it for too long.
    RanOut,
    /// It said goodbye: nothing of it runs any more.
    Goodbye,
}

/// Why an executor is gone without having been told to stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureCause {
    /// It never entered its session. The codes are published: 10 installation, 11 the shim, 12 `OnSessionEnter`.
    Bind { return_code: i32, message: String },
    /// It had entered; then the service died or stopped answering.
    Crashed { message: String },
}

/// Why a session gets no executor although it wants one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WaitReason {
    /// No worker is attached.
    NoWorkers,
    /// No attached worker runs this kind of shim.
    NoShim { shim: Shim },
    /// No attached worker is large enough, even when empty.
    TooLarge { resources: Resources },
    /// Everything that fits is in use.
    Busy,
    /// The application's `max_instances` is reached by all its sessions together.
    AppLimit { max_instances: u32 },
    /// Fewer executors fit than `batch_size` asks for.
    Gang { batch_size: u32, possible: u32 },
    /// Its executors failed to bind too often.
    BindFailures { failures: u32 },
    /// A session of higher priority is served first.
    Priority { priority: u32 },
}

impl Payloads for Batch {
    fn visit_payloads(&mut self, visit: &mut dyn FnMut(&mut Payload)) {
        self.items.visit_payloads(visit);
    }
}

impl Payloads for Item {
    fn visit_payloads(&mut self, visit: &mut dyn FnMut(&mut Payload)) {
        self.command.visit_payloads(visit);
    }
}

impl Payloads for Command {
    fn visit_payloads(&mut self, visit: &mut dyn FnMut(&mut Payload)) {
        match self {
            Self::Create { spec, .. } => spec.visit_payloads(visit),
            Self::Open { spec: Some(spec), .. } => spec.visit_payloads(visit),
            Self::Submit(submit) | Self::Lone { submit, .. } => submit.inputs.visit_payloads(visit),
            Self::Complete { done, .. } => done.visit_payloads(visit),
            Self::Once { command, .. } => command.visit_payloads(visit),
            _ => {}
        }
    }
}

impl Payloads for Inputs {
    fn visit_payloads(&mut self, visit: &mut dyn FnMut(&mut Payload)) {
        match self {
            Self::Each(inputs) => inputs.visit_payloads(visit),
            Self::Array { input, .. } => input.visit_payloads(visit),
        }
    }
}

impl Payloads for Completion {
    fn visit_payloads(&mut self, visit: &mut dyn FnMut(&mut Payload)) {
        self.outcome.visit_payloads(visit);
    }
}

impl Payloads for Outcome {
    fn visit_payloads(&mut self, visit: &mut dyn FnMut(&mut Payload)) {
        match self {
            Self::Succeed { output, .. } | Self::Failed { output, .. } => output.visit_payloads(visit),
        }
    }
}
