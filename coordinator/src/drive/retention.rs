//! What the leader does so that only so much is kept: it looks at the sessions in turn, and proposes that closed ones
//! leave as wholes and that of the others finished tasks leave.
//!
//! Which tasks those are lies in rows, so a plan is made in steps, on this node's rows and off the apply path; apply checks
//! it against the state and refuses one that is out of date. A look costs as much as it finds, and the looks are paced.
//!
//! Ages are cluster time, which only entries carry on. So while something is kept that grows old and nobody else writes,
//! this writes a `Tick` when something is old enough, and now and then before. The looks also keep the leader's account
//! of the time that passes meanwhile.
//!
//! **Invariant:** one plan for a session at a time, and none after leadership has ended: the loop ends with it.

use std::time::Duration;

use flame_machine::State;
use flame_machine::command::Command;
use flame_machine::reply::Reply;
use flame_machine::retention::{self, Due, KeptRows, SubmitRow};
use flame_machine::row::{DoneRow, Row, RowKey, Table};
use flame_storage::{CodecError, RowReader, Space, codec};
use flame_types::{Position, SessionKey, TaskNo};

use super::batcher::stamp::{STRIDE_MAX, tick_after};
use super::leader::{Leader, Over};

/// Closed sessions that one command lets expire.
const EXPIRE_SESSIONS_MAX: usize = 64;

/// Sessions that one look takes in: apply waits meanwhile.
const SESSIONS_PER_LOOK: usize = 512;

/// Wait before the next look while there is something to do or to look at.
const PACE: Duration = Duration::from_millis(20);

/// Wait after all sessions have been looked at and nothing was left to do. Short enough that all of it counts as cluster
/// time when nobody else writes.
const REST: Duration = Duration::from_millis(800);
const _: () = assert!(REST.as_millis() < STRIDE_MAX.as_millis());

/// Wait after rows could not be read. (The process is about to end then, unless it is a defect.)
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// What a look has found.
struct Look {
    expired: Vec<SessionKey>,
    due: Vec<Due>,
    /// Where the next look begins; `None` after the last session.
    next: Option<SessionKey>,
    /// In how many milliseconds the next of these is old enough.
    due_in_ms: Option<u64>,
}

fn look(state: &State, above: Option<SessionKey>) -> Look {
    let (due, next) = retention::due_sessions(state, above, SESSIONS_PER_LOOK);
    let expired = retention::expired_sessions(state, EXPIRE_SESSIONS_MAX);
    let later = retention::next_trim(state, above, SESSIONS_PER_LOOK);
    let later = later.into_iter().chain(retention::next_expiry(state)).min();
    Look { expired, due, next, due_in_ms: later.map(|at| at.since(state.now())) }
}

impl Leader {
    /// Lets go of what is kept for too long or is too much, for as long as this node leads.
    pub(super) async fn watch_retention(&self) -> Result<(), Over> {
        let mut above = None;
        let mut due_in_ms: Option<u64> = None;
        loop {
            if above.is_none() {
                due_in_ms = None;
            }
            let found = self.consensus.with_state(move |state| look(state, above)).await.map_err(|_| Over)?;
            due_in_ms = due_in_ms.into_iter().chain(found.due_in_ms).min();
            above = found.next;
            let mut progress = above.is_some();
            if !found.expired.is_empty() {
                tracing::debug!(sessions = found.expired.len(), "closed sessions expire");
                progress |= self.try_propose(Command::Expire { sessions: found.expired }).await.is_some();
            }
            for due in found.due {
                progress |= self.trim(due).await?;
                tokio::time::sleep(PACE).await;
            }
            tokio::time::sleep(if progress { PACE } else { REST }).await;
            let owed = self.batcher.stamper().owed();
            if progress {
                continue;
            }
            // All sessions were looked at.
            if due_in_ms.is_some_and(|ms| owed >= tick_after(ms)) {
                self.try_propose(Command::Tick).await;
            }
        }
    }

    /// Lets finished tasks of one session go, as many as one command takes. Says whether some went.
    async fn trim(&self, due: Due) -> Result<bool, Over> {
        match self.planned(due).await? {
            Ok(None) => Ok(false),
            Ok(Some(command)) => match self.try_propose(command).await {
                Some(Reply::Refused(refusal)) => {
                    tracing::debug!(session = %due.session(), %refusal, "a trim was refused");
                    Ok(false)
                }
                Some(_) => Ok(true),
                // Dropped, it is found again at the next look.
                None => Ok(false),
            },
            Err(error) => {
                tracing::error!(session = %due.session(), %error, "what retention wants cannot be read");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                Ok(false)
            }
        }
    }

    /// The steps of a plan: rows, state, rows.
    async fn planned(&self, due: Due) -> Result<Result<Option<Command>, RowsError>, Over> {
        let rows = SessionRows(self.consensus.rows());
        let drafting = rows.clone();
        let drafted = blocking(move || {
            let Some(draft) = due.draft(&drafting)? else { return Ok(None) };
            let submits = draft.submits(&drafting)?;
            Ok(Some((draft, submits)))
        });
        let (draft, submits) = match drafted.await {
            Ok(Some(drafted)) => drafted,
            Ok(None) => return Ok(Ok(None)),
            Err(error) => return Ok(Err(error)),
        };
        let settled = move |state: &State| retention::settled(state, due.session(), submits);
        let submits = self.consensus.with_state(settled).await.map_err(|_| Over)?;
        Ok(blocking(move || draft.finish(&rows, submits).map(Some)).await)
    }
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, RowsError> + Send + 'static,
) -> Result<T, RowsError> {
    match tokio::task::spawn_blocking(read).await {
        Ok(result) => result,
        Err(error) => Err(RowsError::EndedEarly(error.to_string())),
    }
}

/// Why a plan cannot be made.
#[derive(Debug, thiserror::Error)]
enum RowsError {
    #[error(transparent)]
    Storage(#[from] flame_storage::Error),
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("the row at key {0:02x?} holds something else than its table says")]
    Kind(Vec<u8>),
    #[error("a read ended early: {0}")]
    EndedEarly(String),
}

/// This node's rows.
#[derive(Clone)]
struct SessionRows(RowReader);

/// Length of the part of a key that all rows of a session in one table share: table and session key.
const SESSION_PREFIX_BYTES: usize = 9;

impl SessionRows {
    /// The row of this table whose task is the greatest that is not above `task`.
    fn last(
        &self,
        table: Table,
        session: SessionKey,
        task: TaskNo,
    ) -> Result<Option<(TaskNo, bytes::Bytes)>, RowsError> {
        let key = RowKey::task(table, session, task);
        let found = self.0.last_at_or_before(Space::Bulk, &key.0, SESSION_PREFIX_BYTES)?;
        let Some((key, value)) = found else { return Ok(None) };
        let key = RowKey(key.to_vec());
        let first = key.number_at(1).ok_or(RowsError::Kind(key.0))?;
        Ok(Some((TaskNo(first), value)))
    }
}

impl KeptRows for SessionRows {
    type Error = RowsError;

    fn done_after(
        &self,
        session: SessionKey,
        after: Position,
        limit: usize,
    ) -> Result<Vec<(Position, DoneRow)>, RowsError> {
        let (_, to) = RowKey::session_range(Table::Done, session);
        let found = self.0.scan(Space::Bulk, &RowKey::done(session, after.next()).0, &to.0, limit)?;
        let row = |(key, value): (bytes::Bytes, bytes::Bytes)| {
            let key = RowKey(key.to_vec());
            match (key.done_position(), codec::decode::<Row>(value)?) {
                (Some(at), Row::Done(done)) => Ok((at, done)),
                _ => Err(RowsError::Kind(key.0)),
            }
        };
        found.into_iter().map(row).collect()
    }

    fn submit_of(&self, session: SessionKey, task: TaskNo) -> Result<Option<SubmitRow>, RowsError> {
        let Some((first, value)) = self.last(Table::Inputs, session, task)? else { return Ok(None) };
        let Row::Inputs(row) = codec::decode::<Row>(value)? else {
            return Err(RowsError::Kind(RowKey::task(Table::Inputs, session, first).0));
        };
        let submit = SubmitRow { first, last: TaskNo(first.0 + row.inputs.count() - 1), bytes: row.kept_bytes() };
        Ok(Some(submit).filter(|submit| submit.last >= task))
    }

    fn last_finished(&self, session: SessionKey, task: TaskNo) -> Result<Option<TaskNo>, RowsError> {
        Ok(self.last(Table::Finished, session, task)?.map(|(task, _)| task))
    }
}
