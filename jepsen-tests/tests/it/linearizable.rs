//! The search, against two others: one that tries every order, and that of `todc-utils`. All three must say the same of
//! small random histories, of a register and of a task.

use std::collections::BTreeSet;
use std::fmt::Debug;

use flame_jepsen::generate::Dice;
use flame_jepsen::search::{Linearizability, Model, Timed, search};
use flame_jepsen::task_model::{Ending, Op as Step, Reading, Reply, State, TaskModel};
use flame_types::{TaskNo, TaskState, Token};
use proptest::prelude::*;
use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};
use todc_utils::specifications::Specification;

/// More than any search of these tests needs.
const STEPS_MAX: u64 = 10_000_000;

// ── three searches ──────────────────────────────────────────────────────────────────────────────────────────────────

fn ours<M: Model>(model: &M, start: &M::State, ops: &[Timed<M::Op>]) -> bool {
    match search(model, start, ops, STEPS_MAX) {
        Linearizability::Valid => true,
        Linearizability::Invalid { .. } => false,
        Linearizability::Unknown => panic!("small histories are always clear"),
    }
}

/// Tries every order.
fn every_order<M: Model>(model: &M, state: &M::State, ops: &[Timed<M::Op>], taken: u32) -> bool {
    let left = |op: usize| taken & (1 << op) == 0;
    if (0..ops.len()).all(|op| !left(op) || ops[op].ret.is_none()) {
        return true;
    }
    (0..ops.len()).filter(|op| left(*op)).any(|op| {
        let first = (0..ops.len())
            .filter(|other| left(*other))
            .all(|other| other == op || ops[other].ret.is_none_or(|ret| ret >= ops[op].call));
        let mut next = Vec::new();
        model.successors(state, &ops[op].op, &mut next);
        first && next.iter().any(|state| every_order(model, state, ops, taken | (1 << op)))
    })
}

/// The search of `todc-utils` knows neither pending operations nor several states: every choice of pending operations that
/// happened is tried, and a set of states is one state.
fn theirs<S>(ops: &[Timed<S::Operation>]) -> bool
where
    S: Specification,
{
    let pending: Vec<usize> = (0..ops.len()).filter(|op| ops[*op].ret.is_none()).collect();
    (0..1_u32 << pending.len()).any(|chosen| {
        let mut moments = Vec::new();
        for (op, timed) in ops.iter().enumerate() {
            let happened = pending.iter().position(|pending| *pending == op).map(|place| chosen & (1 << place) != 0);
            if happened != Some(false) {
                moments.push((timed.call, false, op));
                moments.push((timed.ret.unwrap_or(u64::MAX), true, op));
            }
        }
        moments.sort_unstable();
        let actions = moments.into_iter().map(|(_, is_return, op)| {
            let operation = ops[op].op.clone();
            (op, if is_return { Action::Response(operation) } else { Action::Call(operation) })
        });
        let actions: Vec<_> = actions.collect();
        actions.is_empty() || WGLChecker::<S>::is_linearizable(History::from_actions(actions))
    })
}

// ── a register ──────────────────────────────────────────────────────────────────────────────────────────────────────

#[derive(Clone, Debug, PartialEq)]
enum RegisterOp {
    Write(u8),
    Read(u8),
    /// From the first to the second, and whether that was so.
    Swap(u8, u8, bool),
}

struct Register;

fn register(state: u8, op: &RegisterOp) -> Option<u8> {
    match *op {
        RegisterOp::Write(value) => Some(value),
        RegisterOp::Read(value) => (value == state).then_some(state),
        RegisterOp::Swap(from, to, true) => (from == state).then_some(to),
        RegisterOp::Swap(from, _, false) => (from != state).then_some(state),
    }
}

impl Model for Register {
    type State = u8;
    type Op = RegisterOp;

    fn successors(&self, state: &u8, op: &RegisterOp, next: &mut Vec<u8>) {
        next.extend(register(*state, op));
    }
}

impl Specification for Register {
    type State = u8;
    type Operation = RegisterOp;

    fn init() -> u8 {
        0
    }

    fn apply(op: &RegisterOp, state: &u8) -> (bool, u8) {
        register(*state, op).map_or((false, *state), |next| (true, next))
    }
}

fn register_ops() -> impl Strategy<Value = Vec<Timed<RegisterOp>>> {
    let op = prop_oneof![
        (0..3_u8).prop_map(RegisterOp::Write),
        (0..3_u8).prop_map(RegisterOp::Read),
        (0..3_u8, 0..3_u8, any::<bool>()).prop_map(|(from, to, done)| RegisterOp::Swap(from, to, done)),
    ];
    let timed = (op, 0..12_u64, proptest::option::weighted(0.8, 0..8_u64)).prop_map(|(op, call, lasts)| Timed {
        call,
        ret: lasts.map(|lasts| call + lasts),
        op,
    });
    proptest::collection::vec(timed, 0..7)
}

// ── a task ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const MODEL: TaskModel = TaskModel { reports_are_known: true, retention: false };

/// All states in which the task may be.
struct Task;

impl Specification for Task {
    type State = Vec<State>;
    type Operation = Step;

    fn init() -> Vec<State> {
        vec![State::default()]
    }

    fn apply(op: &Step, states: &Vec<State>) -> (bool, Vec<State>) {
        let mut all: Vec<State> = Vec::new();
        for state in states {
            let mut next = Vec::new();
            MODEL.successors(state, op, &mut next);
            for state in next {
                if !all.contains(&state) {
                    all.push(state);
                }
            }
        }
        if all.is_empty() { (false, states.clone()) } else { (true, all) }
    }
}

fn some_reading(dice: &mut Dice) -> Reading {
    let states = [TaskState::Pending, TaskState::Running, TaskState::Succeed, TaskState::Failed, TaskState::Cancelled];
    let state = *dice.pick(&states).expect("there are some");
    let output = (state == TaskState::Succeed).then(|| dice.below(2) as u32);
    let attempt = dice.percent(50).then(|| dice.between(1, 2) as u32);
    Reading { number: TaskNo(dice.between(1, 2)), state, attempt, output }
}

fn some_op(dice: &mut Dice) -> Step {
    let request = dice.percent(40).then(|| dice.below(2) as u32);
    let number = TaskNo(1 + u64::from(dice.percent(10)));
    match dice.below(20) {
        0..=2 => {
            let reply = if dice.percent(70) { Reply::Done(Some(number)) } else { Reply::Lost };
            Step::Submit { request, reply }
        }
        3..=5 => {
            let replies = [Reply::Done(None), Reply::HasEnded, Reply::NotFound, Reply::Lost];
            // The other half of the ids: a change is either a submit or a cancel.
            let reply = *dice.pick(&replies).expect("there are some");
            Step::Cancel { request: request.map(|request| request + 2), reply }
        }
        6 => Step::Close,
        7 => Step::Delete,
        8 => Step::ReadAbsent { trimmed: false },
        9..=13 => Step::Read(some_reading(dice)),
        14 => {
            let reading = some_reading(dice);
            if reading.state.is_terminal() { Step::Told(reading) } else { Step::Read(reading) }
        }
        15 | 16 => Step::Grant { token: Token(dice.between(1, 2)), attempt: dice.between(1, 2) as u32 },
        _ => {
            let output = Some(dice.below(2) as u32);
            let outcome = if dice.percent(70) { Ending::Succeed(output) } else { Ending::Failed(output) };
            Step::Report { token: Token(dice.between(1, 2)), outcome }
        }
    }
}

/// A history that really happened, one operation at each tenth moment, with calls and returns somewhere around.
fn happened(dice: &mut Dice, length: u64) -> Vec<Timed<Step>> {
    let (mut state, mut ops) = (State::default(), Vec::new());
    while (ops.len() as u64) < length {
        let op = some_op(dice);
        let mut next = Vec::new();
        MODEL.successors(&state, &op, &mut next);
        if let Some(after) = dice.pick(&next) {
            state = after.clone();
            let moment = (ops.len() as u64 + 1) * 10;
            let call = moment.saturating_sub(dice.below(25));
            let ret = dice.percent(85).then(|| moment + dice.below(25));
            ops.push(Timed { call, ret, op });
        }
    }
    ops
}

fn agree(ops: &[Timed<Step>]) -> bool {
    let found = ours(&MODEL, &State::default(), ops);
    assert_eq!(found, every_order(&MODEL, &State::default(), ops, 0), "the search against every order: {ops:#?}");
    assert_eq!(found, theirs::<Task>(ops), "the search against that of todc-utils: {ops:#?}");
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn three_searches_agree_on_a_register(ops in register_ops()) {
        let found = ours(&Register, &0, &ops);
        prop_assert_eq!(found, every_order(&Register, &0, &ops, 0));
        prop_assert_eq!(found, theirs::<Register>(&ops));
    }

    #[test]
    fn three_searches_agree_on_a_task(seed in any::<u64>(), length in 1..7_u64, changes in 0..3_u64) {
        let mut dice = Dice::new(seed);
        let mut ops = happened(&mut dice, length);
        if changes == 0 {
            prop_assert!(agree(&ops), "it happened");
        }
        for _ in 0..changes {
            let place = dice.below(length) as usize;
            ops[place].op = some_op(&mut dice);
            agree(&ops);
        }
    }
}

/// The tests above prove nothing if all histories are of one kind.
#[test]
fn random_histories_are_of_both_kinds() {
    let mut valid = 0;
    for seed in 0..1_000 {
        let mut dice = Dice::new(seed);
        let mut ops = happened(&mut dice, 6);
        ops[dice.below(6) as usize].op = some_op(&mut dice);
        valid += u32::from(agree(&ops));
    }
    assert!((200..=800).contains(&valid), "{valid} of 1000 are linearizable");
}

#[test]
fn the_operation_on_which_it_breaks_is_named() {
    let timed = |call, ret, op| Timed { call, ret: Some(ret), op };
    let ops = [
        timed(0, 1, RegisterOp::Write(1)),
        timed(2, 3, RegisterOp::Read(1)),
        timed(4, 5, RegisterOp::Read(2)),
        timed(6, 7, RegisterOp::Read(1)),
    ];
    let found = search(&Register, &0, &ops, STEPS_MAX);
    assert_eq!(found, Linearizability::Invalid { explained: 2, broke_on: 2 });
}

#[test]
fn a_budget_that_is_used_up_is_no_verdict() {
    // Writes that nobody reads may stand in any order; the last reading fits none of them.
    let writes = (0..12).map(|value| Timed { call: 0, ret: Some(100), op: RegisterOp::Write(value) });
    let read = Timed { call: 200, ret: Some(201), op: RegisterOp::Read(99) };
    let ops: Vec<_> = writes.chain([read]).collect();
    assert_eq!(search(&Register, &0, &ops, 1_000), Linearizability::Unknown);
    let found = search(&Register, &0, &ops, STEPS_MAX);
    assert!(matches!(found, Linearizability::Invalid { explained: 12, broke_on: 12 }), "{found:?}");
}

#[test]
fn a_long_history_takes_about_a_step_for_each_operation() {
    const LENGTH: u64 = 20_000;
    let ops: Vec<_> = (0..LENGTH)
        .map(|at| {
            let value = (at / 2 % 3) as u8;
            let op = if at % 2 == 0 { RegisterOp::Write(value) } else { RegisterOp::Read(value) };
            Timed { call: at * 10, ret: Some(at * 10 + 12), op }
        })
        .collect();
    assert_eq!(search(&Register, &0, &ops, LENGTH * 4), Linearizability::Valid);
}

#[test]
fn pending_operations_that_change_nothing_cost_nothing() {
    let reading = |state| Reading { number: TaskNo(1), state, attempt: None, output: None };
    let mut ops =
        vec![Timed { call: 1, ret: Some(2), op: Step::Submit { request: None, reply: Reply::Done(Some(TaskNo(1))) } }];
    ops.push(Timed { call: 3, ret: Some(4), op: Step::Close });
    // Forty cancels whose answers were lost, of a task that had ended before.
    ops.extend((0..40).map(|at| Timed {
        call: 10 + at,
        ret: None,
        op: Step::Cancel { request: None, reply: Reply::Lost },
    }));
    ops.push(Timed { call: 100, ret: Some(101), op: Step::Read(reading(TaskState::Cancelled)) });
    assert_eq!(search(&MODEL, &State::default(), &ops, 500), Linearizability::Valid);
    ops.push(Timed { call: 110, ret: Some(111), op: Step::Read(reading(TaskState::Running)) });
    let found = search(&MODEL, &State::default(), &ops, 5_000);
    assert!(matches!(found, Linearizability::Invalid { .. }), "{found:?}");
    let kinds: BTreeSet<bool> = ops.iter().map(|op| op.ret.is_none()).collect();
    assert_eq!(kinds.len(), 2);
}
