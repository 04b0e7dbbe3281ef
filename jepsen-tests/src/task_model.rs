//! One task as clients and workers see it, one operation after the other: the model that every task's history is held
//! against.
//!
//! It says again, in its own words, what `docs/ARCHITECTURE.md` and `crates/machine` promise of one task. It does not call
//! the machine: a checker that shares the code shares the bug.
//!
//! ```text
//!                    ┌────────── given to a worker, under a higher token each time
//!                    ▼         │
//!   absent ──submit──▶  live  ─┘ ──reported under the last token──▶ succeed, failed  ┐
//!                      │    │ ──timeout, lost or crashed too often──▶ failed         ├─ deleted, trimmed ──▶ gone
//!                      │    └──cancel, close──▶ cancelled                            ┘
//!                      └ a failure that is tried again stays live
//! ```
//!
//! While a task is live, a reading may show it pending or running: it can be given back at any time, and a reader cannot see
//! why. What a reading can never show is an end that nobody brought about, an end that changes, a task that was acknowledged
//! and is not there, or an earlier start than one that was shown.

use flame_types::{TaskNo, TaskState, Token};

use crate::search::Model;

/// Where a task is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct State {
    /// Its session takes nothing any more.
    closed: bool,
    phase: Phase,
    /// Changes with ids that may come again, and what they were answered.
    answered: Vec<(u32, Reply)>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Phase {
    Absent,
    Live(Live),
    Ended(Ended),
    Gone,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Live {
    /// Known once a submit was answered or a reading has named it.
    number: Option<TaskNo>,
    /// The highest token under which it was given to anybody.
    token: Option<Token>,
    /// The latest start that was shown or given out.
    attempt: u32,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Ended {
    number: Option<TaskNo>,
    state: TaskState,
    /// Known when a report or a reading has named it.
    output: Option<OutputAt>,
}

/// An output by its place among those of the task: states are copied often.
pub type OutputAt = u32;

/// What a change was answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reply {
    /// Done. A submit: the task has this number; `None` when the answer was lost.
    Done(Option<TaskNo>),
    /// Refused: no such task.
    NotFound,
    /// Refused: it has ended.
    HasEnded,
    /// Nobody heard it.
    Lost,
}

/// What was asked, together with the answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// A client submits it. `request`: this change may come more than once.
    Submit { request: Option<u32>, reply: Reply },
    /// A client ends it.
    Cancel { request: Option<u32>, reply: Reply },
    /// A client ends its session.
    Close,
    /// A client removes its session.
    Delete,
    /// A client reads it.
    Read(Reading),
    /// A client reads that there is no such task.
    ReadAbsent { trimmed: bool },
    /// A watch told that it ended so: then it had.
    Told(Reading),
    /// A worker is given it.
    Grant { token: Token, attempt: u32 },
    /// A worker reports what became of it.
    Report { token: Token, outcome: Ending },
}

/// What a reader was shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reading {
    pub number: TaskNo,
    pub state: TaskState,
    pub attempt: Option<u32>,
    pub output: Option<OutputAt>,
}

/// What a service answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    Succeed(Option<OutputAt>),
    Failed(Option<OutputAt>),
}

/// What must be known beside the operations.
#[derive(Clone, Copy, Debug)]
pub struct TaskModel {
    /// Every report of every worker is among the operations, so a success without one is invented.
    pub reports_are_known: bool,
    /// What has ended may leave by itself.
    pub retention: bool,
}

impl Default for State {
    fn default() -> Self {
        Self { closed: false, phase: Phase::Absent, answered: Vec::new() }
    }
}

impl Model for TaskModel {
    type State = State;
    type Op = Op;

    fn successors(&self, state: &State, op: &Op, next: &mut Vec<State>) {
        match op {
            Op::Submit { request, reply } => once(state, *request, *reply, next, |state| submit(state, *reply)),
            Op::Cancel { request, reply } => once(state, *request, *reply, next, |state| self.cancel(state, *reply)),
            Op::Close => self.close(state, next),
            Op::Delete => next.extend(delete(state)),
            Op::Read(reading) => self.read(state, reading, next),
            Op::ReadAbsent { trimmed } => next.extend(self.read_absent(state, *trimmed)),
            // A watch lags: what it tells was so, and of an end that means it is so.
            Op::Told(reading) => self.read(state, reading, next),
            Op::Grant { token, attempt } => next.extend(grant(state, *token, *attempt)),
            Op::Report { token, outcome } => report(state, *token, *outcome, next),
        }
    }
}

/// A change that may come more than once is made once; every other time it is answered as the first time.
fn once(
    state: &State,
    request: Option<u32>,
    reply: Reply,
    next: &mut Vec<State>,
    change: impl FnOnce(&State) -> Vec<(State, Reply)>,
) {
    let Some(request) = request else {
        next.extend(change(state).into_iter().map(|(state, _)| state));
        return;
    };
    if let Some((_, first)) = state.answered.iter().find(|(known, _)| *known == request) {
        if *first == reply || reply == Reply::Lost {
            next.push(state.clone());
        } else if let (Reply::Done(None), Reply::Done(Some(number))) = (*first, reply) {
            // The first answer was lost; now it is known.
            next.extend(with_number(state, number));
        }
        return;
    }
    for (mut state, reply) in change(state) {
        state.answered.push((request, reply));
        next.push(state);
    }
}

fn submit(state: &State, reply: Reply) -> Vec<(State, Reply)> {
    let number = match reply {
        Reply::Done(number) => number,
        Reply::Lost => None,
        Reply::NotFound | Reply::HasEnded => return Vec::new(),
    };
    // A mark goes with one change, so the task is there already only if that change was made.
    if state.closed || state.phase != Phase::Absent {
        return Vec::new();
    }
    let phase = Phase::Live(Live { number, token: None, attempt: 0 });
    vec![(State { phase, ..state.clone() }, Reply::Done(number))]
}

fn delete(state: &State) -> Option<State> {
    let phase = match &state.phase {
        Phase::Ended(_) | Phase::Gone => Phase::Gone,
        Phase::Absent => Phase::Absent,
        Phase::Live(_) => return None,
    };
    Some(State { closed: true, phase, ..state.clone() })
}

fn grant(state: &State, token: Token, attempt: u32) -> Option<State> {
    let Phase::Live(live) = &state.phase else { return None };
    if live.token.is_some_and(|last| last >= token) || attempt < live.attempt {
        return None;
    }
    let phase = Phase::Live(Live { token: Some(token), attempt, ..live.clone() });
    Some(State { phase, ..state.clone() })
}

/// A report counts only under the token that the task has. It has it until it is taken back, which nobody sees.
fn report(state: &State, token: Token, outcome: Ending, next: &mut Vec<State>) {
    match &state.phase {
        Phase::Live(live) => match live.token {
            Some(last) if last == token => {
                let (to, output) = match outcome {
                    Ending::Succeed(output) => (TaskState::Succeed, output),
                    Ending::Failed(output) => (TaskState::Failed, output),
                };
                next.push(state.clone());
                let ended = Ended { output, ..ended(live, to) };
                next.push(State { phase: Phase::Ended(ended), ..state.clone() });
            }
            Some(last) if last > token => next.push(state.clone()),
            // Nobody reports what he was not given.
            _ => {}
        },
        Phase::Ended(_) | Phase::Gone => next.push(state.clone()),
        Phase::Absent => {}
    }
}

fn ended(live: &Live, state: TaskState) -> Ended {
    Ended { number: live.number, state, output: None }
}

fn with_number(state: &State, number: TaskNo) -> Option<State> {
    let mut state = state.clone();
    let known = match &mut state.phase {
        Phase::Live(live) => &mut live.number,
        Phase::Ended(ended) => &mut ended.number,
        // It is gone, and took its number along.
        Phase::Gone => return Some(state),
        Phase::Absent => return None,
    };
    (*known.get_or_insert(number) == number).then_some(state)
}

impl TaskModel {
    fn cancel(&self, state: &State, reply: Reply) -> Vec<(State, Reply)> {
        let as_it_is = |reply| vec![(state.clone(), reply)];
        let to = |phase, reply| vec![(State { phase, ..state.clone() }, reply)];
        match (&state.phase, reply) {
            (Phase::Live(live), Reply::Done(_) | Reply::Lost) => {
                to(Phase::Ended(ended(live, TaskState::Cancelled)), Reply::Done(None))
            }
            (Phase::Live(live), Reply::HasEnded) => {
                let ends = self.unseen_ends().iter();
                ends.flat_map(|end| to(Phase::Ended(ended(live, *end)), Reply::HasEnded)).collect()
            }
            (Phase::Ended(_), Reply::HasEnded | Reply::Lost) => as_it_is(Reply::HasEnded),
            (Phase::Ended(_), Reply::NotFound) if self.retention && state.closed => to(Phase::Gone, Reply::NotFound),
            (Phase::Absent | Phase::Gone, Reply::NotFound | Reply::Lost) => as_it_is(Reply::NotFound),
            _ => Vec::new(),
        }
    }

    /// How a live task may have ended without anybody seeing it: by a timeout, or by a worker that was lost once too often; in
    /// any way if nobody listened to the workers.
    fn unseen_ends(&self) -> &'static [TaskState] {
        if self.reports_are_known { &[TaskState::Failed] } else { &[TaskState::Failed, TaskState::Succeed] }
    }

    /// What is live is cancelled; but it may have ended just before.
    fn close(&self, state: &State, next: &mut Vec<State>) {
        let closed = State { closed: true, ..state.clone() };
        let Phase::Live(live) = &state.phase else { return next.push(closed) };
        // The search tries the last one first.
        let ends = self.unseen_ends().iter().chain(&[TaskState::Cancelled]);
        next.extend(ends.map(|end| State { phase: Phase::Ended(ended(live, *end)), ..closed.clone() }));
    }

    fn read(&self, state: &State, reading: &Reading, next: &mut Vec<State>) {
        let Some(state) = with_number(state, reading.number) else { return };
        match &state.phase {
            Phase::Live(live) => next.extend(self.read_live(&state, live, reading)),
            Phase::Ended(ended) => {
                let same_output = ended.output.is_none() || reading.output.is_none() || ended.output == reading.output;
                if ended.state != reading.state || !same_output {
                    return;
                }
                let output = ended.output.or(reading.output);
                let phase = Phase::Ended(Ended { output, ..ended.clone() });
                next.push(State { phase, ..state });
            }
            Phase::Absent | Phase::Gone => {}
        }
    }

    fn read_live(&self, state: &State, live: &Live, reading: &Reading) -> Option<State> {
        let attempt = reading.attempt.unwrap_or(live.attempt);
        let phase = match reading.state {
            TaskState::Pending => state.phase.clone(),
            TaskState::Running if attempt >= live.attempt => Phase::Live(Live { attempt, ..live.clone() }),
            TaskState::Failed if reading.output.is_none() || !self.reports_are_known => {
                let output = reading.output;
                Phase::Ended(Ended { output, ..ended(live, TaskState::Failed) })
            }
            TaskState::Succeed if !self.reports_are_known => {
                let output = reading.output;
                Phase::Ended(Ended { output, ..ended(live, TaskState::Succeed) })
            }
            _ => return None,
        };
        Some(State { phase, ..state.clone() })
    }

    fn read_absent(&self, state: &State, trimmed: bool) -> Option<State> {
        match &state.phase {
            Phase::Absent => (!trimmed).then(|| state.clone()),
            Phase::Gone => Some(state.clone()),
            Phase::Ended(_) if self.retention && (trimmed || state.closed) => {
                Some(State { phase: Phase::Gone, ..state.clone() })
            }
            Phase::Ended(_) | Phase::Live(_) => None,
        }
    }
}
