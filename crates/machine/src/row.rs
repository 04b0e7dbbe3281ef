//! Rows: the replicated state as it lies on disk. The machine says which rows an entry changes; consensus glue writes
//! them together with the applied index in one batch. **Memory is a function of the live rows** ([`Space::Live`]):
//! `load(rows(state)) == state`. Bulk rows (inputs, finished tasks) are never held in memory.
//!
//! A key is the table's byte, then big-endian integers or names, so that rows of a session share a prefix and
//! numeric order is byte order.

use flame_types::{
    AppName, ClientId, ClusterMs, EventNo, ExecutorKey, Generation, LogIndex, NodeName, ObjectKey, Payload, Payloads,
    Position, RequestNo, RetryCause, Seq, SessionId, SessionKey, TaskNo, TaskOptions, TaskState, Token, WallMs,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};

use crate::cluster_event::ClusterEventRow;
use crate::state::{
    AppRow, AssignmentRow, CacheRow, ClientRow, ClosedRow, ClusterRow, DoomedRow, ExecutorRow, NodeRow, ObjectRow,
    PendingTask, RepliesRow, RequestRow, SessionEvent, SessionRow, SessionSpecRow,
};

/// Where a row lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// Loaded into memory at start; small.
    Live,
    /// On disk only; grows with the tasks.
    Bulk,
}

/// The kinds of rows. The number is the first byte of the key: append, never reuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// One row: cluster time, counters, configuration.
    Cluster = 1,
    /// By name.
    App = 2,
    /// By session key: what its user asked for, and its id. Written once.
    SessionSpec = 3,
    /// By session key: counters and state. Written with every change.
    Session = 4,
    /// By session key and task: pending tasks with options, a history or a not-before time.
    Pending = 5,
    /// By executor key: the executor with its queue. One row, however many short tasks wait on it: what an entry ends and
    /// what it assigns in their place are one write, and both change the executor as well. (6 was once the queue alone.)
    Executor = 7,
    /// By name.
    Node = 8,
    /// By client id: the client with the kept replies of its newest entry. They go when the next command says that they
    /// have arrived, which is when this row is written anyway.
    Client = 9,
    /// By client id and first sequence number: the kept replies of one entry that is not the client's newest.
    Replies = 10,
    /// By session id: closed sessions that are remembered.
    Closed = 11,
    /// By session key and idempotency key. In memory, since apply must answer from it; capped per session.
    Idempotency = 12,
    /// By session key and first task: pending tasks that never ran and have no options.
    PendingRange = 13,
    /// By executor key: the keys it publishes.
    Attributes = 14,
    /// By session key: events of the session as a whole.
    SessionEvents = 15,
    /// By number: the answer to a change that carried a request id. In memory, since apply must answer from it; bounded.
    Request = 16,
    /// By name: a node of the object cache.
    Cache = 17,
    /// By key: where a cached object lies.
    Object = 18,
    /// By the beginning of the keys that are meant: objects that are deleted and whose entries leave in pieces.
    Doomed = 19,
    /// By session key and first task: the inputs of one submit.
    Inputs = 32,
    /// By session key and task: a finished task.
    Finished = 33,
    /// By session key, generation and log index: tasks that one entry finished; what a resuming watch scans.
    Done = 34,
    /// By session key and first task: tasks cancelled together.
    CancelledRange = 35,
    /// By session key: its common data.
    CommonData = 36,
    /// By number: what happened in the cluster.
    ClusterEvent = 37,
}

impl Table {
    /// Every table, live ones first.
    pub const ALL: &'static [Table] = &[
        Table::Cluster,
        Table::App,
        Table::SessionSpec,
        Table::Session,
        Table::Pending,
        Table::Executor,
        Table::Node,
        Table::Client,
        Table::Replies,
        Table::Closed,
        Table::Idempotency,
        Table::PendingRange,
        Table::Attributes,
        Table::SessionEvents,
        Table::Request,
        Table::Cache,
        Table::Object,
        Table::Doomed,
        Table::Inputs,
        Table::Finished,
        Table::Done,
        Table::CancelledRange,
        Table::CommonData,
        Table::ClusterEvent,
    ];

    /// Tables of bulk rows that go with their session.
    pub const OF_SESSION: &'static [Table] =
        &[Table::Inputs, Table::Finished, Table::Done, Table::CancelledRange, Table::CommonData];

    /// The table of each byte that stands for one.
    const OF_BYTE: [Option<Table>; 256] = {
        let mut tables = [None; 256];
        let mut place = 0;
        while place < Self::ALL.len() {
            tables[Self::ALL[place] as usize] = Some(Self::ALL[place]);
            place += 1;
        }
        tables
    };

    /// The table of a key's first byte.
    #[must_use]
    pub fn of_key(key: &[u8]) -> Option<Table> {
        Self::OF_BYTE[usize::from(*key.first()?)]
    }

    /// Whether its rows are held in memory.
    #[must_use]
    pub fn space(self) -> Space {
        if (self as u8) < Table::Inputs as u8 { Space::Live } else { Space::Bulk }
    }
}

/// A table and three numbers: what all keys but those with names have at most.
const KEY_BYTES_EXPECTED: usize = 1 + 3 * size_of::<u64>();

/// Key of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey(pub Vec<u8>);

impl RowKey {
    fn of(table: Table) -> Self {
        let mut key = Vec::with_capacity(KEY_BYTES_EXPECTED);
        key.push(table as u8);
        Self(key)
    }

    fn text(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// The one cluster row.
    #[must_use]
    pub fn cluster() -> Self {
        Self::of(Table::Cluster)
    }

    /// An application.
    #[must_use]
    pub fn app(name: &AppName) -> Self {
        Self::of(Table::App).text(name.as_str())
    }

    /// A row of a session in one of the tables by session key alone.
    #[must_use]
    pub fn session(table: Table, session: SessionKey) -> Self {
        Self::of(table).number(session.0)
    }

    /// A row of a session and a task (or the first of several).
    #[must_use]
    pub fn task(table: Table, session: SessionKey, task: TaskNo) -> Self {
        Self::of(table).number(session.0).number(task.0)
    }

    /// An executor.
    #[must_use]
    pub fn executor(executor: ExecutorKey) -> Self {
        Self::of(Table::Executor).number(executor.0)
    }

    /// The keys an executor publishes.
    #[must_use]
    pub fn attributes(executor: ExecutorKey) -> Self {
        Self::of(Table::Attributes).number(executor.0)
    }

    /// A worker.
    #[must_use]
    pub fn node(name: &NodeName) -> Self {
        Self::of(Table::Node).text(name.as_str())
    }

    /// A client.
    #[must_use]
    pub fn client(client: ClientId) -> Self {
        Self::of(Table::Client).number(client.0)
    }

    /// Replies of a client from `first` on.
    #[must_use]
    pub fn replies(client: ClientId, first: Seq) -> Self {
        Self::of(Table::Replies).number(client.0).number(first.0)
    }

    /// A closed session.
    #[must_use]
    pub fn closed(id: &SessionId) -> Self {
        Self::of(Table::Closed).text(id.as_str())
    }

    /// Tasks finished by one entry.
    #[must_use]
    pub fn done(session: SessionKey, at: Position) -> Self {
        Self::of(Table::Done).number(session.0).number(u64::from(at.generation.0)).number(at.index.0)
    }

    /// The position of a key that [`RowKey::done`] made.
    #[must_use]
    pub fn done_position(&self) -> Option<Position> {
        let generation = Generation(u32::try_from(self.number_at(1)?).ok()?);
        Some(Position { generation, index: LogIndex(self.number_at(2)?) })
    }

    /// An idempotency key of a session.
    #[must_use]
    pub fn idempotency(session: SessionKey, key: &[u8; 16]) -> Self {
        let mut row = Self::of(Table::Idempotency).number(session.0);
        row.0.extend_from_slice(key);
        row
    }

    /// All rows of a session in one table: `from ..` this key's successor.
    #[must_use]
    pub fn session_range(table: Table, session: SessionKey) -> (Self, Self) {
        (Self::session(table, session), Self::session(table, session.next()))
    }

    /// Something that happened in the cluster.
    #[must_use]
    pub fn cluster_event(number: EventNo) -> Self {
        Self::of(Table::ClusterEvent).number(number.0)
    }

    /// The answer to a change that carried a request id.
    #[must_use]
    pub fn request(number: RequestNo) -> Self {
        Self::of(Table::Request).number(number.0)
    }

    /// A node of the object cache.
    #[must_use]
    pub fn cache(name: &NodeName) -> Self {
        Self::of(Table::Cache).text(name.as_str())
    }

    /// A cached object.
    #[must_use]
    pub fn object(key: &ObjectKey) -> Self {
        Self::of(Table::Object).text(key.as_str())
    }

    /// Objects that are deleted, by the beginning of their keys.
    #[must_use]
    pub fn doomed(from: &str) -> Self {
        Self::of(Table::Doomed).text(from)
    }

    /// The text after the byte of the table, of a key that ends with a text.
    #[must_use]
    pub fn text_after_table(&self) -> Option<&str> {
        std::str::from_utf8(self.0.get(1..)?).ok()
    }

    /// The number at a place among the numbers of the key, 0 being the first.
    #[must_use]
    pub fn number_at(&self, place: usize) -> Option<u64> {
        let from = 1 + place * size_of::<u64>();
        let bytes = self.0.get(from..from + size_of::<u64>())?;
        Some(u64::from_be_bytes(bytes.try_into().expect("the slice has eight bytes")))
    }

    /// The table it belongs to.
    ///
    /// # Panics
    /// When the key was not made by this type.
    #[must_use]
    pub fn table(&self) -> Table {
        Table::of_key(&self.0).expect("row keys begin with the byte of their table")
    }
}

/// A row with its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Row {
    /// See [`Table::Cluster`]; and so on for each.
    Cluster(Box<ClusterRow>),
    App(Box<AppRow>),
    SessionSpec(Box<SessionSpecRow>),
    Session(Box<SessionRow>),
    Pending(PendingTask),
    /// With its assignments in their order.
    Executor(Box<ExecutorRow>, Vec<(Token, AssignmentRow)>),
    Node(Box<NodeRow>),
    /// With its newest kept replies, and the number of the first of them.
    Client(ClientRow, Option<(Seq, RepliesRow)>),
    Replies(RepliesRow),
    Closed(Box<ClosedRow>),
    Inputs(InputsRow),
    Finished(Box<FinishedRow>),
    Done(DoneRow),
    CancelledRange(CancelledRangeRow),
    Idempotency(IdempotencyRow),
    /// The last task of the range.
    PendingRange(TaskNo),
    Attributes(BTreeSet<Vec<u8>>),
    SessionEvents(VecDeque<SessionEvent>),
    CommonData(Payload),
    ClusterEvent(Box<ClusterEventRow>),
    Request(Box<RequestRow>),
    Cache(Box<CacheRow>),
    Object(Box<ObjectRow>),
    Doomed(Box<DoomedRow>),
}

impl Payloads for Row {
    fn visit_payloads(&mut self, visit: &mut dyn FnMut(&mut Payload)) {
        match self {
            Self::CommonData(data) => data.visit_payloads(visit),
            Self::Inputs(row) => row.inputs.visit_payloads(visit),
            Self::Finished(row) => row.output.visit_payloads(visit),
            _ => {}
        }
    }
}

/// Takes changes of rows, in order.
pub trait RowSink {
    /// One more.
    fn take(&mut self, change: RowChange);
}

impl RowSink for Vec<RowChange> {
    fn take(&mut self, change: RowChange) {
        self.push(change);
    }
}

/// One change of the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// Writes a row.
    Put(RowKey, Row),
    /// Removes a row.
    Delete(RowKey),
    /// Removes the rows `from .. to`.
    DeleteRange(RowKey, RowKey),
}

/// The inputs of one submit: tasks `first ..` of a session, `first` being in the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputsRow {
    /// When they were submitted.
    pub created: WallMs,
    /// The inputs.
    pub inputs: crate::command::Inputs,
    /// Options of all of them alike.
    pub options: TaskOptions,
}

/// A task that has ended. Never changes again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishedRow {
    /// Succeed, Failed or Cancelled.
    pub state: TaskState,
    /// What the service gave.
    pub output: Option<Payload>,
    /// What it said; for a failure the reason.
    pub message: Option<String>,
    /// When it ended.
    pub finished: WallMs,
    /// How long the service worked on it, in microseconds; 0 when it did not say.
    pub ran_us: u64,
    /// Its starts, the last one last, at most [`flame_types::limits::ATTEMPTS_KEPT_MAX`].
    pub attempts: Vec<AttemptRow>,
}

/// Tasks that one entry finished.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoneRow {
    /// Cluster time of the entry: their age is counted from it.
    pub at: ClusterMs,
    /// What their rows of [`Table::Finished`] count for: [`FinishedRow::kept_bytes`] of each.
    pub bytes: u64,
    /// Their numbers, in order.
    pub tasks: Vec<TaskNo>,
}

/// What a row counts for beside what users put into it, in bytes: tasks without payloads are not free of cost.
pub const ROW_BYTES: u64 = 64;

impl InputsRow {
    /// What the row counts for in the limits of retention.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        let given = match &self.inputs {
            crate::command::Inputs::Each(inputs) => inputs.iter().flatten().map(|input| input.len() as u64).sum(),
            crate::command::Inputs::Array { input, .. } => input.as_ref().map_or(0, |input| input.len() as u64),
        };
        ROW_BYTES + given + self.options.affinity.iter().map(|key| key.len() as u64).sum::<u64>()
    }
}

impl FinishedRow {
    /// What the row counts for in the limits of retention.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        let output = self.output.as_ref().map_or(0, Payload::len);
        let message = self.message.as_ref().map_or(0, String::len);
        let losses = self.attempts.iter().filter_map(|attempt| attempt.lost.as_ref());
        ROW_BYTES + (output + message + losses.map(|lost| lost.why.len()).sum::<usize>()) as u64
    }
}

/// One start of a task.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AttemptRow {
    /// 1 for the first.
    pub attempt: u32,
    /// When it was given to an executor to run.
    pub started: WallMs,
    /// On which worker.
    pub node: NodeName,
    /// How it came to nothing; `None` for the one that gave the result or still runs.
    pub lost: Option<AttemptLoss>,
}

/// The end of a start that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AttemptLoss {
    /// When it was found lost: from then on the task was Pending again, or had failed.
    pub at: WallMs,
    /// Why.
    pub why: String,
    /// The same as it is counted.
    pub cause: RetryCause,
}

/// Tasks `first ..= last` cancelled together before they ran; `first` is in the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelledRangeRow {
    /// The last of them.
    pub last: TaskNo,
    /// When.
    pub finished: WallMs,
}

/// What a submit with this idempotency key made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyRow {
    /// The first of its tasks.
    pub first: TaskNo,
    /// Their number.
    pub count: u64,
    /// Fingerprint of the submit: the same key for another one is refused.
    pub hash: u32,
}
