//! Calls about sessions.

use std::collections::BTreeMap;

use bytes::Bytes;
use flame_proto::v1;
use flame_types::{Resources, SessionState};
use rand::Rng;
use rand::distr::Alphanumeric;

use crate::connection::frontend;
use crate::model::{Retention, Retries, Session, requirement};
use crate::repeats::Kind;
use crate::{Connection, FlameError};

/// Letters and digits behind the application's name in an id that nobody chose (published).
const GENERATED_ID_CHARS: usize = 6;

/// What is asked for when a session is made.
#[derive(Clone, Default)]
pub struct SessionOptions {
    /// Whose service runs the tasks.
    pub application: String,
    /// The id; `<application>-<6 letters and digits>` when unset.
    pub id: Option<String>,
    /// What every executor gets when it enters the session.
    pub common_data: Option<Bytes>,
    /// Executors the session keeps even without tasks.
    pub min_instances: u32,
    /// Most executors; the application's limit when unset.
    pub max_instances: Option<u32>,
    /// Tasks start only while the session holds this many ready executors; 0 is 1.
    pub batch_size: u32,
    /// Higher is served first.
    pub priority: u32,
    /// What one executor needs; the cluster's default when unset.
    pub resreq: Option<Resources>,
    /// Secrets by service name.
    pub tokens: BTreeMap<String, String>,
    /// How long its ended things are kept; the application's policy when unset.
    pub retention: Option<Retention>,
    /// How often its things are tried again; the application's policy when unset.
    pub retry: Option<Retries>,
    /// Its tasks that run longer have failed, in milliseconds, unless they say otherwise themselves; the application's limit
    /// when unset.
    pub task_timeout_ms: Option<u64>,
}

impl SessionOptions {
    /// A session of `application` with every published default.
    #[must_use]
    pub fn new(application: impl Into<String>) -> Self {
        Self { application: application.into(), batch_size: 1, ..Self::default() }
    }

    fn specification(&self) -> Result<v1::SessionSpec, FlameError> {
        Ok(v1::SessionSpec {
            application: self.application.clone(),
            common_data: self.common_data.clone(),
            min_instances: self.min_instances,
            max_instances: self.max_instances,
            batch_size: self.batch_size,
            priority: self.priority,
            resreq: self.resreq.map(requirement).transpose()?,
            tokens: self.tokens.clone(),
            retention: self.retention.map(v1::Retention::from),
            retry: self.retry.map(v1::Retries::from),
            task_timeout_ms: self.task_timeout_ms,
        })
    }
}

impl std::fmt::Debug for SessionOptions {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionOptions")
            .field("application", &self.application)
            .field("id", &self.id)
            .field("priority", &self.priority)
            .field("resreq", &self.resreq)
            .finish_non_exhaustive()
    }
}

/// An id for a session that nobody has named.
#[must_use]
pub fn generate_id(application: &str) -> String {
    let suffix: String = rand::rng().sample_iter(Alphanumeric).take(GENERATED_ID_CHARS).map(char::from).collect();
    format!("{application}-{suffix}")
}

impl Connection {
    /// Makes a session.
    ///
    /// # Errors
    /// [`FlameError::AlreadyExists`] when the chosen id is taken; [`FlameError::NotFound`] when there is no such
    /// application; [`FlameError::UnknownOutcome`] when an answer was lost and none came until the deadline, or it was
    /// made by an attempt whose answer was lost and has been deleted since.
    pub async fn create_session(&self, options: &SessionOptions) -> Result<Session, FlameError> {
        let id = options.id.clone().unwrap_or_else(|| generate_id(&options.application));
        let request = v1::CreateSessionRequest { session_id: id, session: Some(options.specification()?) };
        let reply = self
            .change(|channel, mark| {
                let request = mark.attach(request.clone());
                async move { frontend(channel).create_session(request).await }
            })
            .await;
        reply?.try_into()
    }

    /// Finds an open session, or makes it when `options` are given. With options, the found one must have been made
    /// with the same.
    ///
    /// # Errors
    /// [`FlameError::NotFound`] without options; [`FlameError::FailedPrecondition`] when it is closed or was made with
    /// other options.
    pub async fn open_session(&self, id: &str, options: Option<&SessionOptions>) -> Result<Session, FlameError> {
        let session = options.map(SessionOptions::specification).transpose()?;
        let makes = session.is_some();
        let request = v1::OpenSessionRequest { session_id: id.to_owned(), session };
        let open = |channel, request| async move { frontend(channel).open_session(request).await };
        let reply = match makes {
            true => self.change(|channel, mark| open(channel, mark.attach(request.clone()))).await,
            false => self.call(Kind::Read, |channel| open(channel, tonic::Request::new(request.clone()))).await,
        };
        reply?.try_into()
    }

    /// Ends a session. What waits is cancelled. Closing twice is the same as once.
    ///
    /// # Errors
    /// [`FlameError::NotFound`]; [`FlameError::FailedPrecondition`] while tasks run: see
    /// [`Connection::force_close_session`].
    pub async fn close_session(&self, id: &str) -> Result<Session, FlameError> {
        let request = v1::CloseSessionRequest { session_id: id.to_owned() };
        let reply = self
            .change(|channel, mark| {
                let request = mark.attach(request.clone());
                async move { frontend(channel).close_session(request).await }
            })
            .await;
        reply?.try_into()
    }

    /// Removes a closed session with its tasks.
    ///
    /// # Errors
    /// [`FlameError::NotFound`]; [`FlameError::FailedPrecondition`] while it is open.
    pub async fn delete_session(&self, id: &str) -> Result<(), FlameError> {
        let request = v1::DeleteSessionRequest { session_id: id.to_owned() };
        let reply = self
            .change(|channel, mark| {
                let request = mark.attach(request.clone());
                async move { frontend(channel).delete_session(request).await }
            })
            .await;
        reply.map(|_| ())
    }

    /// Lets running tasks finish and starts no others, until the session is resumed.
    ///
    /// # Errors
    /// [`FlameError::NotFound`]; [`FlameError::FailedPrecondition`] when it is closed.
    pub async fn suspend_session(&self, id: &str) -> Result<Session, FlameError> {
        let request = v1::SuspendSessionRequest { session_id: id.to_owned() };
        let reply = self
            .change(|channel, mark| {
                let request = mark.attach(request.clone());
                async move { frontend(channel).suspend_session(request).await }
            })
            .await;
        reply?.try_into()
    }

    /// Ends a suspension. On an open session it changes nothing.
    ///
    /// # Errors
    /// [`FlameError::NotFound`]; [`FlameError::FailedPrecondition`] when it is closed.
    pub async fn resume_session(&self, id: &str) -> Result<Session, FlameError> {
        let request = v1::ResumeSessionRequest { session_id: id.to_owned() };
        let reply = self
            .change(|channel, mark| {
                let request = mark.attach(request.clone());
                async move { frontend(channel).resume_session(request).await }
            })
            .await;
        reply?.try_into()
    }

    /// One session.
    ///
    /// # Errors
    /// [`FlameError::NotFound`].
    pub async fn get_session(&self, id: &str) -> Result<Session, FlameError> {
        let request = v1::GetSessionRequest { session_id: id.to_owned() };
        let reply = self
            .call(Kind::Read, |channel| {
                let request = request.clone();
                async move { frontend(channel).get_session(request).await }
            })
            .await;
        reply?.try_into()
    }

    /// Sessions: all, or those of one application, or those in one state.
    ///
    /// # Errors
    /// [`FlameError::Unavailable`] when nobody answers.
    pub async fn list_sessions(
        &self,
        application: Option<&str>,
        state: Option<SessionState>,
    ) -> Result<Vec<Session>, FlameError> {
        let request = v1::ListSessionsRequest {
            application: application.map(str::to_owned),
            state: state.map(SessionState::number),
            ids: Vec::new(),
        };
        let reply = self
            .call(Kind::Read, |channel| {
                let request = request.clone();
                async move { frontend(channel).list_sessions(request).await }
            })
            .await;
        reply?.sessions.into_iter().map(Session::try_from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_are_as_published() {
        let id = generate_id("flmping");
        let (application, suffix) = id.rsplit_once('-').unwrap();
        assert_eq!(application, "flmping");
        assert!(suffix.len() == 6 && suffix.chars().all(|c| c.is_ascii_alphanumeric()), "{id}");
        assert_ne!(id, generate_id("flmping"));
    }

    #[test]
    fn secrets_do_not_get_into_logs() {
        let options =
            SessionOptions { tokens: BTreeMap::from([("s".into(), "hunter2".into())]), ..SessionOptions::new("a") };
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
