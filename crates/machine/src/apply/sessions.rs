//! Sessions: create, open, suspend, resume. How they end is in `close.rs`.

use flame_types::{AppState, ExecutorState, Resources, SessionId, SessionKey, SessionSpec, SessionState, limits};

use super::batch::{Apply, Outcome};
use super::hand_over::Chance;
use crate::event::Event;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::row::{Row, RowKey, Table};
use crate::state::{News, Session, SessionEvent, SessionRow, SessionSpecRow, Terms};

impl Apply<'_> {
    pub(super) fn create(&mut self, id: SessionId, spec: SessionSpec) -> Outcome {
        if self.state.ids.contains_key(&id) {
            return Err(Refusal::SessionExists(id.to_string()));
        }
        self.make_session(id, spec)
    }

    pub(super) fn open(&mut self, id: SessionId, spec: Option<SessionSpec>) -> Outcome {
        let Some(key) = self.state.ids.get(&id).copied() else {
            let spec = spec.ok_or_else(|| Refusal::SessionNotFound(id.to_string()))?;
            return self.make_session(id, spec);
        };
        let session = self.state.sessions.get(&key).ok_or_else(|| Refusal::SessionNotOpen(id.to_string()))?;
        if let Some(spec) = spec {
            self.check_same(session, &spec)?;
        }
        Ok(Reply::Session { key, created: false })
    }

    /// Nothing starts any more; what runs may finish.
    pub(super) fn suspend(&mut self, id: &SessionId) -> Outcome {
        let key = self.live_session(id)?;
        let session = self.state.sessions.get_mut(&key).expect("it was found above");
        if session.row.state != SessionState::Open {
            return Ok(Reply::Done);
        }
        session.row.state = SessionState::Suspending;
        let unstarted = session
            .assigned
            .values()
            .copied()
            .filter(|token| self.state.assignments.get(token).is_some_and(|row| row.started.is_none()));
        let unstarted = unstarted.collect();
        self.recall_tokens(unstarted);
        self.events.push(Event::Session { session: key, state: SessionState::Suspending });
        self.placement_dirty = true;
        self.touch(key);
        Ok(Reply::Done)
    }

    /// A resumed session starts afresh: earlier bind failures do not hold it back.
    pub(super) fn resume(&mut self, id: &SessionId) -> Outcome {
        let key = self.live_session(id)?;
        let now = self.state.cluster.time;
        let session = self.state.sessions.get_mut(&key).expect("it was found above");
        if session.row.state == SessionState::Open {
            return Ok(Reply::Done);
        }
        session.row.state = SessionState::Open;
        session.row.bind_failures = 0;
        session.row.crashes = 0;
        session.row.gang_failures = 0;
        session.row.not_before = session.row.not_before.min(now);
        self.events.push(Event::Session { session: key, state: SessionState::Open });
        self.placement_dirty = true;
        self.touch(key);
        self.tell_if_unservable(key);
        Ok(Reply::Done)
    }

    /// A session that is not closed.
    pub(super) fn live_session(&self, id: &SessionId) -> Result<SessionKey, Refusal> {
        let key = self.state.ids.get(id).ok_or_else(|| Refusal::SessionNotFound(id.to_string()))?;
        match self.state.sessions.contains_key(key) {
            true => Ok(*key),
            false => Err(Refusal::SessionNotOpen(id.to_string())),
        }
    }

    /// Adds an event to a session that is not closed.
    pub(super) fn session_event(&mut self, key: SessionKey, code: i32, message: String) {
        let at = self.wall;
        let Some(session) = self.state.sessions.get_mut(&key) else { return };
        session.add_event(SessionEvent { code, message, at });
        let state = session.row.state;
        self.changes.session_events.insert(key);
        self.events.push(Event::Session { session: key, state });
    }

    /// The end of a step for a session: states that follow from others, and what is derived.
    pub(super) fn settle_session(&mut self, key: SessionKey) {
        let now = self.state.cluster.time;
        if let Some(session) = self.state.sessions.get_mut(&key) {
            let short = session.row.state == SessionState::Open
                && session.wanted() > 0
                && session.staying() > 0
                && session.staying() < session.batch_size();
            match (short, session.row.gang_short_since) {
                (true, None) => session.row.gang_short_since = Some(now),
                (false, Some(_)) => session.row.gang_short_since = None,
                _ => {}
            }
            let waits = session.row.state == SessionState::Open && session.work() > 0 && session.executors.is_empty();
            if waits != session.row.waits_since.is_some() {
                session.row.waits_since = waits.then_some(now);
                self.changes.sessions.insert(key);
            }
            if session.ready >= session.batch_size() {
                session.row.gang_failures = 0;
            }
            if session.row.state == SessionState::Suspending && session.assigned.is_empty() {
                session.row.state = SessionState::Suspended;
                self.events.push(Event::Session { session: key, state: SessionState::Suspended });
            }
        }
        let News { look, spares, waits } = self.state.index_session(key);
        if waits {
            self.chances.push_back(Chance::Waits(key));
        }
        if spares {
            self.chances.push_back(Chance::Spare(key, look));
        } else {
            self.placement_dirty |= look;
        }
    }

    /// A gang has waited long enough for its missing executors: it gives back what it has and tries again later.
    pub(super) fn give_gang_back(&mut self, key: SessionKey) {
        let now = self.state.cluster.time;
        let Some(session) = self.state.sessions.get_mut(&key) else { return };
        session.row.gang_short_since = None;
        session.row.gang_failures += 1;
        let failures = session.row.gang_failures;
        let wait_ms = session.terms.retry.refused.wait_ms(failures);
        session.row.not_before = session.row.not_before.max(now.plus(wait_ms));
        let executors: Vec<_> = session.executors.iter().copied().collect();
        for executor in executors {
            let found = &self.state.executors[&executor];
            match (found.row.state, found.queue.is_empty()) {
                (ExecutorState::Bound, true) => self.unbind(executor),
                (ExecutorState::Bound, false) => {}
                _ => self.stop(executor),
            }
        }
        self.placement_dirty = true;
        self.touch(key);
    }

    fn make_session(&mut self, id: SessionId, mut spec: SessionSpec) -> Outcome {
        let name = spec.application.clone();
        let app = self.state.apps.get(&name).ok_or_else(|| Refusal::AppNotFound(name.to_string()))?;
        if app.row.state != AppState::Enabled {
            return Err(Refusal::AppDisabled(name.to_string()));
        }
        self.check_disk()?;
        spec.batch_size = spec.batch_size.max(1);
        spec.resources = self.resolved(spec.resources);
        let terms = Terms::of(&spec, &app.row.spec, &self.state.cluster.config);
        check_spec(&spec, terms.max_instances)?;
        let limit = limits::OPEN_SESSIONS_MAX;
        if self.state.sessions.len() >= limit {
            return Err(Refusal::Limit { name: "open sessions".into(), limit: limit as u64 });
        }

        let key = self.state.cluster.next_session;
        self.state.cluster.next_session = key.next();
        self.changes.cluster = true;
        let common_data = spec.common_data.take();
        let common_data_bytes = common_data.as_ref().map(|data| data.len() as u64);
        if let Some(data) = common_data {
            self.changes.put(RowKey::session(Table::CommonData, key), Row::CommonData(data));
        }
        let asked = SessionSpecRow { id: id.clone(), spec, common_data_bytes, created: self.wall };
        self.state.apps.get_mut(&name).expect("it was found above").sessions.insert(key);
        self.state.ids.insert(id, key);
        self.state.sessions.insert(key, Session::new(key, asked, SessionRow::new(), terms));
        self.changes.session_specs.insert(key);
        self.events.push(Event::Session { session: key, state: SessionState::Open });
        self.touch(key);
        self.tell_if_unservable(key);
        Ok(Reply::Session { key, created: true })
    }

    fn resolved(&self, resources: Resources) -> Resources {
        if resources.is_zero() { self.state.cluster.config.default_resources } else { resources }
    }

    /// The published comparison: common data, batch size and tokens may differ.
    fn check_same(&self, session: &Session, spec: &SessionSpec) -> Result<(), Refusal> {
        let have = &session.asked.spec;
        let max = |spec: &SessionSpec| {
            let app_max = self.state.apps.get(&have.application).map_or(u32::MAX, |app| app.row.spec.max_instances);
            spec.max_instances.unwrap_or(app_max).to_string()
        };
        let fields = [
            ("application", have.application.to_string(), spec.application.to_string()),
            ("resreq", shown(have.resources), shown(self.resolved(spec.resources))),
            ("min_instances", have.min_instances.to_string(), spec.min_instances.to_string()),
            ("max_instances", max(have), max(spec)),
            ("priority", have.priority.to_string(), spec.priority.to_string()),
        ];
        for (field, expected, got) in fields {
            if expected != got {
                let id = session.asked.id.to_string();
                return Err(Refusal::SpecMismatch { id, field: field.into(), expected, got });
            }
        }
        Ok(())
    }
}

/// Resources to the byte, so that two that differ never read the same.
fn shown(resources: Resources) -> String {
    format!("cpu={},mem={},gpu={}", resources.cpu, resources.memory, resources.gpu)
}

fn check_spec(spec: &SessionSpec, max: u32) -> Result<(), Refusal> {
    let invalid = |why: String| Err(Refusal::InvalidSpec(why));
    if max == 0 {
        return invalid("max_instances must be at least 1".into());
    }
    if spec.min_instances > max {
        return invalid(format!("min_instances {} is above max_instances {max}", spec.min_instances));
    }
    if spec.batch_size > max {
        return invalid(format!("batch_size {} is above max_instances {max}", spec.batch_size));
    }
    if spec.labels.len() > limits::LABELS_MAX {
        return invalid(format!("a session has at most {} labels", limits::LABELS_MAX));
    }
    if let Err(why) = spec.retention.check_session() {
        return invalid(why.to_string());
    }
    if let Err(why) = spec.retry.check() {
        return invalid(why.to_string());
    }
    if spec.task_timeout_ms == Some(0) {
        return invalid("task_timeout_ms must be at least 1".into());
    }
    let bytes = spec.common_data.as_ref().map_or(0, flame_types::Payload::len);
    if bytes > limits::COMMON_DATA_BYTES_MAX {
        let max = limits::COMMON_DATA_BYTES_MAX;
        return invalid(format!("the common data have {bytes} bytes, at most {max} are allowed"));
    }
    Ok(())
}
