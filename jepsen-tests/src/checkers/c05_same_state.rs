//! C5: nodes that have applied the same entries have the same state, also after a snapshot and a restart.
//!
//! Reads the digests that nodes tell, with the position and the term of the last entry.
//!
//! *Source:* the machine is a pure function, memory is a function of the rows (`docs/ARCHITECTURE.md`); clocks read inside
//! apply are databend #7325.

use std::collections::HashMap;

use flame_types::{CoordinatorId, LogIndex};

use super::{Checker, CheckerId, Found};
use crate::facts::Facts;
use crate::record::{NodeStep, What, Witness};

/// The checker.
pub const CHECKER: Checker = Checker {
    id: CheckerId::C5,
    promise: "equal positions, equal states",
    source: "the machine is a pure function; databend #7325, TemporalStore #1710",
    needs: &[Witness::Digests],
    check,
};

fn check(facts: &Facts<'_>, found: &mut Found) {
    let mut states: HashMap<LogIndex, (&str, CoordinatorId)> = HashMap::new();
    let mut compared = 0;
    for (event, recorded) in facts.events.iter().enumerate() {
        let What::Node(node) = &recorded.what else { continue };
        let NodeStep::Applied { index, digest, .. } = &node.step else { continue };
        let (first, first_node) = *states.entry(*index).or_insert((digest, node.node));
        compared += u64::from(first_node != node.node);
        if first != &**digest {
            let text = format!(
                "after entry {index} node {} has the state {digest}, and node {first_node} had {first}",
                node.node
            );
            found.broken(event, text);
        }
    }
    found.figure("positions", states.len() as u64);
    found.figure("digests_compared", compared);
    if compared == 0 {
        found.unclear(None, "no two nodes told the digest of one position");
    }
}
