//! The pending tasks of a session.
//!
//! Tasks that never ran and have no options lie in ranges: a million of them are one entry. They leave from the front
//! only, so one cursor ([`crate::state::SessionRow::head`]) says how far the first range is used up and a dispatched
//! task costs no write of its own. Tasks with options, with a history or with a not-before time lie single beside them.

use std::collections::{BTreeMap, BTreeSet};

use flame_types::{ClusterMs, TaskNo};
use serde::{Deserialize, Serialize};

use super::Story;

/// Most entries (ranges and single tasks) of one session: they are held in memory.
pub const PENDING_ENTRIES_MAX: usize = 262_144;

/// A pending task with a story, as it lies on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingTask {
    /// Options and earlier starts.
    pub story: Box<Story>,
    /// It is not given to an executor before this time.
    pub not_before: ClusterMs,
}

/// All pending tasks of a session, taken out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// First and last task of each range that is left.
    pub ranges: Vec<(TaskNo, TaskNo)>,
    /// Single tasks.
    pub tasks: BTreeMap<TaskNo, PendingTask>,
}

/// The pending tasks of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// First and last task of each range, the first as it is in the row's key.
    ranges: BTreeMap<TaskNo, TaskNo>,
    /// Single tasks.
    tasks: BTreeMap<TaskNo, PendingTask>,
    /// Those of the single tasks that may start now, in the order in which they do. Derived.
    order: BTreeSet<(i64, TaskNo)>,
    /// Tasks in ranges that are not taken yet. Derived.
    in_ranges: u64,
}

impl Pending {
    /// Number of tasks.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.in_ranges + self.tasks.len() as u64
    }

    /// Number of entries held in memory.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.ranges.len() + self.tasks.len()
    }

    /// Whether the task is pending.
    #[must_use]
    pub fn contains(&self, head: TaskNo, task: TaskNo) -> bool {
        self.tasks.contains_key(&task) || self.range_of(head, task).is_some()
    }

    /// Whether any of `first ..= last` is pending.
    #[must_use]
    pub fn any(&self, head: TaskNo, first: TaskNo, last: TaskNo) -> bool {
        self.tasks.range(first..=last).next().is_some()
            || self
                .ranges
                .range(..=last)
                .next_back()
                .is_some_and(|(start, end)| *end >= first && (*start).max(head) <= last)
    }

    /// The single task of this number.
    #[must_use]
    pub fn task(&self, task: TaskNo) -> Option<&PendingTask> {
        self.tasks.get(&task)
    }

    /// The last task of the range whose row has this key.
    #[must_use]
    pub fn range(&self, first: TaskNo) -> Option<TaskNo> {
        self.ranges.get(&first).copied()
    }

    /// First and last task of each range, the first as it is in the row's key.
    pub fn ranges(&self) -> impl Iterator<Item = (TaskNo, TaskNo)> + '_ {
        self.ranges.iter().map(|(first, last)| (*first, *last))
    }

    /// The single tasks.
    pub fn tasks(&self) -> impl Iterator<Item = (TaskNo, &PendingTask)> + '_ {
        self.tasks.iter().map(|(task, pending)| (*task, pending))
    }

    /// Puts a range back that was read from disk.
    pub fn load_range(&mut self, head: TaskNo, first: TaskNo, last: TaskNo) {
        self.ranges.insert(first, last);
        self.in_ranges += (last.0 + 1).saturating_sub(first.max(head).0);
    }

    /// Adds `first ..= last`, all new and without options. Returns the key of the row that changed.
    pub fn append(&mut self, first: TaskNo, last: TaskNo) -> TaskNo {
        self.in_ranges += last.0 - first.0 + 1;
        if let Some(mut tail) = self.ranges.last_entry()
            && tail.get().next() == first
        {
            *tail.get_mut() = last;
            return *tail.key();
        }
        self.ranges.insert(first, last);
        first
    }

    /// Adds a single task.
    pub fn insert(&mut self, task: TaskNo, pending: PendingTask, now: ClusterMs) {
        if pending.not_before <= now {
            self.order.insert(order_key(task, &pending));
        }
        self.tasks.insert(task, pending);
    }

    /// A single task whose not-before time has come may start.
    pub fn wake(&mut self, task: TaskNo, now: ClusterMs) {
        if let Some(pending) = self.tasks.get(&task).filter(|pending| pending.not_before <= now) {
            self.order.insert(order_key(task, pending));
        }
    }

    /// Tasks that may start now and come before this one, which waits as well: one that must wait for its not-before time
    /// stands where it will stand then. Costs as much as there are entries.
    #[must_use]
    pub fn ahead_of(&self, head: TaskNo, task: TaskNo) -> u64 {
        let key = self.tasks.get(&task).map_or((0, task), |pending| order_key(task, pending));
        let singles = self.order.range(..key).count() as u64;
        let fresh = |(first, last): (&TaskNo, &TaskNo)| {
            let end = if key.0 > 0 { last.next() } else { task.min(last.next()) };
            end.0.saturating_sub((*first).max(head).0)
        };
        let ranges = if key.0 < 0 { 0 } else { self.ranges.iter().map(fresh).sum() };
        singles + ranges
    }

    /// The task that is next, with its story if it has one.
    #[must_use]
    pub fn next(&self, head: TaskNo) -> Option<(TaskNo, Option<&Story>)> {
        let fresh = self.ranges.first_key_value().map(|(first, _)| (0, head.max(*first)));
        let single = self.order.first().copied();
        match (fresh, single) {
            (Some(fresh), Some(single)) if fresh < single => Some((fresh.1, None)),
            (_, Some((_, task))) => Some((task, self.tasks.get(&task).map(|pending| &*pending.story))),
            (Some((_, task)), None) => Some((task, None)),
            (None, None) => None,
        }
    }

    /// Takes the front of the ranges, which [`Self::next`] has named. Returns the key of a row that is used up.
    pub fn take_fresh(&mut self, head: &mut TaskNo) -> Option<TaskNo> {
        let (first, last) = self.ranges.first_key_value().map(|(first, last)| (*first, *last))?;
        let task = first.max(*head);
        *head = task.next();
        self.in_ranges -= 1;
        if task < last {
            return None;
        }
        self.ranges.remove(&first);
        Some(first)
    }

    /// Takes out a single task.
    pub fn remove(&mut self, task: TaskNo) -> Option<PendingTask> {
        let pending = self.tasks.remove(&task)?;
        self.order.remove(&order_key(task, &pending));
        Some(pending)
    }

    /// Takes one task out of the middle of a range. Returns the keys of the rows that changed, if it was there.
    pub fn cut(&mut self, head: TaskNo, task: TaskNo) -> Option<Vec<TaskNo>> {
        let (first, last) = self.range_of(head, task)?;
        let mut changed = vec![first];
        self.in_ranges -= 1;
        self.ranges.remove(&first);
        if first.max(head) < task {
            self.ranges.insert(first, TaskNo(task.0 - 1));
        }
        if task < last {
            self.ranges.insert(task.next(), last);
            changed.push(task.next());
        }
        Some(changed)
    }

    /// Takes everything out: the ranges that are left, and the single tasks.
    pub fn drain(&mut self, head: TaskNo) -> Drained {
        let all = std::mem::take(self);
        let ranges = all.ranges.into_iter().map(|(first, last)| (first.max(head), last)).collect();
        Drained { ranges, tasks: all.tasks }
    }

    /// The numbers of the first `limit` tasks from `from` on, in order.
    #[must_use]
    pub fn numbers(&self, head: TaskNo, from: TaskNo, limit: usize) -> Vec<TaskNo> {
        let from = from.max(TaskNo::FIRST);
        let mut numbers: Vec<TaskNo> = self.tasks.range(from..).map(|(task, _)| *task).take(limit).collect();
        let before = self.ranges.range(..from).next_back();
        let ranges = before.into_iter().chain(self.ranges.range(from..));
        let fresh = ranges.flat_map(|(first, last)| (*first).max(head).max(from).0..=last.0);
        numbers.extend(fresh.take(limit).map(TaskNo));
        numbers.sort_unstable();
        numbers.truncate(limit);
        numbers
    }

    /// Single tasks that wait for their not-before time.
    pub fn delayed(&self, now: ClusterMs) -> impl Iterator<Item = (TaskNo, ClusterMs)> + '_ {
        self.tasks.iter().filter(move |(_, pending)| pending.not_before > now).map(|(task, p)| (*task, p.not_before))
    }

    /// Checks what is derived: for tests.
    ///
    /// # Errors
    /// Says what does not hold.
    pub fn check(&self, head: TaskNo, now: ClusterMs) -> Result<(), String> {
        let mut counted = 0;
        let mut free_from = TaskNo(0);
        for (first, last) in &self.ranges {
            if *first < free_from || last < &(*first).max(head) {
                return Err(format!("range {first}..={last} overlaps or is used up (head {head})"));
            }
            free_from = last.next();
            counted += last.0 + 1 - first.0.max(head.0);
            if let Some((task, _)) = self.tasks.range(*first.max(&head)..=*last).next() {
                return Err(format!("task {task} is pending twice"));
            }
        }
        if counted != self.in_ranges {
            return Err(format!("{} tasks in ranges, counted {counted}", self.in_ranges));
        }
        for (task, pending) in &self.tasks {
            let listed = self.order.contains(&order_key(*task, pending));
            if listed != (pending.not_before <= now) {
                return Err(format!("task {task}: listed {listed}, not before {}", pending.not_before));
            }
        }
        Ok(())
    }

    fn range_of(&self, head: TaskNo, task: TaskNo) -> Option<(TaskNo, TaskNo)> {
        let (first, last) = self.ranges.range(..=task).next_back()?;
        (task >= head && task <= *last).then_some((*first, *last))
    }
}

/// Higher priority first, then first come, first served.
fn order_key(task: TaskNo, pending: &PendingTask) -> (i64, TaskNo) {
    (-i64::from(pending.story.options.priority), task)
}
