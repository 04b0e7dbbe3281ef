//! What a batch touched. Rows of live things are written once, as they are at its end; bulk rows as they come.

use std::collections::{BTreeMap, BTreeSet};

use flame_types::{
    AppName, ClientId, ExecutorKey, LogIndex, NodeName, ObjectKey, Position, RequestNo, Seq, SessionId, SessionKey,
    TaskNo,
};

use crate::row::{DoneRow, Row, RowChange, RowKey, RowSink, Table};
use crate::state::{Client, State};

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
    /// Those of them that have begun in this batch: used up in it as well, they never had a row.
    pub new_ranges: BTreeSet<(SessionKey, TaskNo)>,
    pub idempotency: BTreeSet<(SessionKey, [u8; 16])>,
    pub closed: BTreeMap<SessionId, SessionKey>,
    /// Executors that changed, or their queues, or assignments in them.
    pub executors: BTreeSet<ExecutorKey>,
    pub attributes: BTreeSet<ExecutorKey>,
    pub nodes: BTreeSet<NodeName>,
    /// Each with the first of the newest replies that were kept for it before: those lie in its own row.
    pub clients: BTreeMap<ClientId, Option<Seq>>,
    /// Replies that are kept no longer.
    pub forgotten: BTreeSet<(ClientId, Seq)>,
    /// Requests that are remembered since this batch, or no longer.
    pub requests: BTreeSet<RequestNo>,
    pub caches: BTreeSet<NodeName>,
    pub objects: BTreeSet<ObjectKey>,
    /// Deleted objects, by the beginning of their keys.
    pub doomed: BTreeSet<String>,
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

    /// A client is about to change, or its window.
    pub fn client(&mut self, id: ClientId, client: &Client) {
        self.clients.entry(id).or_insert_with(|| client.newest());
    }

    /// Whether these replies belong to commands of this batch.
    pub fn is_new(&self, id: ClientId, first: Seq) -> bool {
        self.clients.get(&id).is_some_and(|newest| newest.is_none_or(|newest| newest < first))
    }

    /// The changes of rows that make the disk equal to `state`.
    pub fn write(mut self, state: &State, index: LogIndex, rows: &mut dyn RowSink) {
        std::mem::take(&mut self.direct).into_iter().for_each(|change| rows.take(change));
        for (session, mut done) in std::mem::take(&mut self.done) {
            if state.sessions.contains_key(&session) || state.closed.contains_key(&session) {
                done.tasks.sort_unstable();
                done.at = state.cluster.time;
                let at = Position { generation: state.cluster.generation, index };
                rows.take(RowChange::Put(RowKey::done(session, at), Row::Done(done)));
            }
        }
        if self.cluster {
            rows.take(RowChange::Put(RowKey::cluster(), Row::Cluster(Box::new(state.cluster.clone()))));
        }
        self.session_rows(state, rows);
        self.worker_rows(state, rows);
        self.directory_rows(state, rows);
        self.client_rows(state, rows);
    }

    fn client_rows(&self, state: &State, rows: &mut dyn RowSink) {
        for (id, newest) in &self.clients {
            let client = state.clients.get(id);
            rows.take(change(RowKey::client(*id), client.map(Client::to_row)));
            let Some((client, first)) = client.zip(*newest).filter(|(client, first)| client.newest() != Some(*first))
            else {
                continue;
            };
            // What was the newest and is still kept has a row of its own from now on.
            if let Some(replies) = client.window.get(&first) {
                rows.take(RowChange::Put(RowKey::replies(*id, first), Row::Replies(replies.clone())));
            }
        }
        for number in &self.requests {
            let row = state.requests.get(*number).map(|row| Row::Request(Box::new(row.clone())));
            rows.take(change(RowKey::request(*number), row));
        }
        for (id, first) in &self.forgotten {
            if self.clients.get(id).copied().flatten().is_some_and(|newest| *first < newest) {
                rows.take(RowChange::Delete(RowKey::replies(*id, *first)));
            }
        }
    }

    fn session_rows(&self, state: &State, rows: &mut dyn RowSink) {
        for name in &self.apps {
            let row = state.apps.get(name).map(|app| Row::App(Box::new(app.row.clone())));
            rows.take(change(RowKey::app(name), row));
        }
        for key in &self.session_specs {
            let row = state.sessions.get(key).map(|session| Row::SessionSpec(Box::new(session.asked.clone())));
            rows.take(change(RowKey::session(Table::SessionSpec, *key), row));
        }
        for key in &self.sessions {
            let row = state.sessions.get(key).map(|session| Row::Session(Box::new(session.row.clone())));
            rows.take(change(RowKey::session(Table::Session, *key), row));
        }
        for key in &self.session_events {
            let row = state.sessions.get(key).map(|session| Row::SessionEvents(session.events.clone()));
            rows.take(change(RowKey::session(Table::SessionEvents, *key), row));
        }
        for (key, task) in &self.pending {
            let pending = state.sessions.get(key).and_then(|session| session.pending.task(*task));
            rows.take(change(RowKey::task(Table::Pending, *key, *task), pending.cloned().map(Row::Pending)));
        }
        for (key, first) in &self.ranges {
            let range = state.sessions.get(key).and_then(|session| session.pending.range(*first));
            if range.is_none() && self.new_ranges.contains(&(*key, *first)) {
                continue;
            }
            rows.take(change(RowKey::task(Table::PendingRange, *key, *first), range.map(Row::PendingRange)));
        }
        for (key, hash) in &self.idempotency {
            let row = state.sessions.get(key).and_then(|session| session.idempotency.get(hash));
            rows.take(change(RowKey::idempotency(*key, hash), row.cloned().map(Row::Idempotency)));
        }
        for (id, key) in &self.closed {
            let row = state.closed.get(key).map(|row| Row::Closed(Box::new(row.clone())));
            rows.take(change(RowKey::closed(id), row));
        }
    }

    fn worker_rows(&self, state: &State, rows: &mut dyn RowSink) {
        for key in &self.executors {
            rows.take(change(RowKey::executor(*key), state.executor_row(*key)));
        }
        for key in &self.attributes {
            let keys = state.executors.get(key).map(|executor| &executor.attributes).filter(|keys| !keys.is_empty());
            rows.take(change(RowKey::attributes(*key), keys.cloned().map(Row::Attributes)));
        }
        for name in &self.nodes {
            let row = state.nodes.get(name).map(|node| Row::Node(Box::new(node.row.clone())));
            rows.take(change(RowKey::node(name), row));
        }
    }

    fn directory_rows(&self, state: &State, rows: &mut dyn RowSink) {
        for name in &self.caches {
            let row = state.directory.cache(name.as_str()).map(|cache| Row::Cache(Box::new(cache.row.clone())));
            rows.take(change(RowKey::cache(name), row));
        }
        for key in &self.objects {
            let row = state.directory.entries.get(key).map(|row| Row::Object(Box::new(row.clone())));
            rows.take(change(RowKey::object(key), row));
        }
        for from in &self.doomed {
            let row = state.directory.doomed.get(from).map(|row| Row::Doomed(Box::new(row.clone())));
            rows.take(change(RowKey::doomed(from), row));
        }
    }
}

fn change(key: RowKey, row: Option<Row>) -> RowChange {
    match row {
        Some(row) => RowChange::Put(key, row),
        None => RowChange::Delete(key),
    }
}
