//! Which operations are taken, and which sets of them were entered with which state.

use std::collections::HashSet;
use std::hash::Hash;

/// A set of operations, by place.
pub(super) struct Taken {
    words: Vec<u64>,
}

impl Taken {
    pub(super) fn new(ops: usize) -> Self {
        Self { words: vec![0; ops.div_ceil(64)] }
    }

    pub(super) fn insert(&mut self, op: usize) {
        self.words[op / 64] |= 1 << (op % 64);
    }

    pub(super) fn remove(&mut self, op: usize) {
        self.words[op / 64] &= !(1 << (op % 64));
    }

    /// The set without the part that is full in front and the part that is empty behind. Operations are taken roughly in the
    /// order of time, so this is a word or two even of a long history.
    fn window(&self) -> Window {
        let full = self.words.iter().take_while(|word| **word == u64::MAX).count();
        let used = self.words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        let rest = self.words.get(full..used).unwrap_or_default();
        match rest {
            [] => Window::Short(full, 0),
            [word] => Window::Short(full, *word),
            words => Window::Long(full, words.into()),
        }
    }
}

#[derive(PartialEq, Eq, Hash)]
enum Window {
    Short(usize, u64),
    Long(usize, Box<[u64]>),
}

/// What was entered already.
pub(super) struct Memo<S> {
    entered: HashSet<(Window, S)>,
}

impl<S: Clone + Eq + Hash> Memo<S> {
    pub(super) fn new() -> Self {
        Self { entered: HashSet::new() }
    }

    /// Whether it is new.
    pub(super) fn insert(&mut self, taken: &Taken, state: &S) -> bool {
        self.entered.insert((taken.window(), state.clone()))
    }
}
