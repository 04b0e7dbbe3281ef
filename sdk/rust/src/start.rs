//! The shortest way in: from the environment to a session, or to a service that runs.
//!
//! Nothing need be configured: endpoints come from `FLAME_ENDPOINT` (several, with commas), else from
//! `~/.flame/flame.yaml`, else a coordinator on this machine is looked for.

use std::path::Path;

use crate::endpoints::Environment;
use crate::service::IntoFlameInstance;
use crate::session::Session;
use crate::{Connection, Endpoints, FlameError, Options, SessionOptions};

/// A client of the cluster that the environment names. It connects at its first call.
///
/// ```
/// # flame_sdk::__private::example(async {
/// let connection = flame_sdk::connect().await?;
/// let applications = connection.list_applications(None).await?;
/// assert!(applications.iter().any(|application| application.metadata.name == "echo-rust"));
/// # Ok(()) });
/// ```
///
/// # Errors
/// [`FlameError::InvalidArgument`] says which variable or file is wrong, and how.
pub async fn connect() -> Result<Connection, FlameError> {
    connect_to(None)
}

/// A client of the cluster that a configuration file names, whatever the environment says.
///
/// ```no_run
/// # async fn example() -> Result<(), flame_sdk::FlameError> {
/// let connection = flame_sdk::connect_with_config("/etc/flame/flame.yaml").await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`FlameError::InvalidArgument`] says what is wrong with the file.
pub async fn connect_with_config(path: impl AsRef<Path>) -> Result<Connection, FlameError> {
    connect_to(Some(path.as_ref()))
}

fn connect_to(config: Option<&Path>) -> Result<Connection, FlameError> {
    let endpoints = Endpoints::discover(&[], config, &Environment::of_process())?;
    Connection::open(endpoints, Options::default())
}

/// Makes a session of an application, by its name alone or with options, over a connection of its own. Programs with
/// several sessions better share one: [`Connection::create_session_with`].
///
/// ```
/// # flame_sdk::__private::example(async {
/// let session = flame_sdk::create_session("echo-rust").await?;
/// let answer: String = session.invoke("hello").await?.await?;
/// assert_eq!(answer, "hello");
/// session.close().await?;
/// # Ok(()) });
/// ```
///
/// # Errors
/// As [`connect`] and [`Connection::create_session`].
pub async fn create_session(options: impl Into<SessionOptions>) -> Result<Session, FlameError> {
    connect().await?.create_session_with(options).await
}

/// The handle to a session that is open.
///
/// ```
/// # flame_sdk::__private::example(async {
/// # let made = flame_sdk::create_session(flame_sdk::SessionOptions::new("echo-rust").id("started-earlier")).await?;
/// let session = flame_sdk::open_session("started-earlier").await?;
/// println!("{} tasks are done", session.status().await?.status.succeed);
/// # made.close().await?;
/// # made.connection().delete_session(made.id()).await?;
/// # Ok(()) });
/// ```
///
/// # Errors
/// As [`connect`]; [`FlameError::NotFound`]; [`FlameError::FailedPrecondition`] when it is closed.
pub async fn open_session(id: impl AsRef<str>) -> Result<Session, FlameError> {
    connect().await?.open_session_with(id.as_ref()).await
}

/// The handle to the session of this id, which is made if there is none.
///
/// ```
/// # flame_sdk::__private::example(async {
/// let session = flame_sdk::open_or_create_session("hourly-report", "echo-rust").await?;
/// # session.close().await?;
/// # session.connection().delete_session(session.id()).await?;
/// # Ok(()) });
/// ```
///
/// # Errors
/// As [`connect`] and [`Connection::open_or_create_session_with`].
pub async fn open_or_create_session(
    id: impl AsRef<str>,
    options: impl Into<SessionOptions>,
) -> Result<Session, FlameError> {
    connect().await?.open_or_create_session_with(id.as_ref(), options).await
}

/// Serves an entrypoint, an instance or a [`crate::FlameService`] to the worker that started this process, until SIGTERM
/// or SIGINT; then what runs is answered, and nothing else is begun. See [`crate::service::run`].
///
/// ```no_run
/// use flame_sdk::FlameError;
///
/// #[flame_sdk::entrypoint]
/// async fn shout(text: String) -> Result<String, FlameError> {
///     Ok(text.to_uppercase())
/// }
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result<(), FlameError> {
///     flame_sdk::run(shout).await
/// }
/// ```
///
/// # Errors
/// [`FlameError::InvalidArgument`] when no worker started this process; [`FlameError::Internal`] when listening fails.
pub async fn run(target: impl IntoFlameInstance) -> Result<(), FlameError> {
    crate::service::run(target.into_flame_instance()).await
}
