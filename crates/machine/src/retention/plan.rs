//! How it is found which finished tasks leave.
//!
//! 1. [`due`], in the state: whether something of a session should leave, and how much.
//! 2. [`Due::draft`], in the rows: what ended first, as far as it should leave; [`Draft::submits`]: the submits it came with.
//! 3. [`settled`], in the state again: those submits of which every task has ended.
//! 4. [`Draft::finish`], in the rows again: those of which nothing is left, and the command.
//!
//! **Invariant:** the rows of step 4 are read after the state of step 3. A task that had ended by then has its row by
//! now, so a submit in which none is found but those of the draft has no task left.

use std::ops::Bound;

use flame_types::{ClusterMs, Position, SessionKey, TaskNo};

use super::limits::{keep_below, task_limits};
use crate::command::{Command, Trim};
use crate::row::DoneRow;
use crate::state::State;

/// Tasks after which a plan ends. The last entry that it takes may bring more.
pub const TRIM_TASKS_MAX: u64 = 4096;

/// Entries that a draft reads at once.
const ENTRIES_PER_READ: usize = 256;

/// What a submit's row says, without its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubmitRow {
    /// Its first task.
    pub first: TaskNo,
    /// Its last task.
    pub last: TaskNo,
    /// What the row counts for.
    pub bytes: u64,
}

/// Rows on disk, as they are now.
pub trait KeptRows {
    /// Why they cannot be read.
    type Error;

    /// What ended after a position, in order, at most `limit` entries.
    ///
    /// # Errors
    /// When the rows cannot be read.
    fn done_after(
        &self,
        session: SessionKey,
        after: Position,
        limit: usize,
    ) -> Result<Vec<(Position, DoneRow)>, Self::Error>;

    /// The submit that a task came with.
    ///
    /// # Errors
    /// When the rows cannot be read.
    fn submit_of(&self, session: SessionKey, task: TaskNo) -> Result<Option<SubmitRow>, Self::Error>;

    /// The last finished task that is not above `task`.
    ///
    /// # Errors
    /// When the rows cannot be read.
    fn last_finished(&self, session: SessionKey, task: TaskNo) -> Result<Option<TaskNo>, Self::Error>;
}

/// How much of a session should leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    session: SessionKey,
    from: Position,
    /// What ended up to this time leaves.
    aged: Option<ClusterMs>,
    /// What ended up to this time may leave.
    free: ClusterMs,
    /// Tasks that should leave though they are not that old.
    tasks_over: u64,
    /// Bytes likewise.
    bytes_over: u64,
}

/// What should leave of the next `looks` sessions above a key, and where to go on: `None` at the end.
#[must_use]
pub fn due_sessions(state: &State, above: Option<SessionKey>, looks: usize) -> (Vec<Due>, Option<SessionKey>) {
    let range = (above.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
    let mut looked = state.sessions.range(range);
    let mut last = None;
    let mut found = Vec::new();
    for (key, _) in looked.by_ref().take(looks) {
        last = Some(*key);
        found.extend(due(state, *key));
    }
    let more = looked.next().is_some();
    (found, last.filter(|_| more))
}

/// What of a session should leave now, as far as memory can tell.
#[must_use]
pub fn due(state: &State, key: SessionKey) -> Option<Due> {
    let session = state.sessions.get(&key)?;
    let (row, now) = (&session.row, state.cluster.time);
    if row.kept_tasks() == 0 {
        return None;
    }
    let limits = task_limits(state, session);
    let over = |limit: Option<u64>, have: u64| limit.map_or(0, |limit| have.saturating_sub(keep_below(limit)));
    let before = |age_ms: u64| now.0.checked_sub(age_ms).map(ClusterMs);
    let free = before(limits.age_ms_min.unwrap_or(0))?;
    let due = Due {
        session: key,
        from: row.done_from,
        aged: limits.age_ms.and_then(before),
        free,
        tasks_over: over(limits.count, row.kept_tasks() + session.work()),
        bytes_over: over(limits.bytes, row.kept_bytes),
    };
    due.takes(row.oldest_done, 0, 0).then_some(due)
}

impl Due {
    /// The session.
    #[must_use]
    pub fn session(&self) -> SessionKey {
        self.session
    }

    /// Whether what ended at a time leaves, after so many tasks and bytes have been taken.
    fn takes(&self, at: ClusterMs, tasks: u64, bytes: u64) -> bool {
        let aged = self.aged.is_some_and(|aged| at <= aged);
        at <= self.free && (aged || tasks < self.tasks_over || bytes < self.bytes_over)
    }

    /// What leaves, the first that ended first. `None` when nothing is old enough.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn draft<R: KeptRows>(&self, rows: &R) -> Result<Option<Draft>, R::Error> {
        let mut draft = Draft {
            session: self.session,
            from: self.from,
            to: self.from,
            tasks: Vec::new(),
            bytes: 0,
            newest: ClusterMs(0),
            oldest_left: ClusterMs(0),
        };
        'reading: loop {
            let page = rows.done_after(self.session, draft.to, ENTRIES_PER_READ)?;
            let is_last = page.len() < ENTRIES_PER_READ;
            for (at, row) in page {
                draft.oldest_left = row.at;
                let taken = draft.tasks.len() as u64;
                if taken >= TRIM_TASKS_MAX || !self.takes(row.at, taken, draft.bytes) {
                    break 'reading;
                }
                draft.to = at;
                draft.newest = row.at;
                draft.bytes += row.bytes;
                draft.tasks.extend(row.tasks);
            }
            if is_last {
                break;
            }
        }
        draft.tasks.sort_unstable();
        Ok((!draft.tasks.is_empty()).then_some(draft))
    }
}

/// Tasks that leave, before it is known what they leave behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    session: SessionKey,
    from: Position,
    to: Position,
    /// In order.
    tasks: Vec<TaskNo>,
    bytes: u64,
    newest: ClusterMs,
    oldest_left: ClusterMs,
}

impl Draft {
    /// The session.
    #[must_use]
    pub fn session(&self) -> SessionKey {
        self.session
    }

    /// The submits that the tasks came with.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn submits<R: KeptRows>(&self, rows: &R) -> Result<Vec<SubmitRow>, R::Error> {
        let mut submits: Vec<SubmitRow> = Vec::new();
        for task in &self.tasks {
            if submits.last().is_none_or(|submit| *task > submit.last) {
                submits.extend(rows.submit_of(self.session, *task)?);
            }
        }
        Ok(submits)
    }

    /// The command. Of the submits, whose tasks have all ended, those leave of which no finished task is left.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn finish<R: KeptRows>(self, rows: &R, submits: Vec<SubmitRow>) -> Result<Command, R::Error> {
        let mut bytes = self.bytes;
        let mut gone: Vec<(TaskNo, TaskNo)> = Vec::new();
        for submit in submits {
            if self.leaves_nothing_of(rows, submit)? {
                bytes += submit.bytes;
                extend(&mut gone, submit.first, submit.last);
            }
        }
        let mut tasks: Vec<(TaskNo, TaskNo)> = Vec::new();
        for task in self.tasks {
            extend(&mut tasks, task, task);
        }
        Ok(Command::Trim(Box::new(Trim {
            session: self.session,
            from: self.from,
            to: self.to,
            tasks,
            submits: gone,
            bytes,
            newest: self.newest,
            oldest_left: self.oldest_left,
        })))
    }

    fn leaves_nothing_of<R: KeptRows>(&self, rows: &R, submit: SubmitRow) -> Result<bool, R::Error> {
        let from = self.tasks.partition_point(|task| *task < submit.first);
        let to = self.tasks.partition_point(|task| *task <= submit.last);
        let taken = &self.tasks[from..to];
        if taken.len() as u64 == submit.last.0 - submit.first.0 + 1 {
            return Ok(true);
        }
        let mut last = submit.last;
        loop {
            let Some(found) = rows.last_finished(self.session, last)? else { return Ok(true) };
            if found < submit.first {
                return Ok(true);
            }
            if taken.binary_search(&found).is_err() {
                return Ok(false);
            }
            last = TaskNo(found.0 - 1);
        }
    }
}

/// Of these submits of a session, those of which every task has ended.
#[must_use]
pub fn settled(state: &State, session: SessionKey, mut submits: Vec<SubmitRow>) -> Vec<SubmitRow> {
    let Some(found) = state.sessions.get(&session) else { return Vec::new() };
    submits.retain(|submit| !found.any_live(submit.first, submit.last));
    submits
}

fn extend(ranges: &mut Vec<(TaskNo, TaskNo)>, first: TaskNo, last: TaskNo) {
    match ranges.last_mut() {
        Some((_, end)) if end.next() == first => *end = last,
        _ => ranges.push((first, last)),
    }
}
