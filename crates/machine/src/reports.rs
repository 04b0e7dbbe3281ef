//! A cache node that says Hello says what it has, in pages by key. Most of it the directory knows, so only what differs
//! goes into the log.
//!
//! Apply checks all of it again: an object may have been deleted, or written elsewhere, between the look and the entry.

use std::collections::BTreeSet;
use std::ops::Bound;

use flame_types::{NodeName, ObjectKey, ObjectVersion};

use crate::command::HeldObject;
use crate::state::State;

/// The part of the keys that a page of an inventory speaks of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// It begins after this key: the last one of the page before, if there was one.
    pub after: Option<ObjectKey>,
    /// Its last key; `None` when no page follows.
    pub to: Option<ObjectKey>,
}

/// The places in a page of those objects that the directory does not know to be with this node.
#[must_use]
pub fn news(state: &State, cache: &NodeName, page: &[HeldObject]) -> Vec<usize> {
    let node = state.directory.names.get(cache);
    let is_known = |held: &HeldObject| {
        let row = state.directory.entry(held.key.as_str());
        row.zip(node).is_some_and(|(row, node)| row.version == held.version && row.places.contains(node))
    };
    (0..page.len()).filter(|at| !is_known(&page[*at])).collect()
}

/// What the directory believes to be with this node and the page does not name. At most `limit` are looked at; the second
/// value says after which key to go on, `None` when that was all.
#[must_use]
pub fn missing(
    state: &State,
    cache: &NodeName,
    span: &Span,
    named: &BTreeSet<ObjectKey>,
    limit: usize,
) -> (Vec<(ObjectKey, ObjectVersion)>, Option<ObjectKey>) {
    let Some(cache) = state.directory.cache(cache.as_str()) else { return (Vec::new(), None) };
    if let (Some(after), Some(to)) = (&span.after, &span.to)
        && after >= to
    {
        return (Vec::new(), None);
    }
    let start = span.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
    let end = span.to.as_ref().map_or(Bound::Unbounded, Bound::Included);
    let believed: Vec<&ObjectKey> = cache.objects.range::<ObjectKey, _>((start, end)).take(limit).collect();
    let next = if believed.len() < limit { None } else { believed.last().map(|key| (*key).clone()) };
    let version = |key: &ObjectKey| state.directory.entries.get(key).map(|row| (key.clone(), row.version));
    let missing = believed.into_iter().filter(|key| !named.contains(*key)).filter_map(version).collect();
    (missing, next)
}
