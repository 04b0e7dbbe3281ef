//! Results of a session that lie in this node's rows: what was recorded before a client began to follow them, and what
//! it was too slow for.

use flame_machine::row::{Row, RowKey, Table};
use flame_storage::{RowReader, Space, codec};
use flame_types::{SessionKey, TaskNo};

use super::frames::Position;
use crate::api::errors::ReadError;
use crate::drive::results::{EndedTask, EntryResults};

/// Entries that are read at a time.
const ENTRIES_PER_READ: usize = 64;

/// A read ends early once it has so many bytes of outputs.
const BYTES_PER_READ: usize = 1 << 20;

/// A piece of what is recorded.
pub(super) struct Page {
    pub(super) entries: Vec<EntryResults>,
    /// Nothing lay behind it when it was read.
    pub(super) is_last: bool,
}

/// What was recorded after a position, from the front.
pub(super) fn page(rows: &RowReader, session: SessionKey, after: Position) -> Result<Page, ReadError> {
    let after = flame_types::Position { generation: after.0, index: after.1 };
    let from = RowKey::done(session, after.next());
    let (_, to) = RowKey::session_range(Table::Done, session);
    let found = rows.scan(Space::Bulk, &from.0, &to.0, ENTRIES_PER_READ)?;
    let mut page = Page { entries: Vec::with_capacity(found.len()), is_last: found.len() < ENTRIES_PER_READ };
    let mut bytes = 0;
    let count = found.len();
    for (number, (key, value)) in found.into_iter().enumerate() {
        let key = RowKey(key.to_vec());
        let at = key.done_position().ok_or(ReadError::Kind)?;
        let Row::Done(done) = codec::decode::<Row>(value)? else { return Err(ReadError::Kind) };
        let ended = ended(rows, session, &done.tasks)?;
        bytes += ended.iter().filter_map(|ended| ended.output.as_ref()).map(flame_types::Payload::len).sum::<usize>();
        page.entries.push(EntryResults { at: (at.generation, at.index), ended, cancelled: Vec::new() });
        if bytes >= BYTES_PER_READ && number + 1 < count {
            page.is_last = false;
            break;
        }
    }
    Ok(page)
}

/// The ranges of tasks that were cancelled together, all of them: they carry no position.
pub(super) fn cancelled(rows: &RowReader, session: SessionKey) -> Result<Vec<(TaskNo, TaskNo)>, ReadError> {
    let (mut from, to) = RowKey::session_range(Table::CancelledRange, session);
    let mut ranges = Vec::new();
    loop {
        let found = rows.scan(Space::Bulk, &from.0, &to.0, ENTRIES_PER_READ)?;
        for (key, value) in &found {
            let first = RowKey(key.to_vec()).number_at(1).map(TaskNo).ok_or(ReadError::Kind)?;
            let Row::CancelledRange(row) = codec::decode::<Row>(value.clone())? else { return Err(ReadError::Kind) };
            ranges.push((first, row.last));
        }
        match ranges.last() {
            Some((first, _)) if found.len() == ENTRIES_PER_READ => {
                from = RowKey::task(Table::CancelledRange, session, first.next());
            }
            _ => return Ok(ranges),
        }
    }
}

fn ended(rows: &RowReader, session: SessionKey, tasks: &[TaskNo]) -> Result<Vec<EndedTask>, ReadError> {
    let keys: Vec<Vec<u8>> = tasks.iter().map(|task| RowKey::task(Table::Finished, session, *task).0).collect();
    let values = rows.multi_get(Space::Bulk, &keys)?;
    let mut ended = Vec::with_capacity(tasks.len());
    for (task, value) in tasks.iter().zip(values) {
        // The session was deleted between the two reads: its end is told by its events.
        let Some(value) = value else { continue };
        let Row::Finished(row) = codec::decode::<Row>(value)? else { return Err(ReadError::Kind) };
        ended.push(EndedTask { task: *task, state: row.state, output: row.output, message: row.message });
    }
    Ok(ended)
}
