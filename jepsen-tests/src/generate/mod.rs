//! Workloads: what clients ask for, drawn from a seed.
//!
//! A [`Generator`] says what a client asks for next and is told what came of it; who asks, over which connection and on which
//! clock, is the business of whoever runs it. So the simulation and real processes run the same workloads.
//!
//! ```text
//! loop for each client:   generator.next(process) ──▶ Next::Do(order) ──▶ ask ──▶ generator.heard(process, …)
//! when all are Done:      heal, wait for rest, then generator.last_reads() and generator.farewell()
//! ```
//!
//! **Invariant:** no I/O, no clock, no randomness but the seed's. Each client has dice of its own, so what it does depends on
//! the seed and on what the clients heard, not on how fast the others are.
//! **Invariant:** marks, session ids and request ids are never used for two things, as a recording demands.
//!
//! | workload | asks for | made for |
//! |---|---|---|
//! | [`w1_set`] | unique tasks, then everything is read | acknowledgements that get lost |
//! | [`w2_contention`] | few tasks, read and cancelled while they run | linearizability of one task |
//! | [`w3_sessions`] | sessions from create to delete, with their results followed | lifecycles |
//! | [`w4_duplicates`] | every change several times, by way of several nodes, some much later | deduplication |
//! | [`w5_capacity`] | sessions of different sizes that come and go | conservation |
//! | [`w6_watches`] | watches that read slowly | gaps and repetitions |
//! | [`w7_long_tasks`] | tasks of a minute or two | leases across leader changes |
//! | [`w8_mixed`] | all of it, on many workers | everything at once |
//! | [`w9_members`] | the set, while members and workers come and go | membership |

mod board;
mod dice;
pub mod w1_set;
pub mod w2_contention;
pub mod w3_sessions;
pub mod w4_duplicates;
pub mod w5_capacity;
pub mod w6_watches;
pub mod w7_long_tasks;
pub mod w8_mixed;
pub mod w9_members;

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

pub use board::Board;
pub use dice::Dice;

use crate::at_rest::Nonce;
use crate::record::{Answer, Error, Nanos, Operation, Process};

/// Names a workload, as the tables of scenarios do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Workload {
    W1,
    W2,
    W3,
    W4,
    W5,
    W6,
    W7,
    W8,
    W9,
}

/// How much of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Clients that ask at the same time.
    pub clients: u32,
    /// Coordinators to begin with: 1 to this are their ids.
    pub nodes: u32,
    /// Operations of all clients together.
    pub operations: u64,
}

/// The cluster that a workload is made for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Workers.
    pub workers: u32,
    /// Slots of each.
    pub slots: u32,
}

/// What a client is to do now.
#[derive(Clone, PartialEq, Debug)]
pub enum Next {
    /// This.
    Do(Box<Order>),
    /// Nothing for so long; then ask again.
    Wait(Nanos),
    /// Nothing any more.
    Done,
}

/// Something to ask for.
#[derive(Clone, PartialEq, Debug)]
pub struct Order {
    /// Which node to ask: the remainder by the number of nodes there are now. Clients that choose for themselves ignore it.
    pub node: u64,
    /// For what.
    pub operation: Operation,
    /// What the tasks of a submit are to do, in the order of its marks.
    pub works: Vec<Work>,
    /// What a session that is made is to be like.
    pub shape: Option<Shape>,
    /// Between two pieces of news a reader of this watch takes so long.
    pub pace: Nanos,
}

/// What one task is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Work {
    /// Its mark, which goes into its input, and into its output.
    pub nonce: Nonce,
    /// How long it takes.
    pub takes: Nanos,
    /// How it ends.
    pub fate: Fate,
}

/// How a task ends, if nothing comes between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Well.
    Succeeds,
    /// The service answers with a failure.
    Fails,
    /// The service dies of it, once.
    KillsItsService,
}

/// What a session is like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Slots of each of its executors.
    pub slots: u32,
    /// Executors at most.
    pub executors_max: u32,
    /// Higher ones are served first.
    pub priority: u32,
}

/// What came of an operation.
#[derive(Clone, Copy, Debug)]
pub enum Heard<'a> {
    /// It was done.
    Ok(&'a Answer),
    /// It was certainly not done.
    Fail(&'a Error),
    /// Nobody knows.
    Info,
}

/// The rules of one workload.
trait Script: Debug + Send {
    /// What this client does next. There is always something: how much is enough is counted elsewhere.
    fn next(&mut self, board: &mut Board, client: usize) -> Next;
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 9] =
        [Self::W1, Self::W2, Self::W3, Self::W4, Self::W5, Self::W6, Self::W7, Self::W8, Self::W9];

    /// The cluster it is made for.
    #[must_use]
    pub fn setting(self) -> Setting {
        match self {
            Self::W8 => Setting { workers: 1_000, slots: 2 },
            Self::W5 => Setting { workers: 4, slots: 8 },
            _ => Setting { workers: 4, slots: 4 },
        }
    }

    /// All that its clients ask for. `prefix` begins every name, so runs on one cluster do not meet.
    ///
    /// # Panics
    /// If there are no clients or no nodes.
    #[must_use]
    pub fn generator(self, prefix: &str, seed: u64, size: Size) -> Generator {
        assert!(size.clients > 0 && size.nodes > 0, "a workload needs a client and a node");
        Generator { board: Board::new(prefix, seed, size), script: self.script(size), left: size.operations, size }
    }

    fn script(self, size: Size) -> Box<dyn Script> {
        let clients = size.clients as usize;
        match self {
            Self::W1 => Box::new(w1_set::Set),
            Self::W2 => Box::new(w2_contention::Contention),
            Self::W3 => Box::new(w3_sessions::Sessions::new(clients)),
            Self::W4 => Box::new(w4_duplicates::Duplicates::default()),
            Self::W5 => Box::new(w5_capacity::Capacity),
            Self::W6 => Box::new(w6_watches::Watches::new(clients)),
            Self::W7 => Box::new(w7_long_tasks::LongTasks),
            Self::W8 => Box::new(w8_mixed::Mixed::new(clients)),
            Self::W9 => Box::new(w9_members::Members::new(size.nodes)),
        }
    }
}

/// A workload at work.
#[derive(Debug)]
pub struct Generator {
    board: Board,
    script: Box<dyn Script>,
    left: u64,
    size: Size,
}

impl Generator {
    /// What this client does next. Clients are numbered from 0; one that goes on under a new number after an unknown outcome
    /// takes its old one and the number of clients, so that the remainder says who it is.
    pub fn next(&mut self, process: Process) -> Next {
        if self.left == 0 {
            return Next::Done;
        }
        let next = self.script.next(&mut self.board, (process.0 % self.size.clients) as usize);
        self.left -= u64::from(matches!(next, Next::Do(_)));
        next
    }

    /// What came of what this client asked for.
    pub fn heard(&mut self, operation: &Operation, heard: Heard<'_>) {
        self.board.heard(operation, heard);
    }

    /// The number under which a client goes on whose operation has an unknown outcome.
    #[must_use]
    pub fn reborn(&self, process: Process) -> Process {
        Process(process.0 + self.size.clients)
    }

    /// What is to be read on each node once everything is at rest.
    #[must_use]
    pub fn last_reads(&self) -> Vec<Order> {
        let nodes = 0..u64::from(self.size.nodes);
        let reads = nodes.flat_map(|node| {
            let lists = self.board.listable().map(|session| Operation::List { session: session.clone() });
            let operations = std::iter::once(Operation::ListSessions).chain(lists);
            operations.map(move |operation| Order::read(node, operation))
        });
        reads.collect()
    }

    /// What is to be closed after that: every session that may still be open.
    #[must_use]
    pub fn farewell(&mut self) -> Vec<Order> {
        self.board.farewell()
    }
}

impl Order {
    /// Asks this of that node.
    fn read(node: u64, operation: Operation) -> Self {
        Self { node, operation, works: Vec::new(), shape: None, pace: Nanos(0) }
    }
}
