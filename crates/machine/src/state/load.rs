//! Rows into memory, and memory into rows.

use flame_types::{ClientId, ExecutorKey, ObjectKey, RequestNo, Seq, SessionKey, TaskNo, Token};

use super::{App, AssignmentRow, Cache, Client, Directory, Executor, Node, RequestRow, Session, State, Terms};
use crate::row::{Row, RowKey, Table};

/// Why rows could not be loaded: they were not written by this machine, or not all of them are there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The content does not belong to the table of its key.
    #[error("the row at key {key:02x?} holds something else than its table says")]
    WrongTable { key: Vec<u8> },
    /// The key is too short.
    #[error("the key {key:02x?} is damaged")]
    BadKey { key: Vec<u8> },
    /// A row refers to another that is not there.
    #[error("{row} refers to {missing}, which is not there")]
    Missing { row: String, missing: String },
}

impl State {
    /// An executor as it lies on disk, with its queue.
    pub(crate) fn executor_row(&self, executor: ExecutorKey) -> Option<Row> {
        let executor = self.executors.get(&executor)?;
        let assignment = |token: &Token| (*token, self.assignments[token].clone());
        Some(Row::Executor(Box::new(executor.row.clone()), executor.queue.iter().map(assignment).collect()))
    }

    /// Builds the state from its live rows, in any order. Bulk rows are passed over.
    ///
    /// # Errors
    /// [`LoadError`] when the rows do not belong together.
    pub fn load(rows: impl IntoIterator<Item = (RowKey, Row)>) -> Result<Self, LoadError> {
        let mut sorted: Vec<(RowKey, Row)> = rows.into_iter().collect();
        if let Some((key, _)) = sorted.iter().find(|(key, _)| Table::of_key(&key.0).is_none()) {
            return Err(LoadError::BadKey { key: key.0.clone() });
        }
        sorted.sort_by_key(|(key, _)| load_order(key));
        let mut state = Self::new();
        for (key, row) in sorted {
            state.load_row(&key, row)?;
        }
        state.index_loaded();
        Ok(state)
    }

    /// Every live row, in the order of the keys.
    #[must_use]
    pub fn rows(&self) -> Vec<(RowKey, Row)> {
        let mut rows = vec![(RowKey::cluster(), Row::Cluster(Box::new(self.cluster.clone())))];
        rows.extend(self.apps.iter().map(|(name, app)| (RowKey::app(name), Row::App(Box::new(app.row.clone())))));
        for (key, session) in &self.sessions {
            session_rows(*key, session, &mut rows);
        }
        rows.extend(self.closed.values().map(|row| (RowKey::closed(&row.id), Row::Closed(Box::new(row.clone())))));
        for (key, executor) in &self.executors {
            rows.extend(self.executor_row(*key).map(|row| (RowKey::executor(*key), row)));
            if !executor.attributes.is_empty() {
                rows.push((RowKey::attributes(*key), Row::Attributes(executor.attributes.clone())));
            }
        }
        rows.extend(self.nodes.iter().map(|(name, node)| (RowKey::node(name), Row::Node(Box::new(node.row.clone())))));
        for (id, client) in &self.clients {
            rows.push((RowKey::client(*id), client.to_row()));
            let replies =
                |(first, row): (&Seq, &super::RepliesRow)| (RowKey::replies(*id, *first), Row::Replies(row.clone()));
            rows.extend(client.window.iter().rev().skip(1).map(replies));
        }
        let request = |(number, row): (_, &RequestRow)| (RowKey::request(number), Row::Request(Box::new(row.clone())));
        rows.extend(self.requests.iter().map(request));
        directory_rows(&self.directory, &mut rows);
        rows.sort_by(|(left, _), (right, _)| left.cmp(right));
        rows
    }

    fn load_row(&mut self, key: &RowKey, row: Row) -> Result<(), LoadError> {
        match (key.table(), row) {
            (table, _) if table.space() == crate::row::Space::Bulk => {}
            (Table::Cluster, Row::Cluster(row)) => self.cluster = *row,
            (Table::App, Row::App(row)) => {
                let sessions = std::collections::BTreeSet::new();
                self.apps.insert(row.name.clone(), App { row: *row, sessions });
            }
            (Table::SessionSpec, Row::SessionSpec(asked)) => {
                let key = SessionKey(number(key, 0)?);
                let app = self.apps.get_mut(&asked.spec.application);
                let app = app.ok_or_else(|| missing(format!("session {key}"), &asked.spec.application))?;
                app.sessions.insert(key);
                let terms = Terms::of(&asked.spec, &app.row.spec, &self.cluster.config);
                self.ids.insert(asked.id.clone(), key);
                self.sessions.insert(key, Session::new(key, *asked, super::SessionRow::new(), terms));
            }
            (Table::Session, Row::Session(row)) => {
                self.open_kept_bytes += row.kept_bytes;
                self.loaded_session(key)?.row = *row;
            }
            (Table::SessionEvents, Row::SessionEvents(events)) => self.loaded_session(key)?.events = events,
            (Table::PendingRange, Row::PendingRange(last)) => {
                let session = self.loaded_session(key)?;
                session.pending.load_range(session.row.head, TaskNo(number(key, 1)?), last);
            }
            (Table::Pending, Row::Pending(pending)) => {
                let (now, task) = (self.cluster.time, TaskNo(number(key, 1)?));
                let not_before = pending.not_before;
                let session = self.loaded_session(key)?;
                if pending.story.suspect {
                    session.suspects.insert(task);
                }
                session.pending.insert(task, pending, now);
                let session = session.key;
                self.index_retry(session, task, not_before);
            }
            (Table::Idempotency, Row::Idempotency(row)) => {
                let bytes = key.0.get(9..).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
                let hash = bytes.ok_or_else(|| LoadError::BadKey { key: key.0.clone() })?;
                let session = self.loaded_session(key)?;
                session.idempotency_order.insert(row.first, hash);
                session.idempotency.insert(hash, row);
            }
            (_, row) => self.load_other(key, row)?,
        }
        Ok(())
    }

    fn load_other(&mut self, key: &RowKey, row: Row) -> Result<(), LoadError> {
        match (key.table(), row) {
            (Table::Closed, Row::Closed(row)) => {
                self.ids.insert(row.id.clone(), row.key);
                self.closed_index.insert(&row);
                self.closed.insert(row.key, *row);
            }
            (Table::Node, Row::Node(row)) => {
                self.nodes.insert(row.name.clone(), Node::new(*row));
            }
            (Table::Executor, Row::Executor(row, queue)) => {
                let key = row.key;
                self.executors.insert(key, Executor::new(*row));
                self.count_executor(key);
                queue.into_iter().try_for_each(|(token, row)| self.load_assignment(key, token, row))?;
            }
            (Table::Attributes, Row::Attributes(attributes)) => {
                let executor = ExecutorKey(number(key, 0)?);
                let found = self.executors.get_mut(&executor);
                found.ok_or_else(|| missing("attributes", executor))?.attributes = attributes;
            }
            (Table::Client, Row::Client(row, newest)) => {
                self.nonces.insert(row.nonce, row.id);
                if let Some(gateway) = row.gateway {
                    self.gateways.insert(gateway, row.id);
                }
                self.clients.insert(row.id, Client { row, window: newest.into_iter().collect() });
            }
            (Table::Replies, Row::Replies(row)) => {
                let (id, first) = (ClientId(number(key, 0)?), Seq(number(key, 1)?));
                let client = self.clients.get_mut(&id).ok_or_else(|| missing("replies", id))?;
                client.window.insert(first, row);
            }
            (Table::Request, Row::Request(row)) => self.requests.insert(RequestNo(number(key, 0)?), *row),
            (_, row) => self.directory.load_row(key, row)?,
        }
        Ok(())
    }

    fn load_assignment(&mut self, key: ExecutorKey, token: Token, row: AssignmentRow) -> Result<(), LoadError> {
        let executor = self.executors.get_mut(&key);
        let executor = executor.filter(|_| row.executor == key);
        executor.ok_or_else(|| missing(format!("assignment {token}"), row.executor))?.queue.push_back(token);
        if !row.cancelled {
            let session = self.sessions.get_mut(&row.session);
            let session = session.ok_or_else(|| missing(format!("assignment {token}"), row.session))?;
            session.assigned.insert(row.task, token);
            if row.story.as_ref().is_some_and(|story| story.suspect) {
                session.suspects.insert(row.task);
            }
            session.running += u64::from(row.started.is_some());
            if let Some(deadline) = row.deadline.filter(|deadline| *deadline > self.cluster.time) {
                self.timers.insert(deadline, super::Timer::Timeout(token));
            }
        }
        self.assignments.insert(token, row);
        Ok(())
    }

    fn loaded_session(&mut self, key: &RowKey) -> Result<&mut Session, LoadError> {
        let session = SessionKey(number(key, 0)?);
        self.sessions.get_mut(&session).ok_or_else(|| missing(format!("a row of {:?}", key.table()), session))
    }

    fn index_loaded(&mut self) {
        for (key, executor) in &self.executors {
            if executor.row.retiring
                && let Some(session) = self.sessions.get_mut(&executor.row.session)
            {
                session.retiring += u32::from(executor.is_attached());
                session.executors.insert(*key);
            }
        }
        self.index_all();
    }
}

impl Directory {
    fn load_row(&mut self, key: &RowKey, row: Row) -> Result<(), LoadError> {
        let bad_key = || LoadError::BadKey { key: key.0.clone() };
        match (key.table(), row) {
            (Table::Cache, Row::Cache(row)) => {
                self.names.insert(row.name.clone(), row.key);
                self.caches.insert(row.key, Cache::new(*row));
            }
            (Table::Object, Row::Object(row)) => {
                let text = key.text_after_table().ok_or_else(bad_key)?;
                let key = ObjectKey::parse(text).map_err(|_| bad_key())?;
                if let Some(place) = row.places.iter().find(|place| !self.caches.contains_key(place)) {
                    return Err(missing(format!("object {key}"), format!("cache node {place}")));
                }
                self.set(&key, Some(*row));
            }
            (Table::Doomed, Row::Doomed(row)) => {
                let text = key.text_after_table().ok_or_else(bad_key)?;
                self.doomed.insert(text.to_owned(), *row);
            }
            _ => return Err(LoadError::WrongTable { key: key.0.clone() }),
        }
        Ok(())
    }
}

/// Rows are loaded so that whatever one refers to is there already.
fn load_order(key: &RowKey) -> (usize, RowKey) {
    const ORDER: &[Table] = &[
        Table::Cluster,
        Table::App,
        Table::SessionSpec,
        Table::Session,
        Table::Node,
        Table::Executor,
        Table::Client,
        Table::Cache,
    ];
    let place = ORDER.iter().position(|table| *table == key.table()).unwrap_or(ORDER.len());
    (place, key.clone())
}

fn directory_rows(directory: &Directory, rows: &mut Vec<(RowKey, Row)>) {
    let caches = directory.caches.values().map(|cache| &cache.row);
    rows.extend(caches.map(|row| (RowKey::cache(&row.name), Row::Cache(Box::new(row.clone())))));
    let object =
        |(key, row): (&ObjectKey, &super::ObjectRow)| (RowKey::object(key), Row::Object(Box::new(row.clone())));
    rows.extend(directory.entries.iter().map(object));
    let doomed = |(from, row): (&String, &super::DoomedRow)| (RowKey::doomed(from), Row::Doomed(Box::new(row.clone())));
    rows.extend(directory.doomed.iter().map(doomed));
}

fn session_rows(key: SessionKey, session: &Session, rows: &mut Vec<(RowKey, Row)>) {
    rows.push((RowKey::session(Table::SessionSpec, key), Row::SessionSpec(Box::new(session.asked.clone()))));
    rows.push((RowKey::session(Table::Session, key), Row::Session(Box::new(session.row.clone()))));
    if !session.events.is_empty() {
        rows.push((RowKey::session(Table::SessionEvents, key), Row::SessionEvents(session.events.clone())));
    }
    for (first, last) in session.pending.ranges() {
        rows.push((RowKey::task(Table::PendingRange, key, first), Row::PendingRange(last)));
    }
    for (task, pending) in session.pending.tasks() {
        rows.push((RowKey::task(Table::Pending, key, task), Row::Pending(pending.clone())));
    }
    for (hash, row) in &session.idempotency {
        rows.push((RowKey::idempotency(key, hash), Row::Idempotency(row.clone())));
    }
}

fn number(key: &RowKey, place: usize) -> Result<u64, LoadError> {
    key.number_at(place).ok_or_else(|| LoadError::BadKey { key: key.0.clone() })
}

fn missing(row: impl Into<String>, what: impl std::fmt::Display) -> LoadError {
    LoadError::Missing { row: row.into(), missing: what.to_string() }
}
