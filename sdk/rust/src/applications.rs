//! Calls about applications.
//!
//! The published protocol answers refusals of the three changes inside the reply, without a code; see
//! [`FlameError`] for how they are classed.

use flame_proto::v1;
use flame_types::AppState;

use crate::connection::frontend;
use crate::model::{Application, ApplicationSpec};
use crate::repeats::Kind;
use crate::{Connection, FlameError};

impl Connection {
    /// Makes an application.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// use flame_sdk::model::ApplicationSpec;
    ///
    /// let connection = flame_sdk::connect().await?;
    /// let spec = ApplicationSpec { command: Some("/opt/render/service".to_owned()), ..ApplicationSpec::default() };
    /// connection.register_application("render", spec).await?;
    /// # connection.unregister_application("render").await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::AlreadyExists`] when there is one of this name; [`FlameError::InvalidArgument`] when the name or
    /// the specification breaks a rule.
    pub async fn register_application(&self, name: &str, spec: ApplicationSpec) -> Result<(), FlameError> {
        let request = v1::RegisterApplicationRequest { name: name.to_owned(), application: Some(spec.into()) };
        let reply = self
            .change(|channel, mark| {
                let request = mark.attach(request.clone());
                async move { frontend(channel).register_application(request).await }
            })
            .await;
        accepted(reply?)
    }

    /// Replaces the specification of an application.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// use flame_sdk::model::ApplicationSpec;
    ///
    /// let connection = flame_sdk::connect().await?;
    /// # connection.register_application("render-2", ApplicationSpec { command: Some("a".to_owned()), ..<_>::default() }).await?;
    /// let spec = connection.get_application("render-2").await?.spec;
    /// connection.update_application("render-2", ApplicationSpec { max_instances: Some(4), ..spec }).await?;
    /// assert_eq!(connection.get_application("render-2").await?.spec.max_instances, Some(4));
    /// # connection.unregister_application("render-2").await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::NotFound`]; [`FlameError::FailedPrecondition`] while it has open sessions;
    /// [`FlameError::InvalidArgument`] when the specification breaks a rule.
    pub async fn update_application(&self, name: &str, spec: ApplicationSpec) -> Result<(), FlameError> {
        let request = v1::UpdateApplicationRequest { name: name.to_owned(), application: Some(spec.into()) };
        let reply = self
            .change(|channel, mark| {
                let request = mark.attach(request.clone());
                async move { frontend(channel).update_application(request).await }
            })
            .await;
        accepted(reply?)
    }

    /// Removes an application.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// use flame_sdk::FlameError;
    ///
    /// let connection = flame_sdk::connect().await?;
    /// match connection.unregister_application("never-registered").await {
    ///     Ok(()) => println!("gone"),
    ///     Err(FlameError::NotFound(_)) => println!("there was none"),
    ///     Err(error) => return Err(error),
    /// }
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::NotFound`]; [`FlameError::FailedPrecondition`] while it has open sessions.
    pub async fn unregister_application(&self, name: &str) -> Result<(), FlameError> {
        let request = v1::UnregisterApplicationRequest { name: name.to_owned() };
        let reply = self
            .change(|channel, mark| {
                let request = mark.attach(request.clone());
                async move { frontend(channel).unregister_application(request).await }
            })
            .await;
        accepted(reply?)
    }

    /// One application.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// let echo = connection.get_application("echo-rust").await?;
    /// println!("it is started as {:?}", echo.spec.command);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::NotFound`].
    pub async fn get_application(&self, name: &str) -> Result<Application, FlameError> {
        let request = v1::GetApplicationRequest { name: name.to_owned() };
        let reply = self
            .call(Kind::Read, |channel| {
                let request = request.clone();
                async move { frontend(channel).get_application(request).await }
            })
            .await;
        reply?.try_into()
    }

    /// All applications, or those in one state.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// for application in connection.list_applications(None).await? {
    ///     println!("{}", application.metadata.name);
    /// }
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::Unavailable`] when nobody answers.
    pub async fn list_applications(&self, state: Option<AppState>) -> Result<Vec<Application>, FlameError> {
        let request = v1::ListApplicationsRequest { state: state.map(AppState::number) };
        let reply =
            self.call(Kind::Read, |channel| async move { frontend(channel).list_applications(request).await }).await;
        reply?.applications.into_iter().map(Application::try_from).collect()
    }
}

/// A refusal inside the reply as an error.
fn accepted(reply: v1::Result) -> Result<(), FlameError> {
    match reply.return_code {
        0.. => Ok(()),
        _ => Err(FlameError::from_refusal(reply.message)),
    }
}
