//! When something that is kept will be old enough to leave. Until then nothing leaves for its age, so cluster time need
//! not be carried on for its sake.

use std::ops::Bound;

use flame_types::{ClusterMs, SessionKey};

use super::limits::{keep_below, task_limits};
use crate::state::State;

/// When the next closed session is old enough.
#[must_use]
pub fn next_expiry(state: &State) -> Option<ClusterMs> {
    let index = &state.closed_index;
    let cluster = state.cluster.config.retention.closed;
    let own = index.own_age.first().map(|(at, _)| *at);
    let of_apps = index.apps.iter().filter_map(|(name, closed)| {
        let app = state.apps.get(name).and_then(|app| app.row.spec.retention.closed.age_ms);
        let (closed_at, _) = closed.aging.first()?;
        Some(closed_at.plus(app.or(cluster.age_ms)?))
    });
    own.into_iter().chain(of_apps).min()
}

/// When the next finished task of the next `looks` sessions above a key is old enough.
#[must_use]
pub fn next_trim(state: &State, above: Option<SessionKey>, looks: usize) -> Option<ClusterMs> {
    let range = (above.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
    state.sessions.range(range).take(looks).filter_map(|(key, _)| old_enough_at(state, *key)).min()
}

/// When the oldest finished task of a session may leave: at its age, or at the minimum age when there is too much.
fn old_enough_at(state: &State, key: SessionKey) -> Option<ClusterMs> {
    let session = state.sessions.get(&key)?;
    let row = &session.row;
    if row.kept_tasks() == 0 {
        return None;
    }
    let limits = task_limits(state, session);
    let beyond = |limit: Option<u64>, have: u64| limit.is_some_and(|limit| have > keep_below(limit));
    let is_too_much = beyond(limits.count, row.kept_tasks() + session.work()) || beyond(limits.bytes, row.kept_bytes);
    let age_min_ms = limits.age_ms_min.unwrap_or(0);
    let age_ms = if is_too_much { age_min_ms } else { limits.age_ms?.max(age_min_ms) };
    Some(row.oldest_done.plus(age_ms))
}
