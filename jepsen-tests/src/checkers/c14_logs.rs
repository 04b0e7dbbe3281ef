//! C14: no panic, no damage that nobody made, no death by surprise.
//!
//! Reads what coordinators wrote to their logs and how they ended. A coordinator whose disk was broken on purpose may say so
//! and end by itself; none may panic, whatever is done to it.
//!
//! *Source:* panics on disconnect, Restate #2535; snapshot crashes of Jepsen's Redis-Raft; `reliability.md` 1.3.

use super::{Checker, CheckerId, Found};
use crate::facts::Facts;
use crate::record::{FaultKind, NodeStep, Target, What, Witness};

/// The checker.
pub const CHECKER: Checker = Checker {
    id: CheckerId::C14,
    promise: "no panic, no damage, no death by surprise",
    source: "panics on disconnect (Restate #2535); Jepsen Redis-Raft; Jepsen NATS 2.12.1",
    needs: &[Witness::Logs],
    check,
};

/// What a process says that has broken an invariant of its own.
const PANICS: [&str; 3] = ["panicked at", "invariant is broken", "stack overflow"];

/// What a process says that has found its data damaged.
const DAMAGE: [&str; 4] = ["corrupt", "checksum", "torn", "does not match its manifest"];

fn check(facts: &Facts<'_>, found: &mut Found) {
    for (event, recorded) in facts.events.iter().enumerate() {
        let What::Node(node) = &recorded.what else { continue };
        let id = node.node;
        let broken = |test: fn(FaultKind) -> bool| {
            facts.faults.iter().any(|fault| {
                test(fault.kind) && fault.hits(&Target::Node(id)) && fault.from.is_some_and(|from| from.event < event)
            })
        };
        match &node.step {
            NodeStep::Log { error, text } => {
                found.count("lines");
                let lower = text.to_lowercase();
                if PANICS.iter().any(|word| lower.contains(word)) {
                    found.broken(event, format!("node {id} panicked: {text}"));
                } else if *error
                    && DAMAGE.iter().any(|word| lower.contains(word))
                    && !broken(FaultKind::may_stop_a_node)
                {
                    found.broken(event, format!("node {id} found damage that nobody made: {text}"));
                }
            }
            NodeStep::Exited { code, signal } => {
                found.count("exits");
                let asked = broken(FaultKind::ends_processes);
                let stopped = code.is_some_and(|code| code != 101) && broken(FaultKind::may_stop_a_node);
                if *code != Some(0) && !asked && !stopped {
                    let how = match (code, signal) {
                        (Some(code), _) => format!("with code {code}"),
                        (None, Some(signal)) => format!("by signal {signal}"),
                        (None, None) => "in an unknown way".to_owned(),
                    };
                    found.broken(event, format!("node {id} ended {how}, and nobody had done anything to it"));
                }
                // 101 is how a panic ends a process, and an abort is a signal that nobody else sends.
                if *code == Some(101) || *signal == Some(6) {
                    found.broken(event, format!("node {id} ended by a panic"));
                }
            }
            _ => {}
        }
    }
}
