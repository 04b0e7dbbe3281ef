//! Making and finding sessions.

use super::handle::Session;
use crate::{Connection, FlameError, SessionOptions};

impl Connection {
    /// Makes a session and gives the handle to it; by the name of its application alone, or with options.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// use flame_sdk::SessionOptions;
    ///
    /// let connection = flame_sdk::connect().await?;
    /// let options = SessionOptions::new("echo-rust").priority(3).max_instances(2);
    /// let session = connection.create_session_with(options).await?;
    /// assert!(session.id().starts_with("echo-rust-"));
    /// session.close().await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`Connection::create_session`].
    pub async fn create_session_with(&self, options: impl Into<SessionOptions>) -> Result<Session, FlameError> {
        let session = self.create_session(&options.into()).await?;
        Ok(Session::new(self, session))
    }

    /// The handle to a session that is open.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// let made = connection.create_session_with("echo-rust").await?;
    /// let found = connection.open_session_with(made.id()).await?;
    /// assert_eq!(found.application(), "echo-rust");
    /// found.close().await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::NotFound`]; [`FlameError::FailedPrecondition`] when it is closed.
    pub async fn open_session_with(&self, id: &str) -> Result<Session, FlameError> {
        let session = self.open_session(id, None).await?;
        Ok(Session::new(self, session))
    }

    /// The handle to the session of this id, which is made if there is none.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// let one = connection.open_or_create_session_with("nightly-report", "echo-rust").await?;
    /// let same = connection.open_or_create_session_with("nightly-report", "echo-rust").await?;
    /// assert_eq!(one.id(), same.id());
    /// # one.close().await?;
    /// # connection.delete_session(one.id()).await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::InvalidArgument`] when the options name another id; [`FlameError::FailedPrecondition`] when the one
    /// that exists is closed or was made with other options.
    pub async fn open_or_create_session_with(
        &self,
        id: &str,
        options: impl Into<SessionOptions>,
    ) -> Result<Session, FlameError> {
        let options = options.into();
        if let Some(other) = options.id.as_deref().filter(|other| *other != id) {
            let why = format!("session {id} is asked for, and its options name {other}; name it once");
            return Err(FlameError::InvalidArgument(why));
        }
        let session = self.open_session(id, Some(&options)).await?;
        Ok(Session::new(self, session))
    }
}
