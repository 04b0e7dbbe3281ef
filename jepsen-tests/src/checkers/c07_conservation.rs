//! C7: what is allocated on a worker is the sum of its executors and fits the worker; what is shown as running is the sum of
//! what runs; an executor works on no more tasks at a time than it has slots; and after all work nothing is held.
//!
//! Reads samples of use, each taken at one log position, and the starts and ends of work where both are told.
//!
//! *Source:* the machine's invariants on capacity and counters (`docs/ARCHITECTURE.md`); leaked allocations are spur #133 and
//! #426.

use std::collections::HashMap;

use flame_types::{CoordinatorId, ExecutorKey, Token};

use super::{Checker, CheckerId, Found};
use crate::facts::{EventAt, Facts};
use crate::record::{NodeStep, What, Witness, WorkerStep, WorkerUse};

/// The checker.
pub const CHECKER: Checker = Checker {
    id: CheckerId::C7,
    promise: "what is allocated is what is used",
    source: "conservation of slots; spur #133, #426",
    needs: &[Witness::Usage],
    check,
};

fn check(facts: &Facts<'_>, found: &mut Found) {
    let (mut samples, mut slots) = (0_u64, HashMap::new());
    for (event, recorded) in facts.events.iter().enumerate() {
        let What::Node(node) = &recorded.what else { continue };
        let NodeStep::Usage { running, pending, workers, .. } = &node.step else { continue };
        samples += 1;
        sample(node.node, workers, *running, event, found);
        for executor in workers.iter().flat_map(|worker| &worker.executors) {
            slots.insert(executor.executor, executor.slots);
        }
        if facts.rest.is_some_and(|rest| rest.event < event) && (*running, *pending) != (0, 0) {
            let text = format!("node {} shows {running} running and {pending} pending tasks at rest", node.node);
            found.broken(event, text);
        }
        if facts.drained.is_some_and(|drained| drained.event < event) {
            drained(node.node, workers, event, found);
        }
    }
    overlaps(facts, &slots, found);
    found.figure("samples", samples);
    if samples == 0 {
        found.unclear(None, "nobody sampled the use of resources");
    }
}

fn sample(node: CoordinatorId, workers: &[WorkerUse], running: u64, event: EventAt, found: &mut Found) {
    let mut all_running = 0;
    for worker in workers {
        let held: u64 = worker.executors.iter().map(|executor| executor.size).sum();
        let (name, allocated, capacity) = (&worker.worker, worker.allocated, worker.capacity);
        if held != allocated {
            let text = format!("node {node}: {allocated} are allocated on {name}, its executors have {held}");
            found.broken(event, text);
        }
        if allocated > capacity {
            found.broken(event, format!("node {node}: {allocated} are allocated on {name}, which has {capacity}"));
        }
        for executor in &worker.executors {
            all_running += u64::from(executor.running);
            if executor.running > executor.slots {
                let text = format!(
                    "node {node}: {} tasks run in executor {}, which has {} slots",
                    executor.running, executor.executor, executor.slots
                );
                found.broken(event, text);
            }
        }
    }
    if all_running != running {
        found.broken(event, format!("node {node}: {running} tasks are counted as running, {all_running} run"));
    }
}

fn drained(node: CoordinatorId, workers: &[WorkerUse], event: EventAt, found: &mut Found) {
    for worker in workers.iter().filter(|worker| worker.allocated > 0) {
        let text = format!(
            "node {node}: {} are allocated on {} although every session is closed",
            worker.allocated, worker.worker
        );
        found.broken(event, text);
    }
}

/// What each executor works on at a time, by the word of whoever writes starts and ends. A report comes later than the end:
/// the next task may have begun by then. So without the ends nothing can be said.
fn overlaps(facts: &Facts<'_>, slots: &HashMap<ExecutorKey, u32>, found: &mut Found) {
    let is_end =
        |what: &What| matches!(what, What::Worker(worker) if matches!(worker.step, WorkerStep::Finished { .. }));
    if !facts.events.iter().any(|recorded| is_end(&recorded.what)) {
        return;
    }
    let mut works: HashMap<(&str, ExecutorKey), Vec<Token>> = HashMap::new();
    let mut place: HashMap<Token, (&str, ExecutorKey)> = HashMap::new();
    for (event, recorded) in facts.events.iter().enumerate() {
        let What::Worker(worker) = &recorded.what else { continue };
        let name = &*worker.worker;
        match &worker.step {
            WorkerStep::Started { executor, token, .. } => {
                found.count("starts_checked");
                place.insert(*token, (name, *executor));
                let now = works.entry((name, *executor)).or_default();
                now.push(*token);
                // Nobody sampled it: then it has one, as all of ours have.
                let slots = slots.get(executor).copied().unwrap_or(1) as usize;
                if now.len() > slots {
                    let text = format!("executor {executor} on {name} works on {} tasks at a time", now.len());
                    found.broken(event, text);
                }
            }
            WorkerStep::Finished { token } | WorkerStep::Returned { token } => {
                if let Some(now) = place.remove(token).and_then(|place| works.get_mut(&place)) {
                    now.retain(|working| working != token);
                }
            }
            WorkerStep::ExecutorLost { executor, .. } => drop(works.remove(&(name, *executor))),
            // A worker that was away may have been started anew: what ran there may have died unseen.
            WorkerStep::Attached => works.retain(|(worker, _), _| *worker != name),
            _ => {}
        }
    }
}
