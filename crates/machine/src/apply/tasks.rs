//! Tasks: submit and cancel.

use flame_types::{Payload, SessionId, SessionKey, TaskNo, TaskOptions, TaskState, limits};

use super::batch::{Apply, Outcome};
use super::ending::Ending;
use crate::command::{Inputs, Submit};
use crate::digest;
use crate::effect::Order;
use crate::event::Event;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::row::{IdempotencyRow, InputsRow, Row, RowKey, Table};
use crate::state::{PENDING_ENTRIES_MAX, PendingTask, Session, Story, Timer};

/// Most tasks of one array submit. They are one row and one range, so this only bounds what one command may start.
const ARRAY_TASKS_MAX: u64 = 100_000_000;

/// Idempotency keys remembered per session; the oldest leave first.
const IDEMPOTENCY_KEYS_MAX: usize = 65_536;

impl Apply<'_> {
    pub(super) fn submit(&mut self, submit: Submit) -> Outcome {
        let key = self.live_session(&submit.session)?;
        let session = &self.state.sessions[&key];
        let hash = submit.idempotency_key.map(|_| digest::fingerprint_submit(&submit));
        if let Some(known) = submit.idempotency_key.and_then(|idempotency| session.idempotency.get(&idempotency)) {
            if Some(known.hash) != hash {
                return Err(Refusal::IdempotencyMismatch(submit.session.to_string()));
            }
            return Ok(Reply::Submitted { session: key, first: known.first, count: known.count });
        }
        self.check_disk()?;
        check_inputs(&submit.inputs)?;
        check_options(&submit.options, submit.inputs.count())?;
        check_room(session, &submit)?;
        let count = submit.inputs.count();
        let row = InputsRow { created: self.wall, inputs: submit.inputs, options: submit.options.clone() };
        let bytes = row.kept_bytes();
        self.check_kept(session, count, bytes)?;

        let session = self.state.sessions.get_mut(&key).expect("it was found above");
        let first = session.row.next_task;
        let last = TaskNo(first.0 + count - 1);
        session.row.next_task = last.next();
        if submit.options.is_default() {
            let range = session.pending.append(first, last);
            self.changes.ranges.insert((key, range));
            if range == first {
                self.changes.new_ranges.insert((key, range));
            }
        } else {
            let now = self.state.cluster.time;
            for number in first.0..=last.0 {
                let story = Box::new(Story { options: submit.options.clone(), ..Story::default() });
                session.pending.insert(TaskNo(number), PendingTask { story, ..PendingTask::default() }, now);
                self.changes.pending.insert((key, TaskNo(number)));
            }
        }
        if let (Some(idempotency), Some(hash)) = (submit.idempotency_key, hash) {
            self.remember_submit(key, idempotency, IdempotencyRow { first, count, hash });
        }
        self.keep(key, bytes);
        self.changes.put(RowKey::task(Table::Inputs, key, first), Row::Inputs(row));
        self.events.push(Event::Tasks { session: key, first, last, state: TaskState::Pending });
        self.touch(key);
        Ok(Reply::Submitted { session: key, first, count })
    }

    pub(super) fn cancel(&mut self, id: &SessionId, task: TaskNo) -> Outcome {
        let key = *self.state.ids.get(id).ok_or_else(|| Refusal::SessionNotFound(id.to_string()))?;
        let ended = || Refusal::TaskEnded { session: id.to_string(), task: task.0 };
        let unknown = || Refusal::TaskNotFound { session: id.to_string(), task: task.0 };
        let Some(session) = self.state.sessions.get(&key) else {
            let tasks = self.state.closed.get(&key).map_or(0, |row| row.tasks);
            return Err(if (1..=tasks).contains(&task.0) { ended() } else { unknown() });
        };
        if task < TaskNo::FIRST || task >= session.row.next_task {
            return Err(unknown());
        }
        if let Some(token) = session.assigned.get(&task).copied() {
            self.cancel_assigned(token);
            self.order_tokens(&[token], |tokens| Order::Cancel { tokens });
            return Ok(Reply::Done);
        }
        if !session.pending.contains(session.row.head, task) {
            return Err(ended());
        }
        if session.pending.task(task).is_none() && session.pending.entries() >= PENDING_ENTRIES_MAX {
            return Err(entries_limit());
        }
        let story = self.take_pending(key, task);
        self.end_task(key, task, Ending::cancelled(story, None));
        Ok(Reply::Done)
    }

    /// Takes one pending task out, wherever it lies.
    fn take_pending(&mut self, key: SessionKey, task: TaskNo) -> Option<Box<Story>> {
        let session = self.state.sessions.get_mut(&key).expect("the caller has found it");
        if let Some(pending) = session.pending.remove(task) {
            self.state.timers.remove(pending.not_before, Timer::Retry(key, task));
            self.changes.pending.insert((key, task));
            return Some(pending.story);
        }
        for first in session.pending.cut(session.row.head, task).into_iter().flatten() {
            self.changes.ranges.insert((key, first));
        }
        None
    }

    fn remember_submit(&mut self, key: SessionKey, idempotency: [u8; 16], row: IdempotencyRow) {
        let session = self.state.sessions.get_mut(&key).expect("the caller has found it");
        if session.idempotency.len() >= IDEMPOTENCY_KEYS_MAX
            && let Some((_, oldest)) = session.idempotency_order.pop_first()
        {
            session.idempotency.remove(&oldest);
            self.changes.idempotency.insert((key, oldest));
        }
        session.idempotency_order.insert(row.first, idempotency);
        session.idempotency.insert(idempotency, row);
        self.changes.idempotency.insert((key, idempotency));
    }
}

fn check_inputs(inputs: &Inputs) -> Result<(), Refusal> {
    let count = inputs.count();
    if count == 0 {
        return Err(Refusal::InvalidSpec("a submit needs at least one task".into()));
    }
    let (max, largest) = match inputs {
        Inputs::Each(inputs) => {
            let largest = inputs.iter().flatten().map(Payload::len).max().unwrap_or(0);
            (limits::SUBMIT_TASKS_MAX as u64, largest)
        }
        Inputs::Array { input, .. } => (ARRAY_TASKS_MAX, input.as_ref().map_or(0, Payload::len)),
    };
    if count > max {
        return Err(Refusal::Limit { name: "tasks of one submit".into(), limit: max });
    }
    if largest > limits::TASK_PAYLOAD_BYTES_MAX {
        let limit = limits::TASK_PAYLOAD_BYTES_MAX;
        return Err(Refusal::InvalidSpec(format!("a task input has {largest} bytes, at most {limit} are allowed")));
    }
    Ok(())
}

fn check_options(options: &TaskOptions, count: u64) -> Result<(), Refusal> {
    if options.is_default() {
        return Ok(());
    }
    if count > limits::SUBMIT_TASKS_MAX as u64 {
        let limit = limits::SUBMIT_TASKS_MAX as u64;
        return Err(Refusal::Limit { name: "tasks of one submit with options".into(), limit });
    }
    if options.affinity.len() > limits::ATTRIBUTE_KEYS_MAX {
        return Err(Refusal::InvalidSpec(format!("a task has at most {} affinity keys", limits::ATTRIBUTE_KEYS_MAX)));
    }
    if options.affinity.iter().any(|key| key.len() > limits::ATTRIBUTE_KEY_BYTES_MAX) {
        let max = limits::ATTRIBUTE_KEY_BYTES_MAX;
        return Err(Refusal::InvalidSpec(format!("an affinity key has at most {max} bytes")));
    }
    if options.timeout_ms == Some(0) {
        return Err(Refusal::InvalidSpec("a timeout must be at least 1 ms".into()));
    }
    Ok(())
}

/// Ranges and single tasks are held in memory, so their number is limited; the tasks inside a range are not.
fn check_room(session: &Session, submit: &Submit) -> Result<(), Refusal> {
    let more = if submit.options.is_default() { 1 } else { submit.inputs.count() as usize };
    if session.pending.entries() + more > PENDING_ENTRIES_MAX { Err(entries_limit()) } else { Ok(()) }
}

fn entries_limit() -> Refusal {
    Refusal::Limit {
        name: "pending ranges and tasks with options of one session".into(),
        limit: PENDING_ENTRIES_MAX as u64,
    }
}
