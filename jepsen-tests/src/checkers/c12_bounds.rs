//! C12: what can grow is bounded, and once everything is drained it is as small as it was.
//!
//! Reads gauges: queues, windows, tables, memory, open files. Each sample says its own bound and, where there is one, how much
//! may be left when every session is closed.
//!
//! *Source:* "everything that can grow has a limit with a name" (`docs/ARCHITECTURE.md`); bounded dedup tables and metastable
//! overload: `reliability.md` 1.3.

use std::collections::BTreeMap;

use flame_types::CoordinatorId;

use super::{Checker, CheckerId, Found};
use crate::facts::{EventAt, Facts};
use crate::record::{NodeStep, What, Witness};

/// The checker.
pub const CHECKER: Checker = Checker {
    id: CheckerId::C12,
    promise: "what can grow is bounded, and comes back",
    source: "everything that can grow has a limit with a name",
    needs: &[Witness::Gauges],
    check,
};

/// The last sample of a gauge.
struct Last {
    event: EventAt,
    value: u64,
    drained: Option<u64>,
}

fn check(facts: &Facts<'_>, found: &mut Found) {
    let mut last: BTreeMap<(CoordinatorId, &str), Last> = BTreeMap::new();
    for (event, recorded) in facts.events.iter().enumerate() {
        let What::Node(node) = &recorded.what else { continue };
        let NodeStep::Gauge { name, value, max, drained } = &node.step else { continue };
        found.count("samples");
        if let Some(max) = max.filter(|max| value > max) {
            found.broken(event, format!("node {}: {name} is {value}, at most {max} are allowed", node.node));
        }
        last.insert((node.node, name), Last { event, value: *value, drained: *drained });
    }
    if last.is_empty() {
        return found.unclear(None, "nobody sampled a gauge");
    }
    let Some(end) = facts.drained else { return };
    for ((node, name), last) in last {
        let Some(allowed) = last.drained else { continue };
        if last.event < end.event {
            found.unclear(last.event, format!("node {node}: {name} was not sampled after everything was drained"));
        } else if last.value > allowed {
            let value = last.value;
            found.broken(
                last.event,
                format!("node {node}: {name} is {value} after everything was drained, not {allowed}"),
            );
        }
    }
}
