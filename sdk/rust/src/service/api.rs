//! What a service is, and what it is told.

use std::collections::BTreeMap;

use bytes::Bytes;
use flame_types::Token;
use tokio::time::Instant;
use tonic::async_trait;

use super::cancellation::Cancellation;
use super::publisher::Publisher;
use crate::FlameError;

/// The session a service enters.
#[derive(Clone, Default)]
pub struct SessionContext {
    /// Its id.
    pub session_id: String,
    /// The application it belongs to.
    pub application: ApplicationContext,
    /// What its client gave it for all tasks.
    pub common_data: Option<Bytes>,
    /// Secrets by service name.
    pub tokens: BTreeMap<String, String>,
    /// How many executors it holds at least while tasks start.
    pub batch_size: u32,
}

/// The application of a session, as far as a service may want to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationContext {
    /// Its name.
    pub name: String,
    /// Its container image.
    pub image: Option<String>,
    /// The program that runs.
    pub command: Option<String>,
    /// The folder it runs in, as registered.
    pub working_directory: Option<String>,
    /// Where its package was fetched from.
    pub url: Option<String>,
}

/// One task to run.
#[derive(Clone, Debug, Default)]
pub struct TaskContext {
    /// Its number in its session, as text.
    pub task_id: String,
    /// Its session.
    pub session_id: String,
    /// What it takes. Absent is not the same as empty.
    pub input: Option<Bytes>,
    /// Tells this run of the task from every other one. Absent when a worker calls by the published protocol, which
    /// does not say.
    pub fence: Option<Fence>,
    /// Whether anybody still wants the task. One that goes on regardless is ended with its process after a grace.
    pub cancellation: Cancellation,
    /// When it has run too long: then it has failed, and its process is ended. Absent when it may run for ever, or when a
    /// worker calls by the published protocol.
    pub deadline: Option<Instant>,
}

/// One run of one task. A worker that was given up may still run a task that runs elsewhere already; side effects that
/// must happen once carry the token, and whoever takes them refuses a token lower than the last one it saw for the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fence {
    /// Never used twice in the life of a cluster, and higher for every later run.
    pub token: Token,
    /// The how manieth attempt at the task this is, from 1.
    pub attempt: u32,
}

/// What a service does, without macros: bytes in, bytes out. A worker calls `on_session_enter` once, `on_task_invoke` for
/// each task, `on_session_leave` once. For typed messages see [`crate::entrypoint`] and [`crate::instance`].
///
/// ```
/// use bytes::Bytes;
/// use flame_sdk::service::TaskContext;
/// use flame_sdk::{FlameError, FlameService, async_trait};
///
/// struct Reverse;
///
/// #[async_trait]
/// impl FlameService for Reverse {
///     async fn on_task_invoke(&self, context: TaskContext) -> Result<Option<Bytes>, FlameError> {
///         Ok(context.input.map(|input| input.iter().rev().copied().collect()))
///     }
/// }
///
/// // In `main`: flame_sdk::run(Reverse).await
/// # fn is_a_service(_: impl flame_sdk::IntoFlameInstance) {}
/// # is_a_service(Reverse);
/// ```
#[async_trait]
pub trait FlameService: Send + Sync + 'static {
    /// Where this service says what its executor holds, if it ever does: what was published or retracted until a call
    /// ends goes with the answer to that call.
    fn publisher(&self) -> Option<&Publisher> {
        None
    }

    /// A session begins. An error keeps the executor out of it.
    async fn on_session_enter(&self, _context: SessionContext) -> Result<(), FlameError> {
        Ok(())
    }

    /// Runs a task and gives its output. An error fails the task; its text is what the client reads.
    async fn on_task_invoke(&self, context: TaskContext) -> Result<Option<Bytes>, FlameError>;

    /// The session ends for this process.
    async fn on_session_leave(&self) -> Result<(), FlameError> {
        Ok(())
    }
}
