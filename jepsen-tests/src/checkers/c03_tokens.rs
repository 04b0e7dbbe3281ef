//! C3: a completion is recorded only under the token that its task has at that position of the log; nobody begins what was
//! not given to him, or was given under a lease that is over.
//!
//! Reads what workers were given and began, and what the log recorded. Where the log also tells its assignments and releases,
//! each completion is held against the very token of its moment; where it does not, what is known without them is enough
//! for this: tokens grow with the log, and a task that has ended is never given out again. So a completion under any but
//! the highest token that anybody was ever given for the task is wrong, one way or the other.
//!
//! *Source:* the fencing rule, "same token or it does not count" (`docs/ARCHITECTURE.md`); Jepsen's finding on etcd's locks;
//! KIP-1251.

use std::collections::{BTreeMap, HashMap, HashSet};

use flame_types::{LogIndex, TaskNo, Token};

use super::{Checker, CheckerId, Found};
use crate::facts::{EventAt, Facts};
use crate::record::{NodeStep, What, Witness, WorkerStep};

/// The checker.
pub const CHECKER: Checker = Checker {
    id: CheckerId::C3,
    promise: "a result counts under the token that its task has, and no other",
    source: "fencing at the record; Jepsen etcd 3.4.3 (locks); KIP-1251",
    needs: &[Witness::Workers],
    check,
};

type TaskKey<'r> = (&'r str, TaskNo);

/// What an entry did with a token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Move {
    Recorded,
    Released,
    Assigned,
}

fn check(facts: &Facts<'_>, found: &mut Found) {
    grants(facts, found);
    leases(facts, found);
    journal(facts, found);
}

/// A token is one task for one worker, and a start needs one.
fn grants(facts: &Facts<'_>, found: &mut Found) {
    let mut holders: HashMap<Token, (usize, &str)> = HashMap::new();
    for (at, task) in facts.tasks.iter().enumerate() {
        for grant in &task.grants {
            let first = *holders.entry(grant.token).or_insert((at, grant.worker));
            if first != (at, grant.worker) {
                let (other, worker) = (facts.tasks[first.0].nonce, first.1);
                let text = format!(
                    "token {} was given to {worker} for {other} and to {} for {}",
                    grant.token, grant.worker, task.nonce
                );
                found.broken(grant.at.event, text);
            }
        }
    }
    for (at, task) in facts.tasks.iter().enumerate() {
        for start in &task.starts {
            let given = holders.get(&start.token).is_some_and(|holder| *holder == (at, start.worker));
            let granted = facts.grant(start.token).is_some_and(|(_, grant)| grant.at <= start.at);
            if !(given && granted) {
                let (worker, token, nonce) = (start.worker, start.token, task.nonce);
                found.broken(
                    start.at.event,
                    format!("{worker} began {nonce} under token {token}, which it was not given"),
                );
            }
        }
    }
}

/// After its lease a worker begins nothing, until it has another one. What its service has at hand has begun.
fn leases(facts: &Facts<'_>, found: &mut Found) {
    let mut over: HashMap<&str, EventAt> = HashMap::new();
    let mut handed: HashSet<Token> = HashSet::new();
    for (event, recorded) in facts.events.iter().enumerate() {
        let What::Worker(worker) = &recorded.what else { continue };
        let is_over = over.contains_key(&*worker.worker);
        let begun = match &worker.step {
            WorkerStep::LeaseLost => {
                over.insert(&worker.worker, event);
                continue;
            }
            WorkerStep::Attached => {
                over.remove(&*worker.worker);
                continue;
            }
            WorkerStep::Handed { token } => {
                handed.insert(*token);
                *token
            }
            WorkerStep::Started { token, .. } if !handed.contains(token) => *token,
            _ => continue,
        };
        if is_over {
            found.broken(event, format!("{} began token {begun} after its lease was over", worker.worker));
        }
    }
}

/// What an entry did to a task, and where that can be seen.
type Moved<'r> = (&'r str, TaskNo, LogIndex, Move, Token, EventAt);

/// What the log did to each task, in the order of the log. Every node tells the same entries, so each counts once.
fn journal(facts: &Facts<'_>, found: &mut Found) {
    let mut moves: Vec<Moved<'_>> = Vec::new();
    let mut assigned: BTreeMap<Token, (LogIndex, TaskKey<'_>)> = BTreeMap::new();
    for (event, seen) in facts.events.iter().enumerate() {
        let What::Node(node) = &seen.what else { continue };
        let (index, session, task, token, what) = match &node.step {
            NodeStep::Assigned { index, session, task, token, .. } => {
                let (_, other) = *assigned.entry(*token).or_insert((*index, (session, *task)));
                if other != (&**session, *task) {
                    found.broken(event, format!("token {token} was given for task {} and for task {task}", other.1));
                }
                (*index, session, *task, *token, Move::Assigned)
            }
            NodeStep::Released { index, session, task, token } => (*index, session, *task, *token, Move::Released),
            NodeStep::Recorded { index, session, task, token, .. } => (*index, session, *task, *token, Move::Recorded),
            _ => continue,
        };
        moves.push((session, task, index, what, token, event));
    }
    growing(&assigned, found);
    moves.sort_unstable();
    moves.dedup_by_key(|(session, task, index, what, token, _)| (*session, *task, *index, *what, *token));
    for moves in moves.chunk_by(|one, other| (one.0, one.1) == (other.0, other.1)) {
        if !assigned.is_empty() {
            replay(moves, found);
        }
        for (session, task, _, what, token, event) in moves {
            if *what == Move::Recorded {
                recorded(facts, (session, *task), *token, *event, found);
            }
        }
    }
}

fn growing(assigned: &BTreeMap<Token, (LogIndex, TaskKey<'_>)>, found: &mut Found) {
    let mut before = LogIndex(0);
    for (token, (index, _)) in assigned {
        if *index < before {
            found.broken(
                None,
                format!("token {token} was made at log position {index}, after a higher one at {before}"),
            );
        }
        before = before.max(*index);
    }
}

/// The token that the task has, entry by entry. In one entry a task may be recorded, taken back or given out, in this order.
fn replay(moves: &[Moved<'_>], found: &mut Found) {
    let mut has = None;
    for (session, task, index, what, token, event) in moves {
        match what {
            Move::Assigned => has = Some(*token),
            Move::Released => has = has.filter(|has| has != token),
            Move::Recorded => {
                found.count("completions_checked");
                if has != Some(*token) {
                    let has = has.map_or_else(|| "none".to_owned(), |has| has.to_string());
                    let text = format!(
                        "task {task} of {session} was recorded at log position {index} under token {token}; it had {has}"
                    );
                    found.broken(*event, text);
                }
                has = None;
            }
        }
    }
}

/// A completion against what workers know.
fn recorded(facts: &Facts<'_>, (session, task): TaskKey<'_>, token: Token, event: EventAt, found: &mut Found) {
    let Some(known) = facts.task(session, task) else { return };
    let nonce = known.nonce;
    if !known.grants.iter().any(|grant| grant.token == token) {
        return found
            .broken(event, format!("{nonce} was recorded under token {token}, which no worker was given for it"));
    }
    let ended = known.grants.iter().find(|grant| grant.token == token).and_then(|grant| grant.report);
    if ended.is_none_or(|report| report.at.event > event) {
        return found.broken(event, format!("{nonce} was recorded under token {token}, and nobody had reported it"));
    }
    let state = match &facts.events[event].what {
        What::Node(node) => match &node.step {
            NodeStep::Recorded { state, .. } => *state,
            _ => return,
        },
        _ => return,
    };
    let highest = known.grants.iter().max_by_key(|grant| grant.token);
    if let Some(highest) = highest.filter(|highest| state.is_terminal() && highest.token > token) {
        let (worker, other) = (highest.worker, highest.token);
        let text = format!("{nonce} ended under token {token}, and {worker} was given it under token {other}");
        found.broken(event, text);
    }
}
