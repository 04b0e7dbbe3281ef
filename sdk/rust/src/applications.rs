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
