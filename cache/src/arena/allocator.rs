//! Which parts of the memory are free.
//!
//! The smallest free part that is large enough is taken, the first of those that are the same: who puts objects of one size
//! and deletes them gets the same pages again, which are there already, and the untouched rest stays in one.
//!
//! **Invariant:** parts that are given out do not overlap; parts that are free do not touch.

use std::collections::{BTreeMap, BTreeSet};

/// Parts begin at, and are, multiples of this: who maps one alone maps nothing else.
pub const PAGE_BYTES: u64 = 4096;

/// A part of the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
}

impl Range {
    fn end(self) -> u64 {
        self.offset + self.bytes
    }
}

/// The free parts of a memory.
#[derive(Debug)]
pub struct Allocator {
    /// Lengths by where they begin.
    free: BTreeMap<u64, u64>,
    /// The same by length.
    by_length: BTreeSet<(u64, u64)>,
    bytes: u64,
    free_bytes: u64,
}

impl Allocator {
    /// All of a memory is free. What is left over of a page is not used.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let bytes = bytes - bytes % PAGE_BYTES;
        let mut allocator = Self { free: BTreeMap::new(), by_length: BTreeSet::new(), bytes, free_bytes: 0 };
        if bytes > 0 {
            allocator.insert(Range { offset: 0, bytes });
        }
        allocator
    }

    /// How much there is.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How much is given out.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.bytes - self.free_bytes
    }

    /// At least so many bytes, in whole pages; `None` when no free part is so long.
    pub fn allocate(&mut self, bytes: u64) -> Option<Range> {
        let bytes = bytes.max(1).checked_next_multiple_of(PAGE_BYTES)?;
        let (length, offset) = *self.by_length.range((bytes, 0)..).next()?;
        self.remove(Range { offset, bytes: length });
        if length > bytes {
            self.insert(Range { offset: offset + bytes, bytes: length - bytes });
        }
        Some(Range { offset, bytes })
    }

    /// Gives a part back.
    ///
    /// # Panics
    /// When some of it is free already.
    pub fn free(&mut self, range: Range) {
        let before =
            self.free.range(..range.end()).next_back().map(|(offset, bytes)| Range { offset: *offset, bytes: *bytes });
        assert!(before.is_none_or(|before| before.end() <= range.offset), "a part of the arena is given back twice");
        assert!(range.end() <= self.bytes, "a part beyond the arena is given back");
        let mut whole = range;
        if let Some(before) = before.filter(|before| before.end() == range.offset) {
            self.remove(before);
            whole = Range { offset: before.offset, bytes: before.bytes + whole.bytes };
        }
        if let Some(bytes) = self.free.get(&range.end()).copied() {
            self.remove(Range { offset: range.end(), bytes });
            whole.bytes += bytes;
        }
        self.insert(whole);
    }

    fn insert(&mut self, range: Range) {
        self.free.insert(range.offset, range.bytes);
        self.by_length.insert((range.bytes, range.offset));
        self.free_bytes += range.bytes;
    }

    fn remove(&mut self, range: Range) {
        self.free.remove(&range.offset);
        self.by_length.remove(&(range.bytes, range.offset));
        self.free_bytes -= range.bytes;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BYTES: u64 = 64 * PAGE_BYTES;

    #[derive(Clone, Debug)]
    enum Step {
        Allocate(u64),
        Free(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![(0..12 * PAGE_BYTES).prop_map(Step::Allocate), any::<usize>().prop_map(Step::Free)]
    }

    proptest! {
        /// Compared with a list of pages that says of each whether it is taken.
        #[test]
        fn parts_never_overlap_and_all_free_pages_can_be_had(steps in proptest::collection::vec(step(), 1..200)) {
            let mut allocator = Allocator::new(BYTES + 17);
            let mut taken = vec![false; (BYTES / PAGE_BYTES) as usize];
            let mut given: Vec<Range> = Vec::new();
            for step in steps {
                match step {
                    Step::Allocate(bytes) => {
                        let pages = bytes.max(1).div_ceil(PAGE_BYTES) as usize;
                        let longest = taken.split(|taken| *taken).map(<[bool]>::len).max().unwrap_or(0);
                        let range = allocator.allocate(bytes);
                        prop_assert_eq!(range.is_some(), pages <= longest, "{} pages of {}", pages, longest);
                        let Some(range) = range else { continue };
                        prop_assert_eq!((range.bytes, range.offset % PAGE_BYTES), (pages as u64 * PAGE_BYTES, 0));
                        let first = (range.offset / PAGE_BYTES) as usize;
                        for page in &mut taken[first..first + pages] {
                            prop_assert!(!*page);
                            *page = true;
                        }
                        given.push(range);
                    }
                    Step::Free(which) if !given.is_empty() => {
                        let range = given.swap_remove(which % given.len());
                        allocator.free(range);
                        let first = (range.offset / PAGE_BYTES) as usize;
                        taken[first..first + (range.bytes / PAGE_BYTES) as usize].fill(false);
                    }
                    Step::Free(_) => {}
                }
                let used = taken.iter().filter(|taken| **taken).count() as u64 * PAGE_BYTES;
                prop_assert_eq!(allocator.used(), used);
                let lengths: u64 = allocator.by_length.iter().map(|(length, _)| *length).sum();
                prop_assert_eq!(lengths, BYTES - used);
            }
            for range in given {
                allocator.free(range);
            }
            prop_assert_eq!(allocator.allocate(BYTES), Some(Range { offset: 0, bytes: BYTES }));
        }
    }

    #[test]
    fn the_same_pages_are_used_again() {
        let mut allocator = Allocator::new(BYTES);
        let first = allocator.allocate(10 * PAGE_BYTES).unwrap();
        let second = allocator.allocate(PAGE_BYTES).unwrap();
        allocator.free(first);
        assert_eq!(allocator.allocate(10 * PAGE_BYTES - 5), Some(first));
        allocator.free(second);
        assert_eq!(allocator.allocate(u64::MAX), None);
        assert_eq!(Allocator::new(PAGE_BYTES - 1).allocate(0), None);
    }

    #[test]
    #[should_panic(expected = "given back twice")]
    fn a_part_is_given_back_once() {
        let mut allocator = Allocator::new(BYTES);
        let range = allocator.allocate(1).unwrap();
        allocator.free(range);
        allocator.free(range);
    }
}
