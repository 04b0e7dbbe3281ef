//! Sessions.

use flame_machine::command::Command;
use flame_machine::refusal::Refusal;
use flame_machine::reply::Reply;
use flame_machine::state::SessionEvent;
use flame_machine::view::SessionView;
use flame_proto::{Invalid, v1};
use flame_types::limits::{COMMON_DATA_BYTES_MAX, MESSAGE_BYTES_MAX, REPLY_BYTES_MAX};
use flame_types::{Payload, SessionId, SessionKey, SessionSpec};
use prost::Message;
use tonic::Status;

use crate::api::call::Call;
use crate::api::errors::{invalid, refused};
use crate::api::read::{self, Filter};
use crate::drive::gateway::Gateway;

pub async fn create(gateway: &Gateway, call: Call, message: v1::CreateSessionRequest) -> Result<v1::Session, Status> {
    let id = new_id(&message.session_id)?;
    let spec = message.session.ok_or_else(|| invalid(&Invalid::SessionSpecMissing))?;
    let spec = Box::new(checked_spec(spec)?);
    let made = call.change(gateway, Command::Create { id: id.clone(), spec }).await?;
    present_made(gateway, call, &id, &made).await
}

pub async fn open(gateway: &Gateway, call: Call, message: v1::OpenSessionRequest) -> Result<v1::Session, Status> {
    let id = new_id(&message.session_id)?;
    let spec = message.session.map(checked_spec).transpose()?.map(Box::new);
    let opened = call.change(gateway, Command::Open { id: id.clone(), spec }).await?;
    present_made(gateway, call, &id, &opened).await
}

pub async fn close(gateway: &Gateway, call: Call, message: v1::CloseSessionRequest) -> Result<v1::Session, Status> {
    let id = known_id(&message.session_id)?;
    call.change(gateway, Command::Close { id: id.clone(), force: false }).await?;
    present_changed(gateway, call, &id).await
}

pub async fn suspend(gateway: &Gateway, call: Call, message: v1::SuspendSessionRequest) -> Result<v1::Session, Status> {
    let id = known_id(&message.session_id)?;
    call.change(gateway, Command::Suspend { id: id.clone() }).await?;
    present_changed(gateway, call, &id).await
}

pub async fn resume(gateway: &Gateway, call: Call, message: v1::ResumeSessionRequest) -> Result<v1::Session, Status> {
    let id = known_id(&message.session_id)?;
    call.change(gateway, Command::Resume { id: id.clone() }).await?;
    present_changed(gateway, call, &id).await
}

/// Gives the session as it was: afterwards there is nothing left to show. The repeat of a deletion shows its id only.
pub async fn delete(gateway: &Gateway, call: Call, message: v1::DeleteSessionRequest) -> Result<v1::Session, Status> {
    let id = known_id(&message.session_id)?;
    gateway.barrier(call.deadline).await?;
    let before = read::session(gateway, id.as_str()).await?;
    if before.is_none() && !call.may_repeat() {
        return Err(refused(&Refusal::SessionNotFound(id.to_string())));
    }
    call.change(gateway, Command::Delete { id: id.clone() }).await?;
    let wanted = id.to_string();
    let still_there = gateway.with_state(move |state| state.find_session(&wanted)).await;
    let still_there = still_there.map_err(|error| call.made_but(error.into()))?;
    Ok(match before.filter(|(session, _)| still_there != Some(session.key)) {
        Some((session, common_data)) => call.dialect.session(shown(session, common_data)),
        // An earlier attempt has deleted another one.
        None => v1::Session { metadata: Some(named(&id)), ..v1::Session::default() },
    })
}

pub async fn get(gateway: &Gateway, call: Call, message: v1::GetSessionRequest) -> Result<v1::Session, Status> {
    let id = known_id(&message.session_id)?;
    gateway.barrier(call.deadline).await?;
    present(gateway, call, id.as_str()).await
}

/// Lists sessions in the order in which they were made. A reply that published clients would refuse for its size leaves
/// out the common data first and then the events; one session alone always has both.
pub async fn list(gateway: &Gateway, call: Call, message: v1::ListSessionsRequest) -> Result<v1::SessionList, Status> {
    let state = message.state.map(v1::SessionState::checked).transpose().map_err(|error| invalid(&error))?;
    let filter = Filter { application: message.application, state, ids: message.ids.into_iter().collect() };
    gateway.barrier(call.deadline).await?;
    let mut listing = Listing::default();
    let mut after = None;
    loop {
        let (sessions, next) = read::list_sessions(gateway, filter.clone(), after).await?;
        for session in sessions {
            listing.add(session)?;
        }
        if next.is_none() {
            break;
        }
        after = next;
    }
    listing.with_common_data(gateway).await.map(|sessions| v1::SessionList {
        sessions: sessions.into_iter().map(|session| call.dialect.session(session)).collect(),
    })
}

/// A reply that grows, and what has to be left out of it.
#[derive(Default)]
struct Listing {
    sessions: Vec<Entry>,
    bytes: usize,
    common_data_bytes: u64,
    without_events: bool,
}

/// A session of a reply; the key is there when it has common data.
struct Entry {
    shown: v1::Session,
    common_data_of: Option<SessionKey>,
}

impl Listing {
    fn add(&mut self, session: SessionView) -> Result<(), Status> {
        self.common_data_bytes += session.common_data_bytes.unwrap_or(0);
        let common_data_of = session.common_data_bytes.map(|_| session.key);
        let mut shown = shown(session, None);
        if self.without_events {
            clear_events(&mut shown);
        }
        self.bytes += entry_bytes(&shown);
        self.sessions.push(Entry { shown, common_data_of });
        if self.bytes > REPLY_BYTES_MAX && !self.without_events {
            self.without_events = true;
            self.sessions.iter_mut().for_each(|entry| clear_events(&mut entry.shown));
            self.bytes = self.sessions.iter().map(|entry| entry_bytes(&entry.shown)).sum();
        }
        if self.bytes > MESSAGE_BYTES_MAX {
            let why = format!(
                "the sessions do not fit into one reply of {MESSAGE_BYTES_MAX} bytes; ask for one application, one \
                 state or single ids"
            );
            return Err(Status::resource_exhausted(why));
        }
        Ok(())
    }

    async fn with_common_data(self, gateway: &Gateway) -> Result<Vec<v1::Session>, Status> {
        let all = self.bytes as u64 + self.common_data_bytes;
        let fits = !self.without_events && all <= REPLY_BYTES_MAX as u64;
        let mut sessions = Vec::with_capacity(self.sessions.len());
        for Entry { mut shown, common_data_of } in self.sessions {
            if let (true, Some(key), Some(spec)) = (fits, common_data_of, &mut shown.spec) {
                spec.common_data = read::common_data(gateway, key).await?.map(|data| data.0);
            }
            sessions.push(shown);
        }
        Ok(sessions)
    }
}

/// What a session adds to a list: itself, and up to six bytes of tag and length.
fn entry_bytes(session: &v1::Session) -> usize {
    session.encoded_len() + 6
}

fn clear_events(session: &mut v1::Session) {
    if let Some(status) = &mut session.status {
        status.events.clear();
    }
}

/// The session that a change has made or found, as it is here and now. The attempt that made it may lie some time back, and
/// another session may have its id by now.
async fn present_made(gateway: &Gateway, call: Call, id: &SessionId, reply: &Reply) -> Result<v1::Session, Status> {
    let found = read::session(gateway, id.as_str()).await.map_err(|status| call.made_but(status))?;
    let is_it = |session: &SessionView| matches!(reply, Reply::Session { key, .. } if *key == session.key);
    let found = found.filter(|(session, _)| is_it(session));
    let gone = || call.made_but(refused(&Refusal::SessionNotFound(id.to_string())));
    let (session, common_data) = found.ok_or_else(gone)?;
    Ok(call.dialect.session(shown(session, common_data)))
}

/// The session after a change that was made.
async fn present_changed(gateway: &Gateway, call: Call, id: &SessionId) -> Result<v1::Session, Status> {
    present(gateway, call, id.as_str()).await.map_err(|status| call.made_but(status))
}

/// The session as it is here and now. A change that was answered has been applied here.
async fn present(gateway: &Gateway, call: Call, id: &str) -> Result<v1::Session, Status> {
    let found = read::session(gateway, id).await?;
    let (session, common_data) = found.ok_or_else(|| refused(&Refusal::SessionNotFound(id.to_owned())))?;
    Ok(call.dialect.session(shown(session, common_data)))
}

/// The id of a session that may have to be made.
fn new_id(id: &str) -> Result<SessionId, Status> {
    SessionId::parse(id).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// The id of a session that must be there: one that breaks the rules is not.
pub fn known_id(id: &str) -> Result<SessionId, Status> {
    SessionId::parse(id).map_err(|error| Status::not_found(format!("session not found: {error}")))
}

fn checked_spec(spec: v1::SessionSpec) -> Result<SessionSpec, Status> {
    let bytes = spec.common_data.as_ref().map_or(0, bytes::Bytes::len);
    if bytes > COMMON_DATA_BYTES_MAX {
        let why = format!(
            "the common data have {bytes} bytes, at most {COMMON_DATA_BYTES_MAX} are allowed; put larger data into the \
             object cache and pass a reference"
        );
        return Err(Status::invalid_argument(why));
    }
    SessionSpec::try_from(spec).map_err(|error| invalid(&error))
}

fn shown(session: SessionView, common_data: Option<Payload>) -> v1::Session {
    let count = |tasks: u64| i32::try_from(tasks).unwrap_or(i32::MAX);
    let metadata = named(&session.id);
    let kept = v1::Kept { tasks: session.kept_tasks(), trimmed: session.trimmed, bytes: session.kept_bytes };
    let mut spec = v1::SessionSpec::from(session.spec);
    spec.common_data = common_data.map(|data| data.0);
    v1::Session {
        metadata: Some(metadata),
        spec: Some(spec),
        status: Some(v1::SessionStatus {
            state: v1::SessionState::from(session.state) as i32,
            creation_time: session.created.0,
            completion_time: session.completed.map(|at| at.0),
            pending: count(session.pending),
            running: count(session.running),
            succeed: count(session.succeed),
            failed: count(session.failed),
            cancelled: count(session.cancelled),
            kept: Some(kept),
            events: session.events.into_iter().map(event).collect(),
        }),
    }
}

fn named(id: &SessionId) -> v1::Metadata {
    v1::Metadata { name: id.to_string(), id: id.to_string() }
}

fn event(event: SessionEvent) -> v1::Event {
    v1::Event { code: event.code, message: Some(event.message), creation_time: event.at.0 }
}

#[cfg(test)]
mod tests {
    use flame_types::{AppName, Position, SessionState, WallMs};

    use super::*;

    fn snapshot(number: u64) -> SessionView {
        SessionView {
            key: SessionKey(number),
            id: SessionId::parse(&format!("app-{number}")).unwrap(),
            spec: SessionSpec::new(AppName::parse("app").unwrap()),
            max_instances: 1,
            common_data_bytes: None,
            state: SessionState::Open,
            tasks: 15,
            created: WallMs(1000),
            completed: None,
            pending: 1,
            running: 2,
            succeed: 3,
            failed: 4,
            cancelled: 5,
            trimmed: 2,
            kept_bytes: 77,
            done_from: Position::START,
            events: vec![SessionEvent { code: 1001, message: "x".repeat(1000), at: WallMs(7) }],
            wait: None,
            bound: 0,
            executors: 0,
        }
    }

    #[test]
    fn a_session_is_shown_with_all_its_figures() {
        let session = shown(snapshot(1), Some(Payload::from("data")));
        assert_eq!(session.metadata, Some(v1::Metadata { id: "app-1".into(), name: "app-1".into() }));
        let status = session.status.unwrap();
        let figures = (status.pending, status.running, status.succeed, status.failed, status.cancelled);
        assert_eq!(figures, (1, 2, 3, 4, 5));
        assert_eq!(status.kept, Some(v1::Kept { tasks: 10, trimmed: 2, bytes: 77 }));
        assert_eq!((status.creation_time, status.completion_time, status.events[0].code), (1000, None, 1001));
        assert_eq!(session.spec.unwrap().common_data.as_deref(), Some(&b"data"[..]));
    }

    #[test]
    fn ids_that_could_be_paths_are_refused_where_a_session_is_made_and_unknown_elsewhere() {
        for id in ["../x", "", "a/b", &"x".repeat(10_000_000)] {
            assert_eq!(new_id(id).unwrap_err().code(), tonic::Code::InvalidArgument);
            let unknown = known_id(id).unwrap_err();
            assert_eq!(unknown.code(), tonic::Code::NotFound);
            assert!(unknown.message().contains("not found") && unknown.message().len() < 300);
        }
    }

    #[test]
    fn large_common_data_are_refused_with_their_limit() {
        let common_data = Some(vec![0; COMMON_DATA_BYTES_MAX + 1].into());
        let status =
            checked_spec(v1::SessionSpec { application: "a".into(), common_data, ..Default::default() }).unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert!(status.message().contains(&COMMON_DATA_BYTES_MAX.to_string()));
    }

    #[test]
    fn a_long_list_leaves_events_out_and_a_longer_one_is_refused() {
        let mut listing = Listing::default();
        listing.add(snapshot(1)).unwrap();
        assert!(!listing.without_events);
        for number in 2..6000 {
            listing.add(snapshot(number)).unwrap();
        }
        assert!(listing.without_events && listing.bytes <= REPLY_BYTES_MAX);
        assert!(listing.sessions.iter().all(|entry| entry.shown.status.as_ref().unwrap().events.is_empty()));
        let mut wide = snapshot(1);
        wide.spec.application = AppName::parse(&"a".repeat(253)).unwrap();
        wide.id = SessionId::parse(&"x".repeat(253)).unwrap();
        let refused = (0..100_000).find_map(|_| listing.add(wide.clone()).err()).unwrap();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    }
}
