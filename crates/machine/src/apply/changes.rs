//! What a batch touched. Rows of live things are written once, as they are at its end; bulk rows as they come.

use std::collections::{BTreeMap, BTreeSet};

use flame_types::{AppName, ClientId, ExecutorKey, LogIndex, NodeName, Position, Seq, SessionId, SessionKey, TaskNo};

use crate::row::{DoneRow, Row, RowChange, RowKey, Table};
use crate::state::State;

/// Everything a batch touched.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub cluster: bool,
    pub apps: BTreeSet<AppName>,
    pub session_specs: BTreeSet<SessionKey>,
    pub sessions: BTreeSet<SessionKey>,
    pub session_events: BTreeSet<SessionKey>,
    pub pending: BTreeSet<(SessionKey, TaskNo)>,
    pub ranges: BTreeSet<(SessionKey, TaskNo)>,
    pub idempotency: BTreeSet<(SessionKey, [u8; 16])>,
    pub closed: BTreeMap<SessionId, SessionKey>,
    /// Executors whose queues changed, or assignments in them.
    pub queues: BTreeSet<ExecutorKey>,
    pub executors: BTreeSet<ExecutorKey>,
    pub attributes: BTreeSet<ExecutorKey>,
    pub nodes: BTreeSet<NodeName>,
    pub clients: BTreeSet<ClientId>,
    pub replies: BTreeSet<(ClientId, Seq)>,
    /// Tasks that ended, by session.
    pub done: BTreeMap<SessionKey, DoneRow>,
    /// Bulk rows, and ranges that are removed, in order.
    pub direct: Vec<RowChange>,
}

impl Changes {
    /// Writes a bulk row.
    pub fn put(&mut self, key: RowKey, row: Row) {
        self.direct.push(RowChange::Put(key, row));
    }

    /// Removes the rows of a session from one table.
    pub fn delete_range(&mut self, table: Table, session: SessionKey) {
        let (from, to) = RowKey::session_range(table, session);
        self.direct.push(RowChange::DeleteRange(from, to));
    }

    /// Removes a bulk row.
    pub fn delete(&mut self, key: RowKey) {
        self.direct.push(RowChange::Delete(key));
    }

    /// Removes the bulk rows `from .. to`.
    pub fn delete_between(&mut self, from: RowKey, to: RowKey) {
        self.direct.push(RowChange::DeleteRange(from, to));
    }

    /// The changes of rows that make the disk equal to `state`.
    pub fn into_rows(mut self, state: &State, index: LogIndex) -> Vec<RowChange> {
        let mut rows = std::mem::take(&mut self.direct);
        for (session, mut done) in std::mem::take(&mut self.done) {
            if state.sessions.contains_key(&session) || state.closed.contains_key(&session) {
                done.tasks.sort_unstable();
                done.at = state.cluster.time;
                let at = Position { generation: state.cluster.generation, index };
                rows.push(RowChange::Put(RowKey::done(session, at), Row::Done(done)));
            }
        }
        if self.cluster {
            rows.push(RowChange::Put(RowKey::cluster(), Row::Cluster(Box::new(state.cluster.clone()))));
        }
        self.session_rows(state, &mut rows);
        self.worker_rows(state, &mut rows);
        for id in &self.clients {
            let row = state.clients.get(id).map(|client| Row::Client(client.row.clone()));
            rows.push(change(RowKey::client(*id), row));
        }
        for (id, first) in &self.replies {
            let row = state.clients.get(id).and_then(|client| client.window.get(first));
            rows.push(change(RowKey::replies(*id, *first), row.cloned().map(Row::Replies)));
        }
        rows
    }

    fn session_rows(&self, state: &State, rows: &mut Vec<RowChange>) {
        for name in &self.apps {
            let row = state.apps.get(name).map(|app| Row::App(Box::new(app.row.clone())));
            rows.push(change(RowKey::app(name), row));
        }
        for key in &self.session_specs {
            let row = state.sessions.get(key).map(|session| Row::SessionSpec(Box::new(session.asked.clone())));
            rows.push(change(RowKey::session(Table::SessionSpec, *key), row));
        }
        for key in &self.sessions {
            let row = state.sessions.get(key).map(|session| Row::Session(Box::new(session.row.clone())));
            rows.push(change(RowKey::session(Table::Session, *key), row));
        }
        for key in &self.session_events {
            let row = state.sessions.get(key).map(|session| Row::SessionEvents(session.events.clone()));
            rows.push(change(RowKey::session(Table::SessionEvents, *key), row));
        }
        for (key, task) in &self.pending {
            let pending = state.sessions.get(key).and_then(|session| session.pending.task(*task));
            rows.push(change(RowKey::task(Table::Pending, *key, *task), pending.cloned().map(Row::Pending)));
        }
        for (key, first) in &self.ranges {
            let range = state.sessions.get(key).and_then(|session| session.pending.range(*first));
            rows.push(change(RowKey::task(Table::PendingRange, *key, *first), range.map(Row::PendingRange)));
        }
        for (key, hash) in &self.idempotency {
            let row = state.sessions.get(key).and_then(|session| session.idempotency.get(hash));
            rows.push(change(RowKey::idempotency(*key, hash), row.cloned().map(Row::Idempotency)));
        }
        for (id, key) in &self.closed {
            let row = state.closed.get(key).map(|row| Row::Closed(Box::new(row.clone())));
            rows.push(change(RowKey::closed(id), row));
        }
    }

    fn worker_rows(&self, state: &State, rows: &mut Vec<RowChange>) {
        for key in &self.queues {
            let queue = state.queue_row(*key).map(Row::Queue);
            rows.push(change(RowKey::queue(*key), queue));
        }
        for key in &self.executors {
            let row = state.executors.get(key).map(|executor| Row::Executor(Box::new(executor.row.clone())));
            rows.push(change(RowKey::executor(*key), row));
        }
        for key in &self.attributes {
            let keys = state.executors.get(key).map(|executor| &executor.attributes).filter(|keys| !keys.is_empty());
            rows.push(change(RowKey::attributes(*key), keys.cloned().map(Row::Attributes)));
        }
        for name in &self.nodes {
            let row = state.nodes.get(name).map(|node| Row::Node(Box::new(node.row.clone())));
            rows.push(change(RowKey::node(name), row));
        }
    }
}

fn change(key: RowKey, row: Option<Row>) -> RowChange {
    match row {
        Some(row) => RowChange::Put(key, row),
        None => RowChange::Delete(key),
    }
}
