//! Accepted tasks that have not ended.
//!
//! **Invariant:** a task leaves once: a result that comes again finds nobody.

use std::collections::BTreeMap;

use flame_types::{TaskNo, TaskState};

use super::group;
use super::queue::{Receiver, array_places};
use super::task::TaskEnd;
use crate::FlameError;

const BITS: u64 = u64::BITS as u64;

/// Tasks by their numbers, in the parts in which they were accepted.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    parts: BTreeMap<TaskNo, Part>,
}

#[derive(Debug)]
struct Part {
    last: TaskNo,
    left: u64,
    waiting: Waiting,
}

#[derive(Debug)]
enum Waiting {
    Each(Vec<Option<Receiver>>),
    /// A bit for each task that has ended.
    Array {
        tasks: group::Writer,
        ended: Vec<u64>,
    },
}

/// Room that has come back.
pub(super) type Places = usize;

impl Unfinished {
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Tasks from `first` on were accepted. Those that nobody waits for are not followed.
    pub(super) fn add_tasks(&mut self, first: TaskNo, receivers: Vec<Receiver>) -> Places {
        let count = receivers.len() as u64;
        let mut left = 0;
        let mut number = first;
        let mut waiting = Vec::with_capacity(receivers.len());
        for mut receiver in receivers {
            receiver.accept(number);
            number = number.next();
            let receiver = receiver.is_heard().then_some(receiver);
            left += u64::from(receiver.is_some());
            waiting.push(receiver);
        }
        if left > 0 {
            let part = Part { last: TaskNo(first.0 + count - 1), left, waiting: Waiting::Each(waiting) };
            self.parts.insert(first, part);
        }
        (count - left) as Places
    }

    /// An array was accepted.
    pub(super) fn add_array(&mut self, first: TaskNo, mut tasks: group::Writer) -> Places {
        let count = tasks.tasks();
        tasks.accept(first);
        if !tasks.is_heard() {
            return array_places(count);
        }
        let ended = vec![0; usize::try_from(count.div_ceil(BITS)).unwrap_or(usize::MAX)];
        let part = Part { last: TaskNo(first.0 + count - 1), left: count, waiting: Waiting::Array { tasks, ended } };
        self.parts.insert(first, part);
        0
    }

    /// A task has ended, or its end cannot be learned.
    pub(super) fn end(&mut self, task: TaskNo, end: Result<TaskEnd, FlameError>) -> Places {
        let Some((first, part)) = self.parts.range_mut(..=task).next_back() else { return 0 };
        if task > part.last || !part.end(task.0 - first.0, end) {
            return 0;
        }
        let first = *first;
        let of_task = usize::from(matches!(part.waiting, Waiting::Each(_)));
        if part.left > 0 {
            return of_task;
        }
        match self.parts.remove(&first).map(|part| (part.last, part.waiting)) {
            Some((last, Waiting::Array { .. })) => array_places(last.0 - first.0 + 1),
            _ => of_task,
        }
    }

    /// Tasks were cancelled together. What has ended before stays as it is.
    pub(super) fn cancel(&mut self, first: TaskNo, last: TaskNo) -> Places {
        let mut places = 0;
        for (from, to) in self.ranges() {
            for task in from.0.max(first.0)..=to.0.min(last.0) {
                let state = TaskState::Cancelled.into();
                let end = TaskEnd { task: TaskNo(task), state, output: None, message: None };
                places += self.end(end.task, Ok(end));
            }
        }
        places
    }

    /// Runs of numbers that cover all tasks; few others are among them.
    pub(super) fn ranges(&self) -> Vec<(TaskNo, TaskNo)> {
        let mut ranges: Vec<(TaskNo, TaskNo)> = Vec::new();
        for (first, part) in &self.parts {
            let Some((from, to)) = part.waiting.bounds() else { continue };
            let (from, to) = (TaskNo(first.0 + from), TaskNo(first.0 + to).min(part.last));
            match ranges.last_mut() {
                Some((_, end)) if end.next() == from => *end = to,
                _ => ranges.push((from, to)),
            }
        }
        ranges
    }

    /// No end of any task can be learned.
    pub(super) fn fail(&mut self, error: &FlameError) {
        for part in std::mem::take(&mut self.parts).into_values() {
            match part.waiting {
                Waiting::Each(receivers) => {
                    receivers.into_iter().flatten().for_each(|receiver| receiver.end(Err(error.clone())));
                }
                Waiting::Array { tasks, .. } => tasks.end_all(error.clone()),
            }
        }
    }
}

impl Part {
    /// Ends one task, if it has not ended before.
    fn end(&mut self, at: u64, end: Result<TaskEnd, FlameError>) -> bool {
        let at_index = |at| usize::try_from(at).unwrap_or(usize::MAX);
        let is_new = match &mut self.waiting {
            Waiting::Each(receivers) => match receivers.get_mut(at_index(at)).and_then(Option::take) {
                Some(receiver) => {
                    receiver.end(end);
                    true
                }
                None => false,
            },
            Waiting::Array { tasks, ended } => {
                let (word, bit) = (&mut ended[at_index(at / BITS)], 1 << (at % BITS));
                let is_new = *word & bit == 0;
                if is_new {
                    *word |= bit;
                    tasks.end_one(end);
                }
                is_new
            }
        };
        self.left -= u64::from(is_new);
        is_new
    }
}

impl Waiting {
    /// Where the first and the last task without an end stand; the last of an array to the next full word.
    fn bounds(&self) -> Option<(u64, u64)> {
        match self {
            Self::Each(receivers) => {
                let first = receivers.iter().position(Option::is_some)?;
                let last = receivers.iter().rposition(Option::is_some)?;
                Some((first as u64, last as u64))
            }
            Self::Array { ended, .. } => {
                let first = ended.iter().position(|word| *word != u64::MAX)?;
                let last = ended.iter().rposition(|word| *word != u64::MAX)?;
                Some((first as u64 * BITS, last as u64 * BITS + (BITS - 1)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::{FutureExt, StreamExt};

    use super::super::queue::Queue;
    use super::super::task::{self, SubmittedTask};
    use super::*;

    fn end(task: u64) -> Result<TaskEnd, FlameError> {
        Ok(TaskEnd { task: TaskNo(task), state: TaskState::Succeed.into(), output: None, message: None })
    }

    fn tasks(queue: &Arc<Queue>, count: usize) -> (Vec<Receiver>, Vec<SubmittedTask>) {
        let pairs = std::iter::repeat_with(|| task::task(queue.listener())).take(count);
        pairs.map(|(writer, task)| (Receiver::One(writer), task)).unzip()
    }

    #[test]
    fn a_result_that_comes_again_finds_nobody() {
        let (queue, mut unfinished) = (Queue::new(), Unfinished::default());
        let (receivers, mut waiting) = tasks(&queue, 3);
        assert_eq!(unfinished.add_tasks(TaskNo(5), receivers), 0);
        assert_eq!(unfinished.ranges(), [(TaskNo(5), TaskNo(7))]);
        assert_eq!(unfinished.end(TaskNo(5), end(5)), 1);
        assert_eq!(unfinished.end(TaskNo(5), end(5)), 0);
        assert_eq!(unfinished.end(TaskNo(8), end(8)) + unfinished.end(TaskNo(4), end(4)), 0);
        assert_eq!(unfinished.ranges(), [(TaskNo(6), TaskNo(7))]);
        assert_eq!(unfinished.cancel(TaskNo(1), TaskNo(9)), 2);
        assert!(unfinished.is_empty());
        let last = waiting.pop().unwrap().now_or_never().unwrap().unwrap();
        assert!((last.task, last.state.is(TaskState::Cancelled)) == (TaskNo(7), true));
    }

    #[test]
    fn what_nobody_waits_for_is_not_followed() {
        let (queue, mut unfinished) = (Queue::new(), Unfinished::default());
        let (receivers, mut waiting) = tasks(&queue, 3);
        waiting.remove(1);
        assert_eq!(unfinished.add_tasks(TaskNo(1), receivers), 1);
        assert_eq!(unfinished.end(TaskNo(1), end(1)) + unfinished.end(TaskNo(3), end(3)), 2);
        assert!(unfinished.is_empty());
    }

    #[tokio::test]
    async fn an_array_ends_task_by_task() {
        let (queue, mut unfinished) = (Queue::new(), Unfinished::default());
        let (mut writers, tasks) = group::group([130], Arc::clone(queue.unread()), queue.listener());
        unfinished.add_array(TaskNo(11), writers.pop().unwrap());
        for task in 11..=80 {
            assert_eq!(unfinished.end(TaskNo(task), end(task)), 0);
        }
        assert_eq!(unfinished.ranges(), [(TaskNo(75), TaskNo(140))]);
        assert_eq!(unfinished.cancel(TaskNo(1), TaskNo(1_000)), 1, "the whole array gives back its room");
        assert!(unfinished.is_empty());
        let ends: Vec<_> = tasks.map(|end| end.unwrap()).collect().await;
        assert_eq!(ends.iter().filter(|end| end.succeeded()).count(), 70);
        assert_eq!(ends.len(), 130);
    }

    #[test]
    fn neighbours_are_one_range_and_all_fail_together() {
        let (queue, mut unfinished) = (Queue::new(), Unfinished::default());
        let (first, mut waiting) = tasks(&queue, 2);
        let (second, others) = tasks(&queue, 1);
        unfinished.add_tasks(TaskNo(1), first);
        unfinished.add_tasks(TaskNo(3), second);
        assert_eq!(unfinished.ranges(), [(TaskNo(1), TaskNo(3))]);
        unfinished.fail(&FlameError::NotFound("s".to_owned()));
        waiting.extend(others);
        for task in waiting {
            assert_eq!(task.now_or_never().unwrap().unwrap_err().class(), "not_found");
        }
    }
}
