//! C13: an error says what is true. What was certainly refused was not done, and what is not certain is not called so.
//!
//! Reads refusals, and everything by which one can see that a change was done all the same. A change that was sent more than
//! once may be refused one time and done another; only one of which every attempt was refused must not be seen.
//!
//! *Source:* "a timeout is an unknown outcome, never a failure" (`docs/ARCHITECTURE.md`); `reliability.md` 4.2, rule 12.

use std::collections::HashSet;

use flame_types::TaskState;

use super::{Checker, CheckerId, Found};
use crate::facts::{End, Facts, OpAt, SessionFacts, TaskFacts};
use crate::record::{Answer, Operation, Witness};

/// The checker.
pub const CHECKER: Checker = Checker {
    id: CheckerId::C13,
    promise: "an error says what is true",
    source: "a timeout is an unknown outcome, never a failure",
    needs: &[Witness::Clients],
    check,
};

fn check(facts: &Facts<'_>, found: &mut Found) {
    for op in &facts.ops {
        let End::Fail(error) = op.end else { continue };
        found.count("refusals");
        let event = op.ret.map(|ret| ret.event);
        if op.operation.is_write() && !error.class.is_certain() {
            let (name, class) = (op.operation.name(), error.class);
            found.broken(
                event,
                format!("a {name} that ended with {class:?} was called a failure: it may have been done"),
            );
        }
    }
    for task in &facts.tasks {
        submit(facts, task, found);
        cancel(facts, task, found);
    }
    let shown = shown_sessions(facts);
    for session in &facts.sessions {
        create(facts, session, &shown, found);
    }
}

fn all_refused(facts: &Facts<'_>, mut ops: impl Iterator<Item = OpAt>) -> bool {
    ops.all(|op| facts.ops[op].did_nothing())
}

fn submit(facts: &Facts<'_>, task: &TaskFacts<'_>, found: &mut Found) {
    let Some((first, _)) = task.submits.first() else { return };
    let was_seen = !task.seen.is_empty() || !task.grants.is_empty() || !task.starts.is_empty();
    if was_seen && all_refused(facts, task.submits.iter().map(|(op, _)| *op)) {
        let op = &facts.ops[*first];
        let why = op.refusal().map(|error| format!("{:?}", error.class)).unwrap_or_default();
        found.broken(op.ret.map(|ret| ret.event), format!("{} was refused ({why}), and it is there", task.nonce));
    }
}

fn cancel(facts: &Facts<'_>, task: &TaskFacts<'_>, found: &mut Found) {
    let Some(first) = task.cancels.first() else { return };
    let was_closed = !facts.sessions[task.session].closes.is_empty();
    if task.was_seen_in(TaskState::Cancelled) && !was_closed && all_refused(facts, task.cancels.iter().copied()) {
        let event = facts.ops[*first].ret.map(|ret| ret.event);
        found.broken(event, format!("every cancel of {} was refused, and it is cancelled", task.nonce));
    }
}

/// Sessions that somebody was shown.
fn shown_sessions<'r>(facts: &Facts<'r>) -> HashSet<&'r str> {
    let mut shown = HashSet::new();
    for op in &facts.ops {
        match (op.operation, op.answer()) {
            (Operation::ListSessions, Some(Answer::Sessions { sessions })) => {
                shown.extend(sessions.iter().map(|seen| &*seen.session));
            }
            (Operation::OpenSession { session, .. }, Some(Answer::Session { created: false })) => {
                shown.insert(&**session);
            }
            (Operation::List { session }, Some(_)) => drop(shown.insert(&**session)),
            _ => {}
        }
    }
    shown
}

fn create(facts: &Facts<'_>, session: &SessionFacts<'_>, shown: &HashSet<&str>, found: &mut Found) {
    let Some(first) = session.creates.first() else { return };
    if shown.contains(session.name) && all_refused(facts, session.creates.iter().copied()) {
        let event = facts.ops[*first].ret.map(|ret| ret.event);
        found.broken(event, format!("session {} was refused, and it is there", session.name));
    }
}
