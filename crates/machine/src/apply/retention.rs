//! What is kept: its limits when tasks come, and how finished tasks leave.

use flame_types::{Position, SessionKey, TaskNo};

use super::batch::{Apply, Outcome};
use crate::command::Trim;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::retention::task_limits;
use crate::row::{RowKey, Table};
use crate::state::Session;

/// Most ranges that one trim may name: more than the tasks that one entry can end, so that a plan can always be made.
const TRIM_RANGES_MAX: usize = 262_144;

/// Neighbours from which on they are removed as a range. Each such removal costs later reads something, so a few rows
/// are removed one by one.
const NEIGHBOURS_MIN: u64 = 16;

impl Apply<'_> {
    /// Refuses a submit for which there is no room. `bytes` is what its row counts for.
    pub(super) fn check_kept(&self, session: &Session, count: u64, bytes: u64) -> Result<(), Refusal> {
        let limits = task_limits(self.state, session);
        let refuse = |name: &str, limit: u64, kept: u64| {
            let age_ms_min = limits.age_ms_min.unwrap_or(0);
            Err(Refusal::RetentionLimit { name: name.into(), limit, kept, age_ms_min })
        };
        let tasks = session.row.kept_tasks() + session.work();
        if let Some(limit) = limits.count.filter(|limit| tasks.saturating_add(count) > *limit) {
            return refuse("retention.tasks.count", limit, tasks);
        }
        let kept = session.row.kept_bytes;
        if let Some(limit) = limits.bytes.filter(|limit| kept.saturating_add(bytes) > *limit) {
            return refuse("retention.tasks.bytes", limit, kept);
        }
        let (kept, limit) = (self.state.kept_bytes(), self.state.cluster.config.kept_bytes_max);
        if kept.saturating_add(bytes) > limit {
            return refuse("retention.total_bytes", limit, kept);
        }
        Ok(())
    }

    /// A row was written that counts for so many bytes.
    pub(super) fn keep(&mut self, key: SessionKey, bytes: u64) {
        let session = self.state.sessions.get_mut(&key).expect("rows are written for sessions that are not closed");
        session.row.kept_bytes += bytes;
        self.state.open_kept_bytes += bytes;
    }

    pub(super) fn trim(&mut self, trim: &Trim) -> Outcome {
        let stale = |why: &str| Refusal::StalePlan(format!("trim of session {}: {why}", trim.session));
        let session = self.state.sessions.get(&trim.session).ok_or_else(|| stale("it is not open"))?;
        let present = Position { generation: self.state.cluster.generation, index: self.ctx.index };
        if session.row.done_from != trim.from || trim.to <= trim.from || trim.to >= present {
            return Err(stale(&format!("it is trimmed up to {}", session.row.done_from)));
        }
        let age_ms_min = task_limits(self.state, session).age_ms_min.unwrap_or(0);
        if self.state.cluster.time.since(trim.newest) < age_ms_min {
            return Err(stale("its tasks are too young"));
        }
        check_ended(session, &trim.tasks).map_err(|why| stale(&why))?;
        check_ended(session, &trim.submits).map_err(|why| stale(&why))?;
        let count: u64 = trim.tasks.iter().map(|range| length(*range)).sum();
        if count == 0 || count > session.row.kept_tasks() || trim.bytes > session.row.kept_bytes {
            return Err(stale("it does not keep so much"));
        }
        self.remove_rows(trim);

        let now = self.state.cluster.time;
        let session = self.state.sessions.get_mut(&trim.session).expect("it was found above");
        session.row.done_from = trim.to;
        session.row.trimmed += count;
        session.row.kept_bytes -= trim.bytes;
        session.row.oldest_done = trim.oldest_left.min(now);
        for (first, last) in &trim.submits {
            let keys = session.idempotency_order.range(*first..=*last);
            for (first, key) in keys.map(|(first, key)| (*first, *key)).collect::<Vec<_>>() {
                session.idempotency_order.remove(&first);
                session.idempotency.remove(&key);
                self.changes.idempotency.insert((trim.session, key));
            }
        }
        self.state.open_kept_bytes -= trim.bytes;
        self.changes.sessions.insert(trim.session);
        Ok(Reply::Done)
    }

    fn remove_rows(&mut self, trim: &Trim) {
        let session = trim.session;
        let key = |table, task| RowKey::task(table, session, task);
        for (first, last) in &trim.tasks {
            if length((*first, *last)) >= NEIGHBOURS_MIN {
                self.changes.delete_between(key(Table::Finished, *first), key(Table::Finished, last.next()));
            } else {
                (first.0..=last.0).for_each(|task| self.changes.delete(key(Table::Finished, TaskNo(task))));
            }
        }
        for (first, last) in &trim.submits {
            if first == last {
                self.changes.delete(key(Table::Inputs, *first));
            } else {
                self.changes.delete_between(key(Table::Inputs, *first), key(Table::Inputs, last.next()));
            }
        }
        let (from, to) = (RowKey::done(session, trim.from.next()), RowKey::done(session, trim.to.next()));
        self.changes.delete_between(from, to);
    }
}

/// Ranges of tasks in order, all of which have ended.
fn check_ended(session: &Session, ranges: &[(TaskNo, TaskNo)]) -> Result<(), String> {
    if ranges.len() > TRIM_RANGES_MAX {
        return Err(format!("{} ranges, at most {TRIM_RANGES_MAX} are allowed", ranges.len()));
    }
    let mut free_from = TaskNo::FIRST;
    for (first, last) in ranges {
        if *first < free_from || last < first || *last >= session.row.next_task {
            return Err(format!("{first}..={last} is no range after the one before"));
        }
        if session.any_live(*first, *last) {
            return Err(format!("one of {first}..={last} has not ended"));
        }
        free_from = last.next();
    }
    Ok(())
}

fn length((first, last): (TaskNo, TaskNo)) -> u64 {
    last.0 - first.0 + 1
}
