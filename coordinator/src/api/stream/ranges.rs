//! A set of task numbers, mostly long runs of them.

use std::collections::BTreeMap;

use flame_types::TaskNo;

/// First and last number of every run; runs never touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(BTreeMap<TaskNo, TaskNo>);

impl Ranges {
    /// Adds `first ..= last`.
    pub(super) fn add(&mut self, mut first: TaskNo, mut last: TaskNo) {
        if first > last {
            return;
        }
        if let Some((before, end)) = self.0.range(..=first).next_back()
            && end.next() >= first
        {
            first = *before;
            last = last.max(*end);
        }
        let touching: Vec<TaskNo> = self.0.range(first..=last.next()).map(|(start, _)| *start).collect();
        for start in touching {
            if let Some(end) = self.0.remove(&start) {
                last = last.max(end);
            }
        }
        self.0.insert(first, last);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, task: TaskNo) -> bool {
        self.0.range(..=task).next_back().is_some_and(|(_, last)| task <= *last)
    }

    /// Whether any number of `first ..= last` is in it.
    pub(super) fn touches(&self, first: TaskNo, last: TaskNo) -> bool {
        self.0.range(..=last).next_back().is_some_and(|(_, end)| *end >= first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_one_run() {
        let mut ranges = Ranges::default();
        for (first, last) in [(1, 3), (7, 9), (20, 20), (4, 6), (15, 30), (5, 5)] {
            ranges.add(TaskNo(first), TaskNo(last));
        }
        let runs: Vec<(u64, u64)> = ranges.0.iter().map(|(first, last)| (first.0, last.0)).collect();
        assert_eq!(runs, [(1, 9), (15, 30)]);
    }

    #[test]
    fn a_number_is_found_where_it_was_put_and_nowhere_else() {
        let mut ranges = Ranges::default();
        ranges.add(TaskNo(5), TaskNo(8));
        ranges.add(TaskNo(9), TaskNo(4));
        let found: Vec<u64> = (1..12).filter(|number| ranges.contains(TaskNo(*number))).collect();
        assert_eq!(found, [5, 6, 7, 8]);
        assert!(ranges.touches(TaskNo(1), TaskNo(5)) && ranges.touches(TaskNo(6), TaskNo(7)));
        assert!(!ranges.touches(TaskNo(1), TaskNo(4)) && !ranges.touches(TaskNo(9), TaskNo(9)));
    }
}
