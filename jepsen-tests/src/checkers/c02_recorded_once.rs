//! C2: recording is exactly once: one end for each task, one result for each end, one task for each mark of a submit,
//! however often it was sent; and nothing that nobody asked for.
//!
//! Reads every sighting of every client, and the completions that the log recorded.
//!
//! *Source:* exactly-once recording (`docs/ARCHITECTURE.md`); non-idempotent retries, also inside proxies and libraries, and
//! dedup entries that were evicted or missed a snapshot: `reliability.md` 1.3.

use std::collections::HashSet;

use flame_types::{LogIndex, TaskNo, TaskState};

use super::{Checker, CheckerId, Found};
use crate::facts::{EventAt, Facts, Op, TaskFacts, ToldBy};
use crate::record::{Answer, NodeStep, Operation, What, Witness};

/// The checker.
pub const CHECKER: Checker = Checker {
    id: CheckerId::C2,
    promise: "every task has one end, and every change was made once",
    source: "recording is exactly once; non-idempotent retries and lost dedup entries",
    needs: &[Witness::Clients],
    check,
};

fn check(facts: &Facts<'_>, found: &mut Found) {
    for task in &facts.tasks {
        one_number(facts, task, found);
        one_end(facts, task, found);
    }
    for event in &facts.unknown_tasks {
        found.broken(*event, "a worker runs a task that nobody submitted");
    }
    for op in &facts.ops {
        all_or_none(facts, op, found);
    }
    recorded_once(facts, found);
}

fn one_number(facts: &Facts<'_>, task: &TaskFacts<'_>, found: &mut Found) {
    let event = task.first_event(&facts.ops);
    if let [first, second, ..] = task.numbers.as_slice() {
        found.broken(event, format!("{} was submitted once, and is task {first} and task {second}", task.nonce));
    }
    if task.submits.is_empty() {
        found.broken(event, format!("nobody submitted {}, and it is there", task.nonce));
    }
}

fn one_end(facts: &Facts<'_>, task: &TaskFacts<'_>, found: &mut Found) {
    let ends = task.seen.iter().filter(|seen| seen.task.state.is_terminal());
    let mut first: Option<(TaskState, Option<&str>)> = None;
    for seen in ends {
        let event = event_of(facts, seen.by);
        if let Some(completions) = seen.task.completions.filter(|completions| *completions > 1) {
            found.broken(event, format!("{} ended {completions} times", task.nonce));
        }
        let end = (seen.task.state, seen.task.output.as_deref());
        let (state, output) = first.get_or_insert(end);
        let same_output = output.is_none() || end.1.is_none() || *output == end.1;
        if *state != end.0 || !same_output {
            let (state, output) = (*state, output.unwrap_or("nothing"));
            let (other, other_output) = (end.0, end.1.unwrap_or("nothing"));
            let text = format!("{} ended {state} with {output}, and {other} with {other_output}", task.nonce);
            return found.broken(event, text);
        }
        *output = output.or(end.1);
    }
}

/// A submit of several tasks whose answer was lost was made as a whole or not at all.
fn all_or_none(facts: &Facts<'_>, op: &Op<'_>, found: &mut Found) {
    let Operation::Submit { session, nonces, .. } = op.operation else { return };
    let Some(at) = facts.session(session).filter(|_| op.is_unknown() && nonces.len() > 1) else { return };
    // Only a list with marks shows what is not there.
    let shows_marks = |op: &Op<'_>| match op.answer() {
        Some(Answer::Tasks { tasks, .. }) => tasks.iter().all(|task| task.nonce.is_some()),
        _ => false,
    };
    let mut lists = facts.sessions[at].lists.iter().map(|list| &facts.ops[*list]);
    let last_list = lists.rfind(|list| facts.is_final(list) && shows_marks(list));
    let Some(list) = last_list.filter(|_| !facts.header.plan.retention) else { return };
    let numbers = nonces.iter().map(|nonce| facts.task_of(&nonce.0).and_then(|task| task.numbers.first()));
    let firsts: HashSet<Option<u64>> =
        (0..).zip(numbers).map(|(place, number)| Some(number?.0.wrapping_sub(place))).collect();
    if firsts.len() > 1 {
        let event = list.ret.map(|ret| ret.event);
        found.broken(event, format!("the submit of {} and others was made by half, or twice", nonces[0]));
    }
}

fn event_of(facts: &Facts<'_>, by: ToldBy) -> Option<EventAt> {
    match by {
        ToldBy::Read(op) => facts.ops[op].ret.map(|ret| ret.event),
        ToldBy::Watch(at) => Some(at.event),
    }
}

/// All nodes record the same entries, so what counts is the log position.
fn recorded_once(facts: &Facts<'_>, found: &mut Found) {
    let mut ends: Vec<(&str, TaskNo, LogIndex, EventAt)> = Vec::new();
    for (event, recorded) in facts.events.iter().enumerate() {
        if let What::Node(node) = &recorded.what
            && let NodeStep::Recorded { index, session, task, state, .. } = &node.step
            && state.is_terminal()
        {
            ends.push((session, *task, *index, event));
        }
    }
    ends.sort_unstable();
    ends.dedup_by_key(|(session, task, index, _)| (*session, *task, *index));
    let mut tasks = 0;
    for ends in ends.chunk_by(|one, other| (one.0, one.1) == (other.0, other.1)) {
        tasks += 1;
        if let [(session, task, ..), .., (.., last)] = ends {
            let positions: Vec<String> = ends.iter().map(|(_, _, index, _)| index.to_string()).collect();
            let text = format!("task {task} of {session} ended at log positions {}", positions.join(", "));
            found.broken(*last, text);
        }
    }
    found.figure("recorded_completions", tasks);
}
