//! C6: a watch tells every end after where it began, each once, in the order of the log; it never goes back, and what it
//! leaves out it says that it leaves out.
//!
//! Reads what watches told. What they should have told is what any of them told, together with the completions that the log
//! recorded: an end that one witness knows and a watch that was past it did not tell is a gap. A watch that is open when
//! everything is at rest must have told everything.
//!
//! *Source:* "a watch never skips silently" (`docs/ARCHITECTURE.md`); etcd's watch guarantees and their bugs #15271, #17247
//! and #17529.

use std::collections::{BTreeMap, HashMap, HashSet};

use flame_types::{TaskNo, TaskState};

use super::{Checker, CheckerId, Found};
use crate::facts::{EventAt, Facts};
use crate::record::{ClientStep, News, NodeStep, Operation, What, Witness};

/// The checker.
pub const CHECKER: Checker = Checker {
    id: CheckerId::C6,
    promise: "watches skip nothing, repeat nothing and never go back",
    source: "a watch never skips silently; etcd #15271, #17247, #17529",
    needs: &[Witness::Watches],
    check,
};

type Revision = u64;

/// A change of a task.
type Change = (Revision, TaskNo, TaskState);

/// One watch, over all its reconnections.
struct Watch<'r> {
    session: &'r str,
    from: Revision,
    every: bool,
    /// Where it is.
    at: Revision,
    told: HashSet<Change>,
    /// Positions that it said it leaves out: after the first and up to the second.
    skipped: Vec<(Revision, Revision)>,
    /// Somebody was told that it is there.
    is_open: bool,
    /// It said that it is over.
    is_over: bool,
}

fn check(facts: &Facts<'_>, found: &mut Found) {
    let mut watches: BTreeMap<u64, Watch<'_>> = BTreeMap::new();
    for op in &facts.ops {
        if let Operation::Watch { session, watch, from, every } = op.operation {
            let (told, skipped) = (HashSet::new(), Vec::new());
            let (from, every) = (*from, *every);
            let new = Watch { session, from, every, at: from, told, skipped, is_open: false, is_over: false };
            watches.entry(*watch).or_insert(new).is_open |= op.answer().is_some();
        }
    }
    let rest = facts.rest.map(|rest| rest.event);
    for (event, recorded) in facts.events.iter().enumerate() {
        if let What::Client(client) = &recorded.what
            && let ClientStep::Told { watch: number, news } = &client.step
            && let Some(watch) = watches.get_mut(number)
        {
            told(*number, watch, event, news, found);
        }
    }
    let truth = truth(facts, &watches);
    for (number, watch) in &watches {
        gaps(*number, watch, &truth, rest, found);
        found.count("watches");
    }
}

fn told(number: u64, watch: &mut Watch<'_>, event: EventAt, news: &News, found: &mut Found) {
    match news {
        News::Task { revision, seen } => {
            found.count("news");
            if watch.is_over {
                found.broken(event, format!("watch {number} told something after it was over"));
            }
            if *revision < watch.at {
                let text = format!("watch {number} went back from position {} to {revision}", watch.at);
                found.broken(event, text);
            }
            let change = (*revision, seen.task, seen.state);
            if !watch.told.insert(change) || *revision <= watch.from {
                let (task, state) = (seen.task, seen.state);
                found.broken(event, format!("watch {number} told twice that task {task} is {state} since {revision}"));
            }
            watch.at = watch.at.max(*revision);
        }
        News::Skipped { to } => {
            watch.skipped.push((watch.at, *to));
            watch.at = watch.at.max(*to);
        }
        // Going on before what was told would tell it twice, beyond it would leave out what nobody was told of.
        News::Resumed { from } => {
            if *from != watch.at {
                let text = format!("watch {number} was at position {} and goes on after {from}", watch.at);
                found.broken(event, text);
            }
        }
        News::Over => watch.is_over = true,
    }
}

/// By session and position, what must be told: how tasks end, to everybody; every change, to those who asked for it.
struct Truth<'r> {
    ends: HashMap<&'r str, BTreeMap<Change, ()>>,
    every: HashMap<&'r str, BTreeMap<Change, ()>>,
}

fn truth<'r>(facts: &Facts<'r>, watches: &BTreeMap<u64, Watch<'r>>) -> Truth<'r> {
    let mut truth = Truth { ends: HashMap::new(), every: HashMap::new() };
    for watch in watches.values() {
        for change in &watch.told {
            if change.2.is_terminal() {
                truth.ends.entry(watch.session).or_default().insert(*change, ());
            }
            if watch.every {
                truth.every.entry(watch.session).or_default().insert(*change, ());
            }
        }
    }
    for recorded in facts.events {
        if let What::Node(node) = &recorded.what
            && let NodeStep::Recorded { index, session, task, state, .. } = &node.step
            && state.is_terminal()
        {
            truth.ends.entry(session).or_default().insert((index.0, *task, *state), ());
        }
    }
    truth
}

fn gaps(number: u64, watch: &Watch<'_>, truth: &Truth<'_>, rest: Option<EventAt>, found: &mut Found) {
    let must = if watch.every {
        [truth.ends.get(watch.session), truth.every.get(watch.session)]
    } else {
        [truth.ends.get(watch.session), None]
    };
    // A watch that broke off owes only what lies before where it was; one that goes on owes everything once nothing moves.
    let is_complete = watch.is_open && !watch.is_over && rest.is_some();
    let after = (watch.from + 1, TaskNo(0), TaskState::Pending);
    for change in must.into_iter().flatten().flat_map(|changes| changes.range(after..).map(|(change, ())| change)) {
        let (revision, task, state) = *change;
        // More of the same position may have been on its way when it broke off.
        if !is_complete && revision >= watch.at {
            break;
        }
        let left_out = watch.skipped.iter().any(|(from, to)| (*from..=*to).contains(&revision));
        if !left_out && !watch.told.contains(change) {
            found.broken(rest, format!("watch {number} never told that task {task} is {state} since {revision}"));
        }
    }
}
