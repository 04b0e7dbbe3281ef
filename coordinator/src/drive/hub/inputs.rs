//! Inputs on their way to workers. One row holds the inputs of a whole submit, and its tasks go to many workers, few at
//! a time: a row is read and decoded once for all of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use flame_machine::command::Inputs;
use flame_machine::row::{InputsRow, Row, RowKey, Table};
use flame_storage::{RowReader, Space, codec};
use flame_types::{Payload, SessionKey, TaskNo};

use super::downlink::Failure;

/// Most rows that are kept …
const ROWS_MAX: usize = 32;

/// … and most bytes of them. The row in use is kept whatever its size.
const BYTES_MAX: usize = 16 << 20;

/// Bytes of a key up to its task number: the table and the session.
const SESSION_PREFIX_BYTES: usize = 9;

/// The inputs of one submit.
pub(super) struct InputRow {
    session: SessionKey,
    first: TaskNo,
    row: InputsRow,
    /// Its size as it is stored.
    bytes: usize,
}

impl InputRow {
    /// Whether a task is one of this submit.
    pub(super) fn holds(&self, session: SessionKey, task: TaskNo) -> bool {
        let end = self.first.0 + self.row.inputs.count();
        self.session == session && (self.first.0..end).contains(&task.0)
    }

    /// The input of a task.
    pub(super) fn input(&self, task: TaskNo) -> Option<Payload> {
        match &self.row.inputs {
            Inputs::Each(inputs) => {
                let position = usize::try_from(task.0 - self.first.0).unwrap_or(usize::MAX);
                inputs.get(position).cloned().flatten()
            }
            Inputs::Array { input, .. } => input.clone(),
        }
    }

    /// How long its tasks may run; 0 is without limit.
    pub(super) fn timeout_ms(&self) -> u64 {
        self.row.options.timeout_ms.unwrap_or(0)
    }
}

/// The rows that were used last, the newest first.
#[derive(Default)]
pub(super) struct InputRows {
    rows: Mutex<VecDeque<Arc<InputRow>>>,
}

impl InputRows {
    /// The row with a task's input. `None` when its session was deleted.
    pub(super) fn of(
        &self,
        reader: &RowReader,
        session: SessionKey,
        task: TaskNo,
    ) -> Result<Option<Arc<InputRow>>, Failure> {
        // Reading under the lock: who comes at the same time wants the same row nearly always.
        let mut rows = self.rows();
        if let Some(place) = rows.iter().position(|row| row.holds(session, task)) {
            let row = rows.remove(place).expect("it was found there");
            rows.push_front(row.clone());
            return Ok(Some(row));
        }
        let Some(row) = read(reader, session, task)?.map(Arc::new) else { return Ok(None) };
        rows.push_front(row.clone());
        while rows.len() > 1 && (rows.len() > ROWS_MAX || rows.iter().map(|row| row.bytes).sum::<usize>() > BYTES_MAX) {
            rows.pop_back();
        }
        Ok(Some(row))
    }

    /// Lets go of everything.
    pub(super) fn clear(&self) {
        self.rows().clear();
    }

    fn rows(&self) -> MutexGuard<'_, VecDeque<Arc<InputRow>>> {
        self.rows.lock().expect("no code panics while it holds this lock")
    }
}

fn read(reader: &RowReader, session: SessionKey, task: TaskNo) -> Result<Option<InputRow>, Failure> {
    let key = RowKey::task(Table::Inputs, session, task);
    let found = reader.last_at_or_before(Space::Bulk, &key.0, SESSION_PREFIX_BYTES)?;
    let Some((key, value)) = found else { return Ok(None) };
    let first = key.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    let bytes = value.len();
    let Row::Inputs(row) = codec::decode::<Row>(value)? else { return Ok(None) };
    let found = InputRow { session, first: TaskNo(first), row, bytes };
    Ok(found.holds(session, task).then_some(found))
}
