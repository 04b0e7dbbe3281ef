//! C8: when nothing is broken any more, everything gets well by itself and within a bound: calls are answered, every task
//! that was acknowledged ends, and the run comes to rest.
//!
//! Reads the phases of the run, the operations called after the heal, and the last readings.
//!
//! *Source:* TigerBeetle's liveness mode; Jepsen's Chronos, whose scheduler never came back; Restate #4402.

use std::collections::HashMap;

use super::{Checker, CheckerId, Found};
use crate::facts::{Facts, OpAt, ToldBy};
use crate::record::Witness;

/// The checker.
pub const CHECKER: Checker = Checker {
    id: CheckerId::C8,
    promise: "when nothing is broken any more, everything gets well",
    source: "TigerBeetle VOPR's liveness mode; Jepsen Chronos; Restate #4402",
    needs: &[Witness::Clients],
    check,
};

fn check(facts: &Facts<'_>, found: &mut Found) {
    let Some(heal) = facts.heal else {
        return found.unclear(None, "the run never healed its faults, so nothing says whether it gets well");
    };
    let settle = facts.header.plan.bounds.settle;
    match facts.rest {
        None => found.broken(heal.event, "everything was healed, and the run never came to rest"),
        Some(rest) => {
            let took = rest.time.since(heal.time);
            found.figure("settled_ms", took.0 / 1_000_000);
            if took > settle {
                found.broken(rest.event, format!("it took {took} from the heal to rest, at most {settle} are allowed"));
            }
        }
    }
    for fault in &facts.faults {
        let healed = fault.to.is_some_and(|to| to.event <= heal.event);
        if let Some(from) = fault.from.filter(|_| !healed) {
            let text = format!("fault {} ({:?}) was never healed, or after the heal", fault.number, fault.kind);
            found.unclear(from.event, text);
        }
    }
    unserved(facts, found);
    unended(facts, found);
}

/// Calls that nobody answered although nothing was broken any more.
fn unserved(facts: &Facts<'_>, found: &mut Found) {
    let Some(heal) = facts.heal else { return };
    let well = heal.time.plus(facts.header.plan.bounds.settle);
    let mut served = 0_u64;
    for op in facts.ops.iter().filter(|op| op.call.event > heal.event) {
        if !op.is_unknown() {
            served += 1;
        } else if op.ret.is_none() {
            let (process, name) = (op.process, op.operation.name());
            found.broken(
                op.call.event,
                format!("client {process} asked for {name} after the heal and was never answered"),
            );
        } else if op.call.time > well {
            let name = op.operation.name();
            found.broken(op.call.event, format!("a {name} well after the heal has an unknown outcome"));
        }
    }
    found.figure("served_after_heal", served);
    if served == 0 {
        found.missing("nothing was asked for after the heal");
    }
}

/// Tasks that were acknowledged and do not end.
fn unended(facts: &Facts<'_>, found: &mut Found) {
    let mut finals: HashMap<OpAt, u64> = HashMap::new();
    for task in &facts.tasks {
        let acknowledged = task.submits.iter().any(|(op, _)| facts.ops[*op].answer().is_some());
        for seen in &task.seen {
            let ToldBy::Read(op) = seen.by else { continue };
            if acknowledged && facts.is_final(&facts.ops[op]) && !seen.task.state.is_terminal() {
                *finals.entry(op).or_default() += 1;
                let (nonce, state) = (task.nonce, seen.task.state);
                let event = facts.ops[op].ret.map(|ret| ret.event);
                found.broken(event, format!("{nonce} was acknowledged, and is {state} for ever"));
            }
        }
    }
    found.figure("unended_tasks", finals.values().copied().max().unwrap_or(0));
}
