//! C9: silences are short. A silence is a time in which somebody waited for a write and nobody was answered one.
//!
//! Reads the writes of all clients. Every silence is measured and told with the faults that were there; it is a broken promise
//! only if the plan bounds it, and after the heal, when nothing excuses one longer than the time in which all must be well.
//!
//! *Source:* the availability goals of the proof (`reliability.md` 6.1); Restate asserts its recovery time.

use super::{Checker, CheckerId, Found};
use crate::facts::{At, Facts};
use crate::record::{ErrorClass, FaultKind, Nanos, Witness};

/// The checker.
pub const CHECKER: Checker = Checker {
    id: CheckerId::C9,
    promise: "silences are short",
    source: "the availability goals; Restate's bound on recovery",
    needs: &[Witness::Clients],
    check,
};

/// Somebody waited, and nobody was answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Silence {
    /// Since when.
    pub from: At,
    /// Until when; the end of the recording if nothing was answered any more.
    pub to: Nanos,
    /// Faults that were there meanwhile.
    pub during: Vec<FaultKind>,
}

impl Silence {
    /// How long.
    #[must_use]
    pub fn lasted(&self) -> Nanos {
        self.to.since(self.from.time)
    }
}

/// A client that gave up asks again soon: for so long nobody waits, and the silence goes on all the same.
const ASKS_AGAIN_WITHIN: Nanos = Nanos::from_secs(1);

/// What a moment means to a silence.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    Asked,
    Answered,
    GaveUp,
}

/// Every silence that is at least so long, in the order of time.
#[must_use]
pub fn silences(facts: &Facts<'_>, at_least: Nanos) -> Vec<Silence> {
    let end = facts.events.last().map_or(Nanos(0), |event| event.time);
    let (mut waiting, mut since, mut quiet) = (0_u64, None::<At>, None::<At>);
    let mut silences: Vec<(At, Nanos)> = Vec::new();
    for (at, moment) in moments(facts) {
        match moment {
            Moment::Asked => {
                if let (Some(from), Some(left)) = (since, quiet.take())
                    && at.time.since(left.time) > ASKS_AGAIN_WITHIN
                {
                    silences.push((from, left.time));
                    since = None;
                }
                since.get_or_insert(at);
                waiting += 1;
            }
            Moment::Answered => {
                waiting -= 1;
                silences.extend(since.map(|from| (from, at.time)));
                since = (waiting > 0).then_some(at);
            }
            Moment::GaveUp => {
                waiting -= 1;
                quiet = (waiting == 0).then_some(at);
            }
        }
    }
    silences.extend(since.map(|from| (from, quiet.map_or(end, |left| left.time))));
    let long = silences.into_iter().filter(|(from, to)| to.since(from.time) >= at_least);
    long.map(|(from, to)| Silence { from, to, during: kinds(facts, from.time, to) }).collect()
}

fn moments(facts: &Facts<'_>) -> Vec<(At, Moment)> {
    let mut moments = Vec::new();
    for op in facts.ops.iter().filter(|op| op.operation.is_write()) {
        // A refusal shows that somebody serves, unless it is for want of room or of a leader.
        let served = op.answer().is_some() || op.refusal().is_some_and(|error| error.class != ErrorClass::Overloaded);
        moments.push((op.call, Moment::Asked));
        moments.extend(op.ret.map(|ret| (ret, if served { Moment::Answered } else { Moment::GaveUp })));
    }
    moments.sort_unstable_by_key(|(at, _)| *at);
    moments
}

fn kinds(facts: &Facts<'_>, from: Nanos, to: Nanos) -> Vec<FaultKind> {
    let there = facts.faults.iter().filter(|fault| fault.overlaps(from, to));
    let mut kinds: Vec<FaultKind> = there.map(|fault| fault.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

fn check(facts: &Facts<'_>, found: &mut Found) {
    let bounds = &facts.header.plan.bounds;
    // Every answer ends a silence, however short: only those that somebody could notice are looked at.
    let noticed = bounds.write_gap.unwrap_or(bounds.settle).min(Nanos::from_millis(100));
    let silences = silences(facts, noticed);
    let longest = silences.iter().map(Silence::lasted).max().unwrap_or_default();
    found.figure("silences", silences.len() as u64);
    found.figure("longest_ms", longest.0 / 1_000_000);
    for silence in &silences {
        let lasted = silence.lasted();
        let (event, during) = (silence.from.event, &silence.during);
        if let Some(max) = bounds.write_gap.filter(|max| lasted > *max) {
            found.broken(event, format!("no write was answered for {lasted}, at most {max} are allowed ({during:?})"));
        }
        let healed = facts.heal.is_some_and(|heal| silence.from.time >= heal.time);
        if healed && lasted > bounds.settle {
            found.broken(event, format!("no write was answered for {lasted} after everything was healed"));
        }
    }
}
