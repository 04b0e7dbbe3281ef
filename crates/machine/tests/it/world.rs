//! A state together with the rows that it has written: what a node is, without a log and without a disk.

use std::collections::BTreeMap;

use flame_machine::{Applied, Batch, Command, Ctx, Item, Reply, Row, RowChange, RowKey, Space, State, invariants};
use flame_types::{ClientId, LogIndex, Seq, Term, WallMs};

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
        for change in &applied.rows {
            match change.clone() {
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
        applied
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
            return Ok(());
        }
        let first = written.iter().zip(&expected).find(|(left, right)| left != right);
        Err(format!("rows on disk differ from memory: {first:?}, {} and {} rows", written.len(), expected.len()))
    }

    /// Everything that must hold.
    pub fn check(&self) -> Result<(), String> {
        invariants::check(&self.state)?;
        self.check_rows()
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
