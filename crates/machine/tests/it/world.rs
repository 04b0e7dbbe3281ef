//! A state together with the rows that it has written: what a node is, without a log and without a disk.

use std::collections::BTreeMap;
use std::convert::Infallible;

use flame_machine::digest::{RowsDigest, digest};
use flame_machine::retention::{self, KeptRows, SubmitRow};
use flame_machine::row::DoneRow;
use flame_machine::{
    Applied, Batch, Command, Ctx, Item, Reply, Row, RowChange, RowKey, Space, State, Table, invariants,
};
use flame_types::{ClientId, LogIndex, Position, Seq, SessionKey, TaskNo, Term, WallMs};

/// A node without log and disk.
#[derive(Clone, Debug)]
pub struct World {
    pub state: State,
    /// Every row written, live and bulk.
    pub rows: BTreeMap<RowKey, Row>,
    pub index: LogIndex,
    pub term: Term,
    pub wall: i64,
}

impl World {
    pub fn new() -> Self {
        Self { state: State::new(), rows: BTreeMap::new(), index: LogIndex(0), term: Term(1), wall: 1_000 }
    }

    /// Applies commands that need no window, together in one entry.
    pub fn apply(&mut self, delta_ms: u32, commands: Vec<Command>) -> Applied {
        let item = |(at, command)| Item { client: ClientId::NONE, seq: Seq(at as u64), below: Seq(0), command };
        self.apply_items(delta_ms, commands.into_iter().enumerate().map(item).collect())
    }

    pub fn apply_items(&mut self, delta_ms: u32, items: Vec<Item>) -> Applied {
        self.index = self.index.next();
        self.wall += i64::from(delta_ms);
        let batch = Batch { wall_ms: WallMs(self.wall), cluster_delta_ms: delta_ms, items };
        self.apply_batch(batch)
    }

    pub fn apply_batch(&mut self, batch: Batch) -> Applied {
        let applied = self.state.apply(Ctx { index: self.index, term: self.term }, batch);
        self.write(applied.rows.clone());
        applied
    }

    /// Does to the rows what the machine says.
    pub fn write(&mut self, changes: Vec<RowChange>) {
        for change in changes {
            match change {
                RowChange::Put(key, row) => {
                    self.rows.insert(key, row);
                }
                RowChange::Delete(key) => {
                    self.rows.remove(&key);
                }
                RowChange::DeleteRange(from, to) => {
                    let gone: Vec<RowKey> = self.rows.range(from..to).map(|(key, _)| key.clone()).collect();
                    gone.iter().for_each(|key| drop(self.rows.remove(key)));
                }
            }
        }
    }

    /// Rows that live in memory too.
    pub fn live_rows(&self) -> Vec<(RowKey, Row)> {
        let live = self.rows.iter().filter(|(key, _)| key.table().space() == Space::Live);
        live.map(|(key, row)| (key.clone(), row.clone())).collect()
    }

    /// Forgets memory and builds it again from the rows.
    pub fn restart(&mut self) {
        self.state = State::load(self.rows.clone()).expect("the rows were written by a state");
    }

    /// The rows that were written are those of the state.
    pub fn check_rows(&self) -> Result<(), String> {
        // A cluster in which nothing has happened has no row yet.
        let mut expected = self.state.rows();
        if !self.rows.contains_key(&RowKey::cluster()) && self.state == State::new() {
            expected.clear();
        }
        let written = self.live_rows();
        if written == expected {
            return self.check_digest(&written);
        }
        let first = written.iter().zip(&expected).find(|(left, right)| left != right);
        Err(format!("rows on disk differ from memory: {first:?}, {} and {} rows", written.len(), expected.len()))
    }

    /// Whoever has rows and no state comes to the same digest.
    fn check_digest(&self, written: &[(RowKey, Row)]) -> Result<(), String> {
        let mut rows = RowsDigest::new();
        written.iter().for_each(|(key, row)| rows.add(key, row));
        let same = written.is_empty() || rows.finish() == digest(&self.state);
        same.then_some(()).ok_or_else(|| "the rows have another digest than the state".to_owned())
    }

    /// Everything that must hold.
    pub fn check(&self) -> Result<(), String> {
        invariants::check(&self.state)?;
        self.check_rows()
    }

    /// What should leave of a session, if anything.
    pub fn trim(&self, session: SessionKey) -> Option<Command> {
        let due = retention::due(&self.state, session)?;
        let Ok(draft) = due.draft(self);
        let draft = draft?;
        let Ok(submits) = draft.submits(self);
        let submits = retention::settled(&self.state, session, submits);
        let Ok(command) = draft.finish(self, submits);
        Some(command)
    }

    /// Proposes what retention wants until it wants nothing. Returns the commands and their replies.
    pub fn retain(&mut self) -> Vec<(Command, Reply)> {
        const ROUNDS_MAX: usize = 64;
        let mut done = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let sessions = retention::expired_sessions(&self.state, 64);
            let expire = (!sessions.is_empty()).then_some(Command::Expire { sessions });
            let (due, _) = retention::due_sessions(&self.state, None, usize::MAX);
            let trims = due.iter().filter_map(|due| self.trim(due.session()));
            let commands: Vec<Command> = expire.into_iter().chain(trims).collect();
            if commands.is_empty() {
                return done;
            }
            let replies = self.apply(0, commands.clone()).replies;
            done.extend(commands.into_iter().zip(replies.into_iter().map(|(_, _, reply)| reply)));
        }
        panic!("retention does not come to rest: {:?}", &done[done.len().saturating_sub(20)..]);
    }

    /// Proposes what the planner says until it says nothing. Returns the commands and their replies.
    pub fn settle(&mut self) -> Vec<(Command, Reply)> {
        const ROUNDS_MAX: usize = 64;
        let mut done = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let plan = flame_machine::schedule::plan(&self.state);
            if plan.is_empty() {
                return done;
            }
            let replies = self.apply(0, plan.clone()).replies;
            done.extend(plan.into_iter().zip(replies.into_iter().map(|(_, _, reply)| reply)));
        }
        panic!("the planner does not come to rest: {:?}", &done[done.len().saturating_sub(20)..]);
    }
}

impl KeptRows for World {
    type Error = Infallible;

    fn done_after(
        &self,
        session: SessionKey,
        after: Position,
        limit: usize,
    ) -> Result<Vec<(Position, DoneRow)>, Infallible> {
        let (_, end) = RowKey::session_range(Table::Done, session);
        let rows = self.rows.range(RowKey::done(session, after.next())..end).take(limit);
        Ok(rows
            .map(|(key, row)| match row {
                Row::Done(done) => (key.done_position().expect("a position"), done.clone()),
                other => panic!("{other:?} is no row of what was done"),
            })
            .collect())
    }

    fn submit_of(&self, session: SessionKey, task: TaskNo) -> Result<Option<SubmitRow>, Infallible> {
        let (from, to) = (RowKey::session(Table::Inputs, session), RowKey::task(Table::Inputs, session, task));
        let found = self.rows.range(from..=to).next_back().map(|(key, row)| match row {
            Row::Inputs(row) => {
                let first = TaskNo(key.number_at(1).expect("a task"));
                SubmitRow { first, last: TaskNo(first.0 + row.inputs.count() - 1), bytes: row.kept_bytes() }
            }
            other => panic!("{other:?} is no row of inputs"),
        });
        Ok(found.filter(|submit| submit.last >= task))
    }

    fn last_finished(&self, session: SessionKey, task: TaskNo) -> Result<Option<TaskNo>, Infallible> {
        let (from, to) = (RowKey::session(Table::Finished, session), RowKey::task(Table::Finished, session, task));
        Ok(self.rows.range(from..=to).next_back().map(|(key, _)| TaskNo(key.number_at(1).expect("a task"))))
    }
}
