//! Calls about sessions.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use flame_proto::v1;
use flame_types::{Resources, SessionState};
use rand::Rng;
use rand::distr::Alphanumeric;

use crate::codec::IntoCommonData;
use crate::connection::frontend;
use crate::model::{Retention, Retries, Session, requirement};
use crate::repeats::Kind;
use crate::{Connection, FlameError};

/// Letters and digits behind the application's name in an id that nobody chose (published).
const GENERATED_ID_CHARS: usize = 6;

/// What is asked for when a session is made.
///
/// ```
/// use flame_sdk::SessionOptions;
///
/// let options = SessionOptions::new("render")
///     .id("film-7")
///     .common_data(&"scene.blend".to_owned())?
///     .token("storage", "s3cr3t")
///     .resreq("cpu=4,mem=16g,gpu=1")?
///     .min_instances(2)
///     .max_instances(50)
///     .priority(10);
/// assert!(!format!("{options:?}").contains("s3cr3t"));
/// # Ok::<(), flame_sdk::FlameError>(())
/// ```
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

    /// The id; one is drawn unless it is said.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// What every executor gets when it enters the session, and [`crate::FlameInstance::common_data`] gives.
    ///
    /// # Errors
    /// [`FlameError::Codec`] when the value has no such form.
    pub fn common_data(mut self, data: impl IntoCommonData) -> Result<Self, FlameError> {
        self.common_data = Some(data.into_common_data()?);
        Ok(self)
    }

    /// A secret for a service, which [`crate::FlameInstance::secret`] gives; nobody else can read it.
    #[must_use]
    pub fn token(mut self, service: impl Into<String>, token: impl Into<String>) -> Self {
        self.tokens.insert(service.into(), token.into());
        self
    }

    /// Executors the session keeps even without tasks.
    #[must_use]
    pub fn min_instances(mut self, executors: u32) -> Self {
        self.min_instances = executors;
        self
    }

    /// Most executors; the application's limit unless it is said.
    #[must_use]
    pub fn max_instances(mut self, executors: u32) -> Self {
        self.max_instances = Some(executors);
        self
    }

    /// Tasks start only while the session holds this many ready executors; at least one.
    #[must_use]
    pub fn batch_size(mut self, executors: u32) -> Self {
        self.batch_size = executors.max(1);
        self
    }

    /// Sessions with a higher priority are served first.
    #[must_use]
    pub fn priority(mut self, priority: u32) -> Self {
        self.priority = priority;
        self
    }

    /// What one executor needs, written like `cpu=4,mem=16g,gpu=1`; the cluster's default unless it is said.
    ///
    /// # Errors
    /// [`FlameError::InvalidArgument`] says what is wrong with the text.
    pub fn resreq(mut self, text: &str) -> Result<Self, FlameError> {
        let resources = text.parse::<Resources>();
        self.resreq = Some(resources.map_err(|error| FlameError::InvalidArgument(error.to_string()))?);
        Ok(self)
    }

    /// Its tasks that run longer have failed, unless they say otherwise themselves; the application's limit unless it is
    /// said.
    #[must_use]
    pub fn task_timeout(mut self, timeout: Duration) -> Self {
        let ms = timeout.as_nanos().div_ceil(1_000_000);
        self.task_timeout_ms = Some(u64::try_from(ms).unwrap_or(u64::MAX));
        self
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

impl From<&str> for SessionOptions {
    fn from(application: &str) -> Self {
        Self::new(application)
    }
}

impl From<String> for SessionOptions {
    fn from(application: String) -> Self {
        Self::new(application)
    }
}

impl From<&SessionOptions> for SessionOptions {
    fn from(options: &SessionOptions) -> Self {
        options.clone()
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
///
/// ```
/// assert!(flame_sdk::sessions::generate_id("render").starts_with("render-"));
/// ```
#[must_use]
pub fn generate_id(application: &str) -> String {
    let suffix: String = rand::rng().sample_iter(Alphanumeric).take(GENERATED_ID_CHARS).map(char::from).collect();
    format!("{application}-{suffix}")
}

impl Connection {
    /// Makes a session.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// use flame_sdk::SessionOptions;
    ///
    /// let connection = flame_sdk::connect().await?;
    /// let session = connection.create_session(&SessionOptions::new("echo-rust")).await?;
    /// println!("session {} was made at {}", session.metadata.id, session.status.creation_time);
    /// # connection.close_session(&session.metadata.id).await?;
    /// # Ok(()) });
    /// ```
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
    /// ```
    /// # flame_sdk::__private::example(async {
    /// use flame_sdk::SessionOptions;
    ///
    /// let connection = flame_sdk::connect().await?;
    /// let options = SessionOptions::new("echo-rust");
    /// let made = connection.open_session("daily", Some(&options)).await?;
    /// let found = connection.open_session("daily", None).await?;
    /// assert_eq!(made.status.creation_time, found.status.creation_time);
    /// # connection.close_session("daily").await?;
    /// # connection.delete_session("daily").await?;
    /// # Ok(()) });
    /// ```
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
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// let session = connection.create_session_with("echo-rust").await?;
    /// connection.close_session(session.id()).await?;
    /// connection.close_session(session.id()).await?;
    /// # Ok(()) });
    /// ```
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
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// let session = connection.create_session_with("echo-rust").await?;
    /// connection.close_session(session.id()).await?;
    /// connection.delete_session(session.id()).await?;
    /// assert_eq!(connection.get_session(session.id()).await.unwrap_err().class(), "not_found");
    /// # Ok(()) });
    /// ```
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
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// let session = connection.create_session_with("echo-rust").await?;
    /// connection.suspend_session(session.id()).await?;
    /// // Tasks may be submitted; none starts.
    /// connection.resume_session(session.id()).await?;
    /// # session.close().await?;
    /// # Ok(()) });
    /// ```
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
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// let session = connection.create_session_with("echo-rust").await?;
    /// let session_now = connection.resume_session(session.id()).await?;
    /// println!("{:?}", session_now.status.state);
    /// # session.close().await?;
    /// # Ok(()) });
    /// ```
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
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// let session = connection.create_session_with("echo-rust").await?;
    /// let status = connection.get_session(session.id()).await?.status;
    /// println!("{} tasks wait, {} run, {} succeeded", status.pending, status.running, status.succeed);
    /// # session.close().await?;
    /// # Ok(()) });
    /// ```
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
    /// ```
    /// # flame_sdk::__private::example(async {
    /// use flame_sdk::types::SessionState;
    ///
    /// let connection = flame_sdk::connect().await?;
    /// for session in connection.list_sessions(Some("echo-rust"), Some(SessionState::Open)).await? {
    ///     println!("{}", session.metadata.id);
    /// }
    /// # Ok(()) });
    /// ```
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
    fn options_say_what_was_asked_for() {
        let options = SessionOptions::new("a").id("i").common_data(&7_u8).unwrap().batch_size(0).max_instances(3);
        let options = options.resreq("cpu=2,mem=1g").unwrap().task_timeout(Duration::from_micros(1500)).token("s", "t");
        let spec = options.specification().unwrap();
        assert_eq!((options.id.as_deref(), spec.common_data.as_deref()), (Some("i"), Some(&b"7"[..])));
        assert_eq!((spec.batch_size, spec.max_instances, spec.task_timeout_ms), (1, Some(3), Some(2)));
        assert_eq!((spec.resreq.unwrap().cpu, spec.tokens["s"].as_str()), (2, "t"));
        let error = SessionOptions::new("a").resreq("cpu=lots").unwrap_err();
        assert!(error.class() == "invalid_argument" && error.to_string().contains("cpu=lots"), "{error}");
    }

    #[test]
    fn secrets_do_not_get_into_logs() {
        let options =
            SessionOptions { tokens: BTreeMap::from([("s".into(), "hunter2".into())]), ..SessionOptions::new("a") };
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
