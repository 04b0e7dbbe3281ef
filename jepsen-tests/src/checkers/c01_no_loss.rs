//! C1: what was acknowledged is there: sessions, tasks, ends that were told, results that workers were told to forget.
//!
//! Reads the acknowledgements of clients and workers, and the last readings, those asked for after everything was at rest.
//! Every list that was asked for then counts: one for each node shows that no node has lost anything.
//!
//! *Source:* acknowledged means durable on a majority (`docs/ARCHITECTURE.md`); the set workload of Jepsen's etcd, RabbitMQ
//! and NATS tests; a lost completion report is spur #501.

use std::collections::HashMap;

use flame_types::{SessionState, TaskState};

use super::{Checker, CheckerId, Found};
use crate::facts::{Facts, Seen, SessionAt, TaskFacts, ToldBy};
use crate::record::{Answer, Operation, Outcome, Witness};

/// The checker.
pub const CHECKER: Checker = Checker {
    id: CheckerId::C1,
    promise: "what was acknowledged is there",
    source: "acknowledged means durable on a majority; Jepsen's set tests; spur #501",
    needs: &[Witness::Clients],
    check,
};

fn check(facts: &Facts<'_>, found: &mut Found) {
    let Some(rest) = facts.rest else {
        return found.unclear(None, "the run never came to rest, so nobody was asked for the last time");
    };
    sessions(facts, found);
    for (session, of) in facts.sessions.iter().enumerate() {
        if facts.may_be_deleted(session) {
            continue;
        }
        let acknowledged = of.tasks.iter().any(|task| is_acknowledged(facts, &facts.tasks[*task]));
        let asked = of.lists.iter().any(|list| facts.is_final(&facts.ops[*list]));
        if acknowledged && !asked {
            found.unclear(rest.event, format!("nobody listed session {} after everything was at rest", of.name));
        }
    }
    for task in &facts.tasks {
        check_task(facts, task, found);
    }
    for (task, first, number, event) in &facts.swapped {
        let (task, first) = (facts.tasks[*task].nonce, facts.tasks[*first].nonce);
        found.broken(*event, format!("task {number} is {first} here and {task} there"));
    }
}

fn is_acknowledged(facts: &Facts<'_>, task: &TaskFacts<'_>) -> bool {
    task.submits.iter().any(|(op, _)| facts.ops[*op].answer().is_some())
}

/// What was shown after everything was at rest.
fn last_seen<'a, 'r>(facts: &'a Facts<'r>, task: &'a TaskFacts<'r>) -> impl Iterator<Item = &'a Seen<'r>> {
    task.seen.iter().filter(|seen| matches!(seen.by, ToldBy::Read(op) if facts.is_final(&facts.ops[op])))
}

fn check_task(facts: &Facts<'_>, task: &TaskFacts<'_>, found: &mut Found) {
    if !is_acknowledged(facts, task) {
        return;
    }
    found.count("acknowledged_tasks");
    let nonce = task.nonce;
    let deleted = facts.may_be_deleted(task.session);
    for absent in &task.absent {
        let op = &facts.ops[absent.op];
        let left_by_age = facts.header.plan.retention && absent.trimmed;
        if facts.is_final(op) && !deleted && !left_by_age {
            let node = op.node.map_or_else(|| "a node".to_owned(), |node| format!("node {node}"));
            found.broken(op.ret.map(|ret| ret.event), format!("{nonce} was acknowledged, and {node} does not have it"));
        }
    }
    let told = task.seen.iter().find(|seen| seen.task.state.is_terminal());
    for last in last_seen(facts, task) {
        let ToldBy::Read(op) = last.by else { continue };
        let event = facts.ops[op].ret.map(|ret| ret.event);
        if let Some(told) = told
            && !last.task.state.is_terminal()
        {
            let (told, last) = (told.task.state, last.task.state);
            found.broken(event, format!("{nonce} was told as {told}, and is {last} at rest"));
        }
        if matches!(last.task.state, TaskState::Pending | TaskState::Running) && has_stored_success(facts, task) {
            let state = last.task.state;
            found.broken(event, format!("the result of {nonce} was taken from its worker, and it is {state} at rest"));
        }
    }
}

/// Its last worker was told that the result is settled, and nothing else can have settled it.
fn has_stored_success(facts: &Facts<'_>, task: &TaskFacts<'_>) -> bool {
    let was_ended = !task.cancels.is_empty() || !facts.sessions[task.session].closes.is_empty();
    let last = task.grants.iter().max_by_key(|grant| grant.token);
    let report = last.filter(|grant| grant.stopped.is_none()).and_then(|grant| grant.report);
    let stored =
        report.is_some_and(|report| report.stored.is_some() && matches!(report.outcome, Outcome::Succeed { .. }));
    stored && !was_ended
}

fn sessions(facts: &Facts<'_>, found: &mut Found) {
    let finals = facts.ops.iter().filter(|op| facts.is_final(op));
    let mut lists = Vec::new();
    for op in finals {
        if let (Operation::ListSessions, Some(Answer::Sessions { sessions })) = (op.operation, op.answer()) {
            let shown: HashMap<&str, SessionState> =
                sessions.iter().map(|session| (&*session.session, session.state)).collect();
            lists.push((op, shown));
        }
    }
    for (at, session) in facts.sessions.iter().enumerate() {
        let made = session.creates.iter().any(|op| facts.ops[*op].answer().is_some());
        if !made || facts.may_be_deleted(at) {
            continue;
        }
        found.count("acknowledged_sessions");
        let closed = is_closed(facts, at);
        for (op, shown) in &lists {
            let (event, name) = (op.ret.map(|ret| ret.event), session.name);
            match shown.get(name) {
                None if closed && facts.header.plan.retention => {}
                None => found.broken(event, format!("session {name} was acknowledged, and is not listed")),
                Some(state) if closed && *state != SessionState::Closed => {
                    found.broken(event, format!("session {name} was closed, and is {state} at rest"));
                }
                Some(_) => {}
            }
        }
    }
}

fn is_closed(facts: &Facts<'_>, session: SessionAt) -> bool {
    facts.sessions[session].closes.iter().any(|op| facts.ops[*op].answer().is_some())
}
