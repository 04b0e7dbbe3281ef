//! Sessions.

use std::cmp::Ordering;
use std::collections::HashMap;

use flame_sdk::model::{Executor, Session, Task};
use flame_types::{ExecutorState, SessionState};
use serde::Serialize;

use super::details::Details;
use super::{Grid, Render, Sheet};
use crate::time::{clock, clock_with_millis};

/// `flmctl list -s`.
#[derive(Clone, Debug, Serialize)]
pub struct Sessions {
    /// Those that are not closed first, then oldest first.
    sessions: Vec<SessionRow>,
}

/// One session and how many executors serve it.
#[derive(Clone, Debug, Serialize)]
pub struct SessionRow {
    /// The session, as the API replies.
    #[serde(flatten)]
    pub session: Session,
    /// Executors bound to it.
    pub slots: u64,
}

impl Sessions {
    /// Puts them in order and counts the executors of each.
    #[must_use]
    pub fn new(sessions: Vec<Session>, executors: &[Executor]) -> Self {
        let mut bound: HashMap<&str, u64> = HashMap::new();
        for executor in executors.iter().filter(|executor| executor.status.state.is(ExecutorState::Bound)) {
            if let Some(session) = &executor.status.session_id {
                *bound.entry(session).or_default() += 1;
            }
        }
        let slots = |session: &Session| bound.get(session.metadata.id.as_str()).copied().unwrap_or(0);
        let mut sessions: Vec<SessionRow> =
            sessions.into_iter().map(|session| SessionRow { slots: slots(&session), session }).collect();
        sessions.sort_by(|a, b| order(&a.session, &b.session));
        Self { sessions }
    }
}

/// Closed ones last; then ids that are numbers, by number (as published); then oldest first, then by id: the same on
/// every node.
fn order(a: &Session, b: &Session) -> Ordering {
    let key = |session: &Session| {
        let closed = session.status.state.is(SessionState::Closed);
        let number = session.metadata.id.parse::<u64>().unwrap_or(u64::MAX);
        (closed, number, session.status.creation_time)
    };
    key(a).cmp(&key(b)).then_with(|| a.metadata.id.cmp(&b.metadata.id))
}

fn resources(session: &Session) -> String {
    session.spec.resreq.map_or_else(|| "-".to_owned(), |resources| resources.to_string())
}

impl Render for Sessions {
    fn sheet(&self) -> Sheet {
        let mut grid = Grid::new(&[
            "ID",
            "State",
            "App",
            "Slots",
            "Resources",
            "Priority",
            "Pending",
            "Running",
            "Succeed",
            "Failed",
            "Created",
        ]);
        for SessionRow { session, slots } in &self.sessions {
            let status = &session.status;
            grid.row(vec![
                session.metadata.id.clone(),
                status.state.to_string(),
                session.spec.application.clone(),
                slots.to_string(),
                resources(session),
                session.spec.priority.to_string(),
                status.pending.to_string(),
                status.running.to_string(),
                status.succeed.to_string(),
                status.failed.to_string(),
                clock(status.creation_time),
            ]);
        }
        Sheet::of_grid(grid)
    }
}

/// `flmctl view -s`. Tasks are read only for JSON and YAML: there may be very many.
#[derive(Clone, Debug, Serialize)]
pub struct SessionView {
    /// The session, as the API replies.
    #[serde(flatten)]
    pub session: Session,
    /// Its tasks, by number.
    pub tasks: Vec<Task>,
}

impl Render for SessionView {
    fn sheet(&self) -> Sheet {
        let Session { metadata, spec, status } = &self.session;
        let cancelled = match status.cancelled {
            0 => String::new(),
            cancelled => format!(", {cancelled} cancelled"),
        };
        let tasks = format!(
            "{} pending, {} running, {} succeed, {} failed{cancelled}",
            status.pending, status.running, status.succeed, status.failed
        );
        let mut details = Details::default();
        details
            .line("Session", &metadata.id)
            .line("Application", &spec.application)
            .line("State", status.state)
            .line("Resources", resources(&self.session))
            .line("Creation Time", clock_with_millis(status.creation_time))
            .line("Tasks", tasks)
            .events(&status.events);
        Sheet::of_text(details.finish())
    }
}
