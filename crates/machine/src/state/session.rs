//! A session: tasks of one application and the executors that serve it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use flame_types::{
    AppName, AppSpec, ClusterMs, ExecutorKey, Position, RetryLimits, SessionId, SessionKey, SessionSpec, SessionState,
    TaskNo, Token, WallMs, limits,
};
use serde::{Deserialize, Serialize};

use super::{Asker, Pending, Place, Rival, Turn};
use crate::command::WaitReason;
use crate::config::ClusterConfig;
use crate::row::IdempotencyRow;

/// What its user asked for. Written once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSpecRow {
    /// The id its client chose.
    pub id: SessionId,
    /// The specification with defaults filled in, without the common data: those lie in a bulk row of their own.
    pub spec: SessionSpec,
    /// Length of the common data; `None` when there are none.
    pub common_data_bytes: Option<u64>,
    /// When it was made.
    pub created: WallMs,
}

/// What changes all the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// Open, Suspending or Suspended. (A closed session is a [`ClosedRow`].)
    pub state: SessionState,
    /// The number of its next task.
    pub next_task: TaskNo,
    /// Pending ranges are used up to here.
    pub head: TaskNo,
    /// Tasks that ended well.
    pub succeed: u64,
    /// Tasks that ended badly.
    pub failed: u64,
    /// Tasks that were cancelled.
    pub cancelled: u64,
    /// Executors that failed to bind since the last that did.
    pub bind_failures: u32,
    /// Services that died since the last task that was completed.
    pub crashes: u32,
    /// No new executor before this time.
    pub not_before: ClusterMs,
    /// Why it waits for executors, as the leader found last.
    pub wait: Option<WaitReason>,
    /// Since when it has tasks that have not ended and no executor at all.
    pub waits_since: Option<ClusterMs>,
    /// Since when it holds some executors, but fewer than its gang needs.
    pub gang_short_since: Option<ClusterMs>,
    /// Times its gang was given back since it was last complete.
    pub gang_failures: u32,
    /// What ended up to here has left. Never decreases.
    pub done_from: Position,
    /// Finished tasks that have left.
    pub trimmed: u64,
    /// What the rows of its submits and finished tasks count for.
    pub kept_bytes: u64,
    /// None of its finished tasks ended before this time, but for those that have left.
    pub oldest_done: ClusterMs,
}

/// Something worth telling the user about a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionEvent {
    /// Published code.
    pub code: i32,
    /// What happened.
    pub message: String,
    /// When.
    pub at: WallMs,
}

impl SessionEvent {
    /// Published code: an executor could not bind.
    pub const BIND_FAILED: i32 = 1001;
    /// Published code: it happened too often.
    pub const BIND_LIMIT: i32 = 1002;
}

/// A closed session that is remembered: its id is not used again while it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedRow {
    /// Its key.
    pub key: SessionKey,
    /// Its id.
    pub id: SessionId,
    /// What its user asked for, without common data and without secrets.
    pub spec: SessionSpec,
    /// Length of the common data; `None` when there are none.
    pub common_data_bytes: Option<u64>,
    /// When it was made.
    pub created: WallMs,
    /// When it was closed.
    pub closed: WallMs,
    /// The same in cluster time: the oldest leave first.
    pub closed_at: ClusterMs,
    /// Tasks it ever had.
    pub tasks: u64,
    /// Tasks that ended well.
    pub succeed: u64,
    /// Tasks that ended badly.
    pub failed: u64,
    /// Tasks that were cancelled.
    pub cancelled: u64,
    /// Its events.
    pub events: VecDeque<SessionEvent>,
    /// What ended up to here left while it was open.
    pub done_from: Position,
    /// Finished tasks that left while it was open.
    pub trimmed: u64,
    /// What its rows count for, common data included.
    pub kept_bytes: u64,
}

/// What holds for a session, its own wishes first, then those of its application, then those of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Most executors it may have.
    pub max_instances: u32,
    /// How often what is tried again.
    pub retry: RetryLimits,
    /// Its tasks fail when they run longer, in milliseconds, unless they say otherwise.
    pub task_timeout_ms: Option<u64>,
}

impl Terms {
    /// The terms of a session.
    #[must_use]
    pub fn of(spec: &SessionSpec, app: &AppSpec, config: &ClusterConfig) -> Self {
        Self {
            max_instances: spec.max_instances.unwrap_or(u32::MAX).min(app.max_instances),
            retry: spec.retry.or(app.retry.or(config.retry)),
            task_timeout_ms: spec.task_timeout_ms.or(app.task_timeout_ms),
        }
    }
}

/// A session that is not closed, in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its key.
    pub key: SessionKey,
    /// What its user asked for.
    pub asked: SessionSpecRow,
    /// What changes.
    pub row: SessionRow,
    /// Its events, the last one last, at most [`limits::SESSION_EVENTS_MAX`].
    pub events: VecDeque<SessionEvent>,
    /// Tasks that wait.
    pub pending: Pending,
    /// Submits that may be repeated.
    pub idempotency: BTreeMap<[u8; 16], IdempotencyRow>,
    /// The same by their first task: the oldest leave first. Derived.
    pub idempotency_order: BTreeMap<TaskNo, [u8; 16]>,
    /// Tasks given to executors, without those that have ended meanwhile. Derived.
    pub assigned: BTreeMap<TaskNo, Token>,
    /// Those of them that are shown as Running. Derived.
    pub running: u64,
    /// Tasks, waiting or given out, one of which may have killed a service ([`Story::suspect`]). While there are any, each
    /// executor has one task at a time. Derived.
    ///
    /// [`Story::suspect`]: super::Story::suspect
    pub suspects: BTreeSet<TaskNo>,
    /// Executors that are placed, starting or serving. Derived.
    pub executors: BTreeSet<ExecutorKey>,
    /// Those of them that retire. Derived.
    pub retiring: u32,
    /// Ready executors with room, the least loaded first. Derived.
    pub free: BTreeSet<Place>,
    /// Executors that could be given a task if they had room. Derived.
    pub ready: u32,
    /// Tasks behind others that belong to the first portion of their executors. Derived.
    pub portioned: u64,
    /// Executors that have been idle for longer than the delay of its application. Derived.
    pub overdue: u32,
    /// What holds for it. Derived.
    pub terms: Terms,
    /// Executors it wants. Derived.
    pub demand: u32,
    /// The same, without what the attached workers could not hold anyway: the planner runs again when this moves, and
    /// not with each of a million tasks. Derived.
    pub useful: u32,
    /// Its place among those that wait for a single executor. Derived.
    pub turn: Option<Turn>,
    /// Its place among those that only the planner can help. Derived.
    pub rival: Option<Rival>,
    /// Whether it is listed as having executors to spare. Derived.
    pub is_spare: bool,
    /// When it may get executors again. Derived.
    pub placement_timer: Option<ClusterMs>,
    /// When its gang gives up waiting. Derived.
    pub gang_timer: Option<ClusterMs>,
}

impl SessionRow {
    /// A new session without tasks.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: SessionState::Open,
            next_task: TaskNo::FIRST,
            head: TaskNo::FIRST,
            succeed: 0,
            failed: 0,
            cancelled: 0,
            bind_failures: 0,
            crashes: 0,
            not_before: ClusterMs(0),
            wait: None,
            waits_since: None,
            gang_short_since: None,
            gang_failures: 0,
            done_from: Position::START,
            trimmed: 0,
            kept_bytes: 0,
            oldest_done: ClusterMs(0),
        }
    }

    /// Tasks that have ended, those that have left included.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.succeed + self.failed + self.cancelled
    }

    /// Finished tasks whose rows are there.
    #[must_use]
    pub fn kept_tasks(&self) -> u64 {
        self.ended() - self.trimmed
    }
}

impl Default for SessionRow {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// A session without tasks and executors.
    #[must_use]
    pub fn new(key: SessionKey, asked: SessionSpecRow, row: SessionRow, terms: Terms) -> Self {
        Self {
            key,
            asked,
            row,
            events: VecDeque::new(),
            pending: Pending::default(),
            idempotency: BTreeMap::new(),
            idempotency_order: BTreeMap::new(),
            assigned: BTreeMap::new(),
            running: 0,
            suspects: BTreeSet::new(),
            executors: BTreeSet::new(),
            retiring: 0,
            free: BTreeSet::new(),
            ready: 0,
            portioned: 0,
            overdue: 0,
            terms,
            demand: 0,
            useful: 0,
            turn: None,
            rival: None,
            is_spare: false,
            placement_timer: None,
            gang_timer: None,
        }
    }

    /// Its application.
    #[must_use]
    pub fn app(&self) -> &AppName {
        &self.asked.spec.application
    }

    /// Itself, as workers look at it.
    #[must_use]
    pub fn asker(&self) -> Asker<'_> {
        Asker { session: self.key, app: self.app(), is_gang: self.batch_size() > 1 }
    }

    /// Executors it needs before a task may start.
    #[must_use]
    pub fn batch_size(&self) -> u32 {
        self.asked.spec.batch_size.max(1)
    }

    /// Tasks that are shown as Pending: waiting, or queued behind a running one.
    #[must_use]
    pub fn shown_pending(&self) -> u64 {
        self.pending.count() + self.assigned.len() as u64 - self.running
    }

    /// Tasks that have not ended.
    #[must_use]
    pub fn work(&self) -> u64 {
        self.pending.count() + self.assigned.len() as u64
    }

    /// Executors it keeps unless something changes.
    #[must_use]
    pub fn staying(&self) -> u32 {
        u32::try_from(self.executors.len()).unwrap_or(u32::MAX).saturating_sub(self.retiring)
    }

    /// Executors it wants: one per task that has not ended, within its limits, and a whole gang or none.
    #[must_use]
    pub fn wanted(&self) -> u32 {
        if self.row.state != SessionState::Open {
            return 0;
        }
        let work = u32::try_from(self.work()).unwrap_or(u32::MAX);
        let wanted = work.max(self.asked.spec.min_instances).min(self.terms.max_instances);
        if wanted == 0 { 0 } else { wanted.max(self.batch_size()) }
    }

    /// Tasks with executors that are shown as Pending.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.assigned.len() as u64 - self.running
    }

    /// Executors with nothing to do that could be given a task.
    pub fn idle(&self) -> impl DoubleEndedIterator<Item = ExecutorKey> + '_ {
        self.free.range(..Place::FIRST_BUSY).map(|place| place.executor)
    }

    /// Whether tasks are queued behind others while an executor is idle and nothing else waits for it.
    #[must_use]
    pub fn is_uneven(&self) -> bool {
        let is_ready = self.pending.count() == 0 && self.ready >= self.batch_size();
        is_ready && self.queued() > 0 && self.idle().next().is_some()
    }

    /// Of those tasks, how many more wait than those that came together with the one that runs before them.
    #[must_use]
    pub fn stuck_tasks(&self) -> u64 {
        if self.is_uneven() { self.queued().saturating_sub(self.portioned) } else { 0 }
    }

    /// Whether any of the tasks `first ..= last` has not ended.
    #[must_use]
    pub fn any_live(&self, first: TaskNo, last: TaskNo) -> bool {
        self.assigned.range(first..=last).next().is_some() || self.pending.any(self.row.head, first, last)
    }

    /// Adds an event; the oldest leaves when there are too many.
    pub fn add_event(&mut self, event: SessionEvent) {
        if self.events.len() >= limits::SESSION_EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// What is remembered of it once it is closed.
    #[must_use]
    pub fn closed_row(&self, closed: WallMs, closed_at: ClusterMs) -> ClosedRow {
        let mut spec = self.asked.spec.clone();
        spec.tokens.clear();
        ClosedRow {
            key: self.key,
            id: self.asked.id.clone(),
            spec,
            common_data_bytes: self.asked.common_data_bytes,
            created: self.asked.created,
            closed,
            closed_at,
            tasks: self.row.next_task.0 - 1,
            succeed: self.row.succeed,
            failed: self.row.failed,
            cancelled: self.row.cancelled,
            events: self.events.clone(),
            done_from: self.row.done_from,
            trimmed: self.row.trimmed,
            kept_bytes: self.row.kept_bytes + self.asked.common_data_bytes.unwrap_or(0),
        }
    }
}
