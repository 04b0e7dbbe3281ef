//! Inputs on their way to workers. One row holds the inputs of a whole submit, and its tasks go to many workers, few at
//! a time: a row is read and decoded once for all of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use flame_machine::command::Inputs;
use flame_machine::row::{InputsRow, Row, RowKey, Table};
use flame_storage::{RowReader, Space, codec};
use flame_types::{Payload, SessionKey, TaskNo};

use super::downlink::Failure;

/// Most rows that are kept; most bytes of them are given. The row in use is kept whatever its size.
const ROWS_MAX: usize = 32;

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
}

/// The rows that were used last, the newest first.
pub(super) struct InputRows {
    rows: Mutex<VecDeque<Arc<InputRow>>>,
    bytes_max: usize,
}

impl InputRows {
    /// Room for so many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { rows: Mutex::default(), bytes_max }
    }

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
        keep(&mut rows, row.clone(), self.bytes_max);
        Ok(Some(row))
    }

    /// Bytes of the rows that are kept.
    pub(super) fn bytes(&self) -> usize {
        bytes_of(&self.rows())
    }

    /// Lets go of everything.
    pub(super) fn clear(&self) {
        self.rows().clear();
    }

    fn rows(&self) -> MutexGuard<'_, VecDeque<Arc<InputRow>>> {
        self.rows.lock().expect("no code panics while it holds this lock")
    }
}

/// Takes a row in, and lets go of the oldest ones that are too many or too much.
fn keep(rows: &mut VecDeque<Arc<InputRow>>, row: Arc<InputRow>, bytes_max: usize) {
    rows.push_front(row);
    while rows.len() > 1 && (rows.len() > ROWS_MAX || bytes_of(rows) > bytes_max) {
        rows.pop_back();
    }
}

fn bytes_of(rows: &VecDeque<Arc<InputRow>>) -> usize {
    rows.iter().map(|row| row.bytes).sum()
}

fn read(reader: &RowReader, session: SessionKey, task: TaskNo) -> Result<Option<InputRow>, Failure> {
    let key = RowKey::task(Table::Inputs, session, task);
    // The first task of a submit, and the only one of many, names its row: that is a look-up and no search.
    let (first, value) = match reader.get(Space::Bulk, &key.0)? {
        Some(value) => (task.0, value),
        None => {
            let found = reader.last_at_or_before(Space::Bulk, &key.0, SESSION_PREFIX_BYTES)?;
            let Some((key, value)) = found else { return Ok(None) };
            (key.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes)), value)
        }
    };
    let bytes = value.len();
    let Row::Inputs(row) = codec::decode::<Row>(value)? else { return Ok(None) };
    let found = InputRow { session, first: TaskNo(first), row, bytes };
    Ok(found.holds(session, task).then_some(found))
}

#[cfg(test)]
mod tests {
    use flame_types::{TaskOptions, WallMs};

    use super::*;

    fn row(first: u64, bytes: usize) -> Arc<InputRow> {
        let inputs = Inputs::Array { count: 10, input: None };
        let row = InputsRow { created: WallMs(0), inputs, options: TaskOptions::default() };
        Arc::new(InputRow { session: SessionKey(1), first: TaskNo(first), row, bytes })
    }

    fn firsts(rows: &VecDeque<Arc<InputRow>>) -> Vec<u64> {
        rows.iter().map(|row| row.first.0).collect()
    }

    #[test]
    fn the_rows_that_were_used_last_are_kept_within_their_share() {
        let mut rows = VecDeque::new();
        for first in [1, 11, 21] {
            keep(&mut rows, row(first, 40), 100);
        }
        assert_eq!((firsts(&rows), bytes_of(&rows)), (vec![21, 11], 80));
        keep(&mut rows, row(31, 1_000), 100);
        assert_eq!(firsts(&rows), [31], "the row in use is kept whatever its size");
        for first in 0..2 * ROWS_MAX as u64 {
            keep(&mut rows, row(100 + first, 0), 100);
        }
        assert_eq!(rows.len(), ROWS_MAX);
    }
}
