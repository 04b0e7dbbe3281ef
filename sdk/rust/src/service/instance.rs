//! What the macros make of user code: typed services with a session at hand.
//!
//! **Invariant:** a task sees the session that it belongs to, and none before that was entered.

use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flame_types::Token;
use futures::future::BoxFuture;
use tokio::time::Instant;
use tonic::async_trait;

use super::api::{ApplicationContext, Fence, FlameService, SessionContext, TaskContext};
use super::cancellation::Cancellation;
use super::publisher::Publisher;
use crate::FlameError;
use crate::codec::FlameMessage;

/// What an entrypoint or a hook knows about its session and its task. Cheap to clone.
///
/// ```
/// use flame_sdk::{FlameError, FlameInstance};
///
/// /// Renders frames of the scene that its session is about, until nobody wants the frame any more.
/// #[flame_sdk::entrypoint]
/// async fn render(instance: FlameInstance, frame: u32) -> Result<String, FlameError> {
///     let scene: Option<String> = instance.common_data()?;
///     for _ in 0..100 {
///         if instance.cancellation().is_cancelled() {
///             return Err(FlameError::Internal("nobody waits for it".to_owned()));
///         }
///     }
///     Ok(format!("{scene:?}, frame {frame}, session {}", instance.session_id()))
/// }
/// ```
#[derive(Clone)]
pub struct FlameInstance {
    session: Arc<SessionContext>,
    publisher: Arc<Publisher>,
    task: Option<Task>,
}

/// What is known of a task beside its input.
#[derive(Clone)]
struct Task {
    id: String,
    fence: Option<Fence>,
    cancellation: Cancellation,
    deadline: Option<Instant>,
}

impl FlameInstance {
    /// The id of the session.
    #[must_use]
    pub fn session_id(&self) -> &str {
        &self.session.session_id
    }

    /// The session as its worker told it, secrets included.
    #[must_use]
    pub fn session(&self) -> &SessionContext {
        &self.session
    }

    /// The application that this service belongs to.
    #[must_use]
    pub fn application(&self) -> &ApplicationContext {
        &self.session.application
    }

    /// Its name.
    #[must_use]
    pub fn application_name(&self) -> &str {
        &self.session.application.name
    }

    /// What the client of the session gave it for all tasks.
    ///
    /// # Errors
    /// [`FlameError::Codec`] when it is something else than a `T`.
    pub fn common_data<T: FlameMessage>(&self) -> Result<Option<T>, FlameError> {
        self.session.common_data.clone().map(T::decode).transpose()
    }

    /// The secret for a service, if the client of the session gave one.
    #[must_use]
    pub fn secret(&self, service: &str) -> Option<&str> {
        self.session.tokens.get(service).map(String::as_str)
    }

    /// The number of the task in its session, as text; none in `enter`.
    #[must_use]
    pub fn task_id(&self) -> Option<&str> {
        self.task.as_ref().map(|task| task.id.as_str())
    }

    /// The token of this run of the task, to fence side effects: see [`Fence`].
    #[must_use]
    pub fn token(&self) -> Option<Token> {
        self.fence().map(|fence| fence.token)
    }

    /// The how manieth attempt at the task this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> Option<u32> {
        self.fence().map(|fence| fence.attempt)
    }

    /// Both together, as [`TaskContext`] has them.
    #[must_use]
    pub fn fence(&self) -> Option<Fence> {
        self.task.as_ref()?.fence
    }

    /// Whether anybody still wants the task. In `enter` somebody always does.
    #[must_use]
    pub fn cancellation(&self) -> Cancellation {
        self.task.as_ref().map(|task| task.cancellation.clone()).unwrap_or_default()
    }

    /// When the task has run too long, if it may.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.task.as_ref()?.deadline
    }

    /// The executor holds these keys from now on: tasks that ask for them prefer it ([`crate::TaskOptions::affinity`]).
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub fn publish<K: Into<Bytes>>(&self, keys: impl IntoIterator<Item = K>) -> Result<(), FlameError> {
        self.publisher.publish(keys)
    }

    /// The executor does not hold these keys any more.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub fn retract<K: Into<Bytes>>(&self, keys: impl IntoIterator<Item = K>) -> Result<(), FlameError> {
        self.publisher.retract(keys)
    }
}

impl std::fmt::Debug for FlameInstance {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlameInstance")
            .field("session_id", &self.session.session_id)
            .field("application", &self.session.application)
            .field("task_id", &self.task_id())
            .finish_non_exhaustive()
    }
}

/// What the macros [`crate::entrypoint`] and [`crate::instance`] implement.
pub trait Entrypoint: Send + Sync + 'static {
    /// Runs a task.
    fn invoke(&self, instance: FlameInstance, input: Option<Bytes>)
    -> BoxFuture<'_, Result<Option<Bytes>, FlameError>>;

    /// A session begins.
    fn enter(&self, _instance: FlameInstance) -> BoxFuture<'_, Result<(), FlameError>> {
        Box::pin(ready(Ok(())))
    }

    /// It ends.
    fn leave(&self) -> BoxFuture<'_, Result<(), FlameError>> {
        Box::pin(ready(Ok(())))
    }
}

/// Something that [`crate::run`] serves: a [`FlameService`], or what the macros made one of.
pub trait IntoFlameInstance {
    /// The service that it becomes.
    type Service: FlameService;

    /// The service.
    fn into_flame_instance(self) -> Self::Service;
}

impl<T: FlameService> IntoFlameInstance for T {
    type Service = T;

    fn into_flame_instance(self) -> T {
        self
    }
}

/// The service around an [`Entrypoint`]: it keeps the session for it.
pub struct InstanceService<E> {
    user: E,
    publisher: Arc<Publisher>,
    session: Mutex<Option<Arc<SessionContext>>>,
}

impl<E: Entrypoint> InstanceService<E> {
    /// A service that has not entered a session yet.
    pub fn new(user: E) -> Self {
        Self { user, publisher: Arc::default(), session: Mutex::default() }
    }

    fn instance(&self, session: Arc<SessionContext>, task: Option<Task>) -> FlameInstance {
        FlameInstance { session, publisher: Arc::clone(&self.publisher), task }
    }

    fn set_session(&self, session: Option<Arc<SessionContext>>) {
        // Whatever panicked elsewhere, this lock is held for an assignment only.
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = session;
    }

    fn session_of(&self, task: &TaskContext) -> Result<Arc<SessionContext>, FlameError> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner).clone();
        session.filter(|session| session.session_id == task.session_id).ok_or_else(|| {
            FlameError::FailedPrecondition(format!("task {} came before its session was entered", task.task_id))
        })
    }
}

#[async_trait]
impl<E: Entrypoint> FlameService for InstanceService<E> {
    fn publisher(&self) -> Option<&Publisher> {
        Some(&self.publisher)
    }

    async fn on_session_enter(&self, context: SessionContext) -> Result<(), FlameError> {
        let session = Arc::new(context);
        self.user.enter(self.instance(Arc::clone(&session), None)).await?;
        self.set_session(Some(session));
        Ok(())
    }

    async fn on_task_invoke(&self, context: TaskContext) -> Result<Option<Bytes>, FlameError> {
        let session = self.session_of(&context)?;
        let TaskContext { task_id, input, fence, cancellation, deadline, .. } = context;
        let task = Task { id: task_id, fence, cancellation, deadline };
        self.user.invoke(self.instance(session, Some(task)), input).await
    }

    async fn on_session_leave(&self) -> Result<(), FlameError> {
        self.set_session(None);
        self.user.leave().await
    }
}
