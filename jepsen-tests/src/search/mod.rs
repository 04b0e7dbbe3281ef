//! Is there an order of these operations that explains what they gave?
//!
//! A history is *linearizable* if every operation can be thought to have happened in one moment between its call and its
//! return, such that the sequence is one that the model allows. The search is that of Wing and Gong, with the memory of
//! Lowe's: operations are taken as early as possible, what cannot be continued is taken back, and a set of taken operations
//! with the state it led to is never entered twice.
//!
//! Two things are more general here than in the papers. A model may allow several states after one operation (a failure may
//! end a task or have it tried again), and all of them are tried. And an operation whose return nobody saw is pending for
//! ever: it may be taken at any time after its call, or never.
//!
//! **Invariant:** three verdicts. When the budget of steps is used up the verdict is *unknown*, and that never passes; a
//! budget is counted in steps, not in time, so the same history gives the same verdict everywhere.
//!
//! *Source:* J. Wing and C. Gong, Testing and verifying concurrent objects, 1993; G. Lowe, Testing for linearizability, 2017.

mod memo;

use std::fmt::Debug;
use std::hash::Hash;

use memo::{Memo, Taken};

/// What a thing does when it is asked one thing after the other.
pub trait Model {
    /// Where it is.
    type State: Clone + Eq + Hash + Debug;
    /// An operation together with what it gave.
    type Op;

    /// Puts every state that can follow into `next`, which comes empty. None: this operation cannot have given that in this
    /// state.
    fn successors(&self, state: &Self::State, op: &Self::Op, next: &mut Vec<Self::State>);
}

/// An operation and its time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timed<O> {
    /// When it was called.
    pub call: u64,
    /// When it returned; `None` when it never did: it may have happened at any time since, or never.
    pub ret: Option<u64>,
    /// What was asked, and what came back.
    pub op: O,
}

/// What the search found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Linearizability {
    /// There is such an order.
    Valid,
    /// There is none.
    Invalid {
        /// How many operations that returned could be explained at most.
        explained: usize,
        /// The operation on which the longest attempt broke: its place in what was given.
        broke_on: usize,
    },
    /// The budget was used up before either was clear.
    Unknown,
}

/// Searches, for at most so many steps. A step is one operation tried in one state.
pub fn search<M: Model>(model: &M, start: &M::State, ops: &[Timed<M::Op>], steps_max: u64) -> Linearizability {
    Search::new(model, start, ops, steps_max).run()
}

/// Calls and returns in the order of time, as a list from which pairs can be taken out and put back where they were.
struct Timeline {
    entries: Vec<Entry>,
    /// By entry; the last one is the head and the tail.
    next: Vec<usize>,
    prev: Vec<usize>,
    /// By operation.
    call_at: Vec<usize>,
    ret_at: Vec<Option<usize>>,
}

#[derive(Clone, Copy)]
struct Entry {
    op: usize,
    is_call: bool,
}

impl Timeline {
    fn new<O>(ops: &[Timed<O>]) -> Self {
        // Two at the same time count as concurrent: calls come first.
        let mut moments: Vec<(u64, bool, usize)> = Vec::with_capacity(ops.len() * 2);
        for (op, timed) in ops.iter().enumerate() {
            moments.push((timed.call, false, op));
            moments.extend(timed.ret.map(|ret| (ret, true, op)));
        }
        moments.sort_unstable();
        let (mut call_at, mut ret_at) = (vec![0; ops.len()], vec![None; ops.len()]);
        let mut entries = Vec::with_capacity(moments.len());
        for (at, (_, is_return, op)) in moments.into_iter().enumerate() {
            if is_return {
                ret_at[op] = Some(at);
            } else {
                call_at[op] = at;
            }
            entries.push(Entry { op, is_call: !is_return });
        }
        let ends = entries.len();
        let next = (1..=ends).chain([0]).collect();
        let prev = std::iter::once(ends).chain(0..ends).collect();
        Self { entries, next, prev, call_at, ret_at }
    }

    fn head(&self) -> usize {
        self.entries.len()
    }

    fn first(&self) -> usize {
        self.next[self.head()]
    }

    fn lift(&mut self, op: usize) {
        self.unlink(self.call_at[op]);
        if let Some(ret) = self.ret_at[op] {
            self.unlink(ret);
        }
    }

    /// Pairs are put back in the reverse order of their lifting, so every neighbour is there.
    fn unlift(&mut self, op: usize) {
        if let Some(ret) = self.ret_at[op] {
            self.link(ret);
        }
        self.link(self.call_at[op]);
    }

    fn unlink(&mut self, at: usize) {
        let (prev, next) = (self.prev[at], self.next[at]);
        self.next[prev] = next;
        self.prev[next] = prev;
    }

    fn link(&mut self, at: usize) {
        let (prev, next) = (self.prev[at], self.next[at]);
        self.next[prev] = at;
        self.prev[next] = at;
    }
}

/// An operation that was taken, and the way back.
struct Frame<S> {
    op: usize,
    before: S,
    /// States that could have followed as well, not tried yet.
    others: Vec<S>,
}

struct Search<'a, M: Model> {
    model: &'a M,
    ops: &'a [Timed<M::Op>],
    steps_left: u64,
    timeline: Timeline,
    state: M::State,
    taken: Taken,
    memo: Memo<M::State>,
    stack: Vec<Frame<M::State>>,
    /// Operations that returned and are not taken.
    missing: usize,
    /// The fewest that were missing, and where that attempt broke.
    best: (usize, usize),
}

impl<'a, M: Model> Search<'a, M> {
    fn new(model: &'a M, start: &M::State, ops: &'a [Timed<M::Op>], steps_max: u64) -> Self {
        let missing = ops.iter().filter(|op| op.ret.is_some()).count();
        Self {
            model,
            ops,
            steps_left: steps_max,
            timeline: Timeline::new(ops),
            state: start.clone(),
            taken: Taken::new(ops.len()),
            memo: Memo::new(),
            stack: Vec::new(),
            missing,
            best: (usize::MAX, 0),
        }
    }

    fn run(mut self) -> Linearizability {
        let returned = self.missing;
        let mut at = self.timeline.first();
        let mut successors = Vec::new();
        while self.missing > 0 {
            // What is missing has a return that is still in the list, so the tail is never reached.
            let Entry { op, is_call } = self.timeline.entries[at];
            if !is_call {
                self.note_break(op);
                let Some(after) = self.back() else {
                    let (missing, broke_on) = self.best;
                    return Linearizability::Invalid { explained: returned - missing, broke_on };
                };
                at = after;
                continue;
            }
            let Some(left) = self.steps_left.checked_sub(1) else { return Linearizability::Unknown };
            self.steps_left = left;
            successors.clear();
            self.model.successors(&self.state, &self.ops[op].op, &mut successors);
            if self.ops[op].ret.is_none() {
                // To take what need not have happened, and changes nothing, leads nowhere new.
                successors.retain(|state| *state != self.state);
            }
            self.taken.insert(op);
            let before = self.state.clone();
            if self.enter(op, before, &mut successors) {
                at = self.timeline.first();
            } else {
                self.taken.remove(op);
                at = self.timeline.next[at];
            }
        }
        Linearizability::Valid
    }

    /// Goes on to the first of these states that is new. `op` counts as taken; on success it is lifted too.
    fn enter(&mut self, op: usize, before: M::State, choices: &mut Vec<M::State>) -> bool {
        while let Some(state) = choices.pop() {
            if self.memo.insert(&self.taken, &state) {
                self.timeline.lift(op);
                self.missing -= usize::from(self.ops[op].ret.is_some());
                self.state = state;
                self.stack.push(Frame { op, before, others: std::mem::take(choices) });
                return true;
            }
        }
        false
    }

    /// Takes the last operation back. Returns where to go on; `None` when nothing is left to take back.
    fn back(&mut self) -> Option<usize> {
        let Frame { op, before, mut others } = self.stack.pop()?;
        self.timeline.unlift(op);
        self.missing += usize::from(self.ops[op].ret.is_some());
        if self.enter(op, before.clone(), &mut others) {
            return Some(self.timeline.first());
        }
        self.taken.remove(op);
        self.state = before;
        Some(self.timeline.next[self.timeline.call_at[op]])
    }

    fn note_break(&mut self, op: usize) {
        if self.missing < self.best.0 {
            self.best = (self.missing, op);
        }
    }
}
