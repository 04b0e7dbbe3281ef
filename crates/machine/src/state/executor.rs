//! An executor: one service process on one worker.

use std::collections::{BTreeSet, VecDeque};

use flame_types::{
    AppName, ClusterMs, Epoch, ExecutorKey, ExecutorState, NodeName, Resources, SessionKey, Token, WallMs,
};
use serde::{Deserialize, Serialize};

/// Work that an executor should have queued to hide the way to the leader and back, in microseconds.
const PREFETCH_TARGET_US: u64 = 20_000;

/// Work that is given to one executor before the next is looked at, in microseconds: about what the way to one more
/// worker costs. Tasks shorter than that are given in portions, so that a thousand of them do not make a thousand trips.
const PORTION_US: u64 = 250;

/// The place of an executor with room among those of its session: the first gets the next task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Whole portions of work it has.
    pub portions: u32,
    /// It has something to do. What comes later is not put behind the rest of a portion while others are idle: who knows
    /// what the task is that runs.
    pub is_busy: bool,
    /// The executor.
    pub executor: ExecutorKey,
}

impl Place {
    /// What stands behind all idle executors and before all others.
    pub const FIRST_BUSY: Self = Self { portions: 0, is_busy: true, executor: ExecutorKey(0) };
}

/// An executor as it lies on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutorRow {
    /// Its key.
    pub key: ExecutorKey,
    /// The worker it runs on.
    pub node: NodeName,
    /// The session it serves or served last.
    pub session: SessionKey,
    /// The application whose service it runs; `None` for one that a worker reported and nobody knew.
    pub app: Option<AppName>,
    /// The edition of that application.
    pub edition: u64,
    /// What it holds of its worker.
    pub resources: Resources,
    /// Published state.
    pub state: ExecutorState,
    /// Bumped by every assignment and change of session: a Release planned before is refused.
    pub epoch: Epoch,
    /// Tasks it runs at a time.
    pub slots: u32,
    /// Bound, but gets no new task and is unbound once its queue is empty.
    pub retiring: bool,
    /// Its worker runs it no more; only results it left behind keep it here.
    pub gone: bool,
    /// Since when its queue is empty.
    pub idle_since: ClusterMs,
    /// Moving mean of how long its tasks took, in microseconds.
    pub ran_us_mean: u64,
    /// Tasks it has completed.
    pub completed: u64,
    /// When it was placed.
    pub created: WallMs,
}

/// An executor in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executor {
    /// What lies on disk.
    pub row: ExecutorRow,
    /// Keys it publishes. A row of its own, since they may be many and change seldom.
    pub attributes: BTreeSet<Vec<u8>>,
    /// Its assignments in order. Derived: tokens grow.
    pub queue: VecDeque<Token>,
    /// Whether it has one task at a time, since its session has suspects. Derived.
    pub is_careful: bool,
    /// The place at which its session lists it as having room. Derived.
    pub listed: Option<Place>,
    /// Whether its session counts it as ready. Derived.
    pub ready: bool,
    /// Tasks behind the running ones that belong to its first portion, as its session counts them. Derived.
    pub portioned: u32,
    /// Whether its session counts it as idle for longer than the delay of its application. Derived.
    pub overdue: bool,
    /// When it has been idle for the delay of its application. Derived.
    pub idle_timer: Option<ClusterMs>,
}

impl Executor {
    /// An executor without assignments.
    #[must_use]
    pub fn new(row: ExecutorRow) -> Self {
        Self {
            row,
            attributes: BTreeSet::new(),
            queue: VecDeque::new(),
            is_careful: false,
            listed: None,
            ready: false,
            portioned: 0,
            overdue: false,
            idle_timer: None,
        }
    }

    /// Whether it belongs to its session: placed, starting or serving.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        matches!(self.row.state, ExecutorState::Void | ExecutorState::Binding | ExecutorState::Bound)
    }

    /// Whether it gives its resources back as soon as it can.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.row.retiring || matches!(self.row.state, ExecutorState::Unbinding | ExecutorState::Releasing)
    }

    /// Whether it serves a session and has nothing to do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.row.state == ExecutorState::Bound && self.queue.is_empty()
    }

    /// Tasks that may wait behind the running ones: enough short tasks to hide the way to the leader, none before the
    /// first completion and none for long tasks.
    #[must_use]
    pub fn prefetch(&self, prefetch_max: u32) -> u32 {
        if self.row.completed == 0 {
            return 0;
        }
        let depth = PREFETCH_TARGET_US / self.row.ran_us_mean.max(1);
        u32::try_from(depth).unwrap_or(u32::MAX).min(prefetch_max)
    }

    /// Tasks it may have at a time.
    #[must_use]
    pub fn room(&self, prefetch_max: u32) -> u32 {
        if self.is_careful {
            return 1;
        }
        self.row.slots.saturating_add(self.prefetch(prefetch_max))
    }

    /// Tasks that are given to it together: of very short ones as many as are worth the way, else one for each slot.
    #[must_use]
    pub fn portion(&self, prefetch_max: u32) -> u32 {
        let short = match self.row.completed {
            0 => 0,
            _ => u32::try_from(PORTION_US / self.row.ran_us_mean.max(1)).unwrap_or(u32::MAX),
        };
        short.min(self.room(prefetch_max)).max(self.row.slots).max(1)
    }

    /// Tasks that complete the portion it is at, as far as it has room.
    #[must_use]
    pub fn rest_of_portion(&self, prefetch_max: u32) -> u32 {
        let (load, portion) = (self.load(), self.portion(prefetch_max));
        (portion - load % portion).min(self.room(prefetch_max).saturating_sub(load))
    }

    /// Tasks it has.
    #[must_use]
    pub fn load(&self) -> u32 {
        u32::try_from(self.queue.len()).unwrap_or(u32::MAX)
    }

    /// Its place among those with room; `None` when it has none.
    #[must_use]
    pub fn place(&self, prefetch_max: u32) -> Option<Place> {
        let load = self.load();
        let has_room = load < self.room(prefetch_max);
        has_room.then(|| Place {
            portions: load / self.portion(prefetch_max),
            is_busy: load > 0,
            executor: self.row.key,
        })
    }

    /// Takes one more running time into the mean.
    pub fn observe(&mut self, ran_us: u64) {
        const WEIGHT: u64 = 8;
        let mean = self.row.ran_us_mean;
        self.row.ran_us_mean = if self.row.completed == 0 { ran_us } else { mean - mean / WEIGHT + ran_us / WEIGHT };
        self.row.completed += 1;
    }
}
