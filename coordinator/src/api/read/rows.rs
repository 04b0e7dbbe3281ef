//! The rows of tasks and sessions on this node's disk.

use flame_machine::command::Inputs;
use flame_machine::row::{CancelledRangeRow, FinishedRow, InputsRow, Row, RowKey, Table};
use flame_storage::{RowReader, Space, codec};
use flame_types::{Payload, SessionKey, TaskNo, TaskState};

use super::task::{Standing, TaskSnapshot};
use crate::api::errors::ReadError;

/// Length of the part of a key that all rows of a session in one table share: table and session key.
const SESSION_PREFIX_BYTES: usize = 9;

/// Reads the rows of one session's tasks. Rows that several tasks share are read once for neighbours.
pub struct TaskRows {
    rows: RowReader,
    session: SessionKey,
    inputs: Option<(TaskNo, InputsRow)>,
    cancelled: Option<(TaskNo, CancelledRangeRow)>,
}

impl TaskRows {
    pub fn new(rows: RowReader, session: SessionKey) -> Self {
        Self { rows, session, inputs: None, cancelled: None }
    }

    /// A task that stands like this in memory. `None`: its session was deleted meanwhile, or there is no such task.
    pub fn task(&mut self, number: TaskNo, standing: Standing) -> Result<Option<TaskSnapshot>, ReadError> {
        if standing == Standing::Unknown {
            return Ok(None);
        }
        let Some((first, given)) = self.inputs_of(number)? else { return Ok(None) };
        let input = match &given.inputs {
            Inputs::Each(inputs) => inputs.get(usize::try_from(number.0 - first.0).unwrap_or(usize::MAX)).cloned(),
            Inputs::Array { input, .. } => Some(input.clone()),
        };
        let mut task = TaskSnapshot {
            number,
            state: TaskState::Pending,
            created: given.created,
            finished: None,
            input: input.flatten(),
            affinity: given.options.affinity.clone(),
            output: None,
            message: None,
            attempts: Vec::new(),
        };
        match standing {
            Standing::Live { state, attempts } => {
                task.state = state;
                task.attempts = attempts;
            }
            _ => {
                let Some(ending) = self.ending_of(number)? else { return Ok(None) };
                task.state = ending.state;
                task.finished = Some(ending.finished);
                task.output = ending.output;
                task.message = ending.message;
                task.attempts = ending.attempts;
            }
        }
        Ok(Some(task))
    }

    /// The submit that a task came with, and its first task.
    pub fn inputs_of(&mut self, task: TaskNo) -> Result<Option<&(TaskNo, InputsRow)>, ReadError> {
        let holds = |(first, row): &(TaskNo, InputsRow)| task >= *first && task.0 - first.0 < row.inputs.count();
        if !self.inputs.as_ref().is_some_and(holds) {
            self.inputs = match self.last_row(Table::Inputs, task)? {
                Some((first, Row::Inputs(row))) => Some((first, row)),
                Some(_) => return Err(ReadError::Kind),
                None => None,
            };
        }
        Ok(self.inputs.as_ref().filter(|row| holds(row)))
    }

    /// How a task ended; `None` when no row says so.
    pub fn ending_of(&mut self, task: TaskNo) -> Result<Option<FinishedRow>, ReadError> {
        let key = RowKey::task(Table::Finished, self.session, task);
        if let Some(value) = self.rows.get(Space::Bulk, &key.0)? {
            let Row::Finished(row) = codec::decode::<Row>(value)? else { return Err(ReadError::Kind) };
            return Ok(Some(*row));
        }
        let holds = |(first, row): &(TaskNo, CancelledRangeRow)| (*first..=row.last).contains(&task);
        if !self.cancelled.as_ref().is_some_and(holds) {
            self.cancelled = match self.last_row(Table::CancelledRange, task)? {
                Some((first, Row::CancelledRange(row))) => Some((first, row)),
                Some(_) => return Err(ReadError::Kind),
                None => None,
            };
        }
        let range = self.cancelled.as_ref().filter(|row| holds(row));
        Ok(range.map(|(_, row)| FinishedRow {
            state: TaskState::Cancelled,
            finished: row.finished,
            output: None,
            message: None,
            ran_us: 0,
            attempts: Vec::new(),
        }))
    }

    /// The first task above `after` of which a row says how it ended.
    pub fn next_ended(&self, after: TaskNo) -> Result<Option<TaskNo>, ReadError> {
        let mut found: Option<TaskNo> = None;
        for table in [Table::Finished, Table::CancelledRange] {
            let (_, to) = RowKey::session_range(table, self.session);
            let from = RowKey::task(table, self.session, after.next());
            for (key, _) in self.rows.scan(Space::Bulk, &from.0, &to.0, 1)? {
                let task = TaskNo(RowKey(key.to_vec()).number_at(1).ok_or(ReadError::Kind)?);
                found = Some(found.map_or(task, |found| found.min(task)));
            }
        }
        // A range that began before may reach beyond.
        if let Some((_, Row::CancelledRange(row))) = self.last_row(Table::CancelledRange, after)?
            && row.last > after
        {
            found = Some(after.next());
        }
        Ok(found)
    }

    /// The row of this table whose first task is the greatest that is not above `task`.
    fn last_row(&self, table: Table, task: TaskNo) -> Result<Option<(TaskNo, Row)>, ReadError> {
        let key = RowKey::task(table, self.session, task);
        let found = self.rows.last_at_or_before(Space::Bulk, &key.0, SESSION_PREFIX_BYTES)?;
        let Some((key, value)) = found else { return Ok(None) };
        let first = key.get(SESSION_PREFIX_BYTES..).and_then(|bytes| bytes.try_into().ok());
        let first = TaskNo(u64::from_be_bytes(first.ok_or(ReadError::Kind)?));
        Ok(Some((first, codec::decode::<Row>(value)?)))
    }
}

/// The common data of a session.
pub fn common_data(rows: &RowReader, session: SessionKey) -> Result<Option<Payload>, ReadError> {
    let key = RowKey::session(Table::CommonData, session);
    match rows.get(Space::Bulk, &key.0)?.map(codec::decode::<Row>).transpose()? {
        Some(Row::CommonData(data)) => Ok(Some(data)),
        Some(_) => Err(ReadError::Kind),
        None => Ok(None),
    }
}
