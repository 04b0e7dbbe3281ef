//! C10: nothing runs twice without a cause, and no worker is given up without one. A new leader is no cause.
//!
//! Reads the starts of tasks, which tell a task that ran twice from one that was recorded twice, and holds each further one
//! against what happened to the one before: its worker lost its lease or was given up, its service died, it reported a
//! failure that is tried again, or it was told to stop. And reads who was given up, and whether anything was done to him.
//!
//! *Source:* a new leader must not judge workers by old heartbeats: spur #624, Nomad #3840 and #14481; leases that end by a
//! leader's stall, etcd #12528 and #15247.

use std::collections::HashMap;

use flame_types::ExecutorKey;

use super::{Checker, CheckerId, Found};
use crate::facts::{At, Facts, Start, TaskFacts};
use crate::record::{Nanos, NodeStep, Outcome, Target, Text, What, Witness, WorkerStep};

/// The checker.
pub const CHECKER: Checker = Checker {
    id: CheckerId::C10,
    promise: "nothing runs twice without a cause, and no worker is given up without one",
    source: "spur #624; Nomad #3840, #14481; etcd #12528, #15247",
    needs: &[Witness::Starts],
    check,
};

/// What took tasks from a worker, in the order of time.
#[derive(Default)]
struct Losses<'r> {
    /// Its lease was lost, or it was given up.
    workers: HashMap<&'r str, Vec<At>>,
    /// A service of it died.
    executors: HashMap<(&'r str, ExecutorKey), Vec<At>>,
}

fn check(facts: &Facts<'_>, found: &mut Found) {
    let losses = losses(facts, found);
    let (mut starts, mut reruns) = (0_u64, 0_u64);
    for task in &facts.tasks {
        starts += task.starts.len() as u64;
        for (nth, start) in task.starts.iter().enumerate().skip(1) {
            reruns += 1;
            check_rerun(facts, &losses, task, &task.starts[..nth], start, found);
        }
        // A success that nobody ran: somebody else's result, or none.
        let succeeded = task.was_seen_in(flame_types::TaskState::Succeed);
        if succeeded && task.starts.is_empty() {
            found.broken(task.first_event(&facts.ops), format!("{} succeeded, and no service ran it", task.nonce));
        }
    }
    found.figure("starts", starts);
    found.figure("reruns", reruns);
}

fn check_rerun(
    facts: &Facts<'_>,
    losses: &Losses<'_>,
    task: &TaskFacts<'_>,
    earlier: &[Start<'_>],
    start: &Start<'_>,
    found: &mut Found,
) {
    let (nonce, worker) = (task.nonce, start.worker);
    if earlier.iter().any(|other| other.token == start.token) {
        let token = start.token;
        return found.broken(start.at.event, format!("{worker} ran {nonce} twice under token {token}"));
    }
    // The one before in the order of the log, which is that of the tokens: starts of two workers may cross.
    let before = earlier.iter().filter(|other| other.token < start.token).max_by_key(|other| other.token);
    let Some(before) = before else {
        let text = format!("{worker} ran {nonce} under token {}, after a higher one was run", start.token);
        // Its worker stood still meanwhile, or it was cut off: then it must have lost its lease, or been broken.
        if !was_lost(facts, losses, start, start.at) {
            found.broken(start.at.event, text);
        }
        return;
    };
    if was_lost(facts, losses, before, start.at) || was_given_up(facts, task, before) {
        found.count("permitted_reruns");
    } else {
        let (first, token) = (before.worker, before.token);
        let text =
            format!("{nonce} ran on {first} under token {token} and again on {worker}, and nothing had happened");
        found.broken(start.at.event, text);
    }
}

/// Whether something took the task from the one who ran it, before it ran again.
fn was_lost(facts: &Facts<'_>, losses: &Losses<'_>, ran: &Start<'_>, again: At) -> bool {
    let since = facts.grant(ran.token).map_or(ran.at, |(_, grant)| grant.at.min(ran.at));
    let within = |times: Option<&Vec<At>>| {
        times.is_some_and(|times| {
            let next = times.partition_point(|at| *at < since);
            times.get(next).is_some_and(|at| *at < again)
        })
    };
    if within(losses.workers.get(ran.worker)) || within(losses.executors.get(&(ran.worker, ran.executor))) {
        return true;
    }
    // A worker that was killed says nothing any more.
    let worker = Target::Worker(Text::from(ran.worker));
    let mut faults = facts.faults.iter().filter(|fault| fault.hits(&worker));
    faults.any(|fault| fault.kind.ends_processes() && fault.overlaps(since.time, again.time))
}

/// Whether the start itself came to nothing: a failure that is tried again, a timeout.
fn was_given_up(facts: &Facts<'_>, task: &TaskFacts<'_>, ran: &Start<'_>) -> bool {
    let grant = task.grants.iter().find(|grant| grant.token == ran.token);
    let known = facts.header.witnesses.contains(&Witness::Workers);
    known
        && grant.is_some_and(|grant| {
            let failed = grant.report.is_some_and(|report| matches!(report.outcome, Outcome::Failed { .. }));
            failed || grant.stopped.is_some() || grant.returned.is_some()
        })
}

fn losses<'r>(facts: &Facts<'r>, found: &mut Found) -> Losses<'r> {
    let mut losses = Losses::default();
    let mut evictions: HashMap<(&str, u64), ()> = HashMap::new();
    for (event, recorded) in facts.events.iter().enumerate() {
        let at = At { event, time: recorded.time };
        match &recorded.what {
            What::Worker(worker) => match &worker.step {
                WorkerStep::LeaseLost => losses.workers.entry(&worker.worker).or_default().push(at),
                WorkerStep::ExecutorLost { executor, .. } => {
                    losses.executors.entry((&worker.worker, *executor)).or_default().push(at);
                }
                _ => {}
            },
            What::Node(node) => {
                if let NodeStep::Evicted { index, worker, said } = &node.step {
                    losses.workers.entry(worker).or_default().push(at);
                    // Every node tells the same entry.
                    if evictions.insert((worker, index.0), ()).is_none() && !said {
                        eviction(facts, worker, at, found);
                    }
                }
            }
            _ => {}
        }
    }
    found.figure("evictions", evictions.len() as u64);
    losses
}

/// A worker was given up for its silence: something must have silenced it within the lease before.
fn eviction(facts: &Facts<'_>, worker: &Text, at: At, found: &mut Found) {
    let target = Target::Worker(worker.clone());
    let lease = facts.header.plan.bounds.lease;
    // The lease runs from the last renewal, and whoever stood still shows it only afterwards.
    let window = Nanos(at.time.0.saturating_sub(lease.0.saturating_mul(2)));
    let mut faults = facts.faults.iter().filter(|fault| fault.hits(&target));
    let excused = faults.any(|fault| fault.kind.may_cost_a_worker_its_lease() && fault.overlaps(window, at.time));
    if !excused {
        found.broken(at.event, format!("{worker} was given up, and nothing had been done to it"));
    }
}
