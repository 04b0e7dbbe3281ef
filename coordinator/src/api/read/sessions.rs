//! Reading sessions of this node.

use std::collections::BTreeSet;

use flame_machine::State;
use flame_machine::view::{self, SessionView};
use flame_types::{Payload, SessionKey, SessionState};
use tonic::Status;

use super::rows;
use crate::drive::gateway::Gateway;

/// Most sessions that are looked at in one go: apply waits meanwhile.
const SESSIONS_PER_READ_MAX: usize = 512;

/// Which sessions are wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those of this application.
    pub application: Option<String>,
    /// Only those in this state.
    pub state: Option<SessionState>,
    /// Only these; all when there are none.
    pub ids: BTreeSet<String>,
}

impl Filter {
    fn takes(&self, session: &SessionView) -> bool {
        self.application.as_ref().is_none_or(|name| name == session.spec.application.as_str())
            && self.state.is_none_or(|state| state == session.state)
            && (self.ids.is_empty() || self.ids.contains(session.id.as_str()))
    }
}

/// The key of a session, closed or not.
///
/// # Errors
/// UNAVAILABLE when the node stops.
pub async fn find_session(gateway: &Gateway, id: &str) -> Result<Option<SessionKey>, Status> {
    let id = id.to_owned();
    Ok(gateway.with_state(move |state| view::find_session(state, &id)).await?)
}

/// A session and its common data.
///
/// # Errors
/// UNAVAILABLE when the node stops, INTERNAL when its rows are damaged.
pub async fn session(gateway: &Gateway, id: &str) -> Result<Option<(SessionView, Option<Payload>)>, Status> {
    let id = id.to_owned();
    let look = move |state: &State| view::session(state, view::find_session(state, &id)?);
    let Some(session) = gateway.with_state(look).await? else { return Ok(None) };
    let data = if session.common_data_bytes.is_some() { common_data(gateway, session.key).await? } else { None };
    Ok(Some((session, data)))
}

/// The common data of a session, if it has any.
///
/// # Errors
/// INTERNAL when the rows are damaged.
pub async fn common_data(gateway: &Gateway, key: SessionKey) -> Result<Option<Payload>, Status> {
    let reader = gateway.rows();
    let joined = tokio::task::spawn_blocking(move || rows::common_data(&reader, key)).await;
    Ok(joined.map_err(|error| Status::internal(format!("a read ended early: {error}")))??)
}

/// The sessions above `after` that the filter takes, in the order in which they were made: what one go finds, and where
/// the next begins; `None` at the end.
///
/// # Errors
/// UNAVAILABLE when the node stops.
pub async fn list_sessions(
    gateway: &Gateway,
    filter: Filter,
    after: Option<SessionKey>,
) -> Result<(Vec<SessionView>, Option<SessionKey>), Status> {
    let look = move |state: &State| view::sessions(state, after, SESSIONS_PER_READ_MAX);
    let page = gateway.with_state(look).await?;
    let next = page.last().map(|session| session.key);
    Ok((page.into_iter().filter(|session| filter.takes(session)).collect(), next))
}
