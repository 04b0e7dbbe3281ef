//! What every check needs: a connection, the service binaries, fresh names, and raw bytes as a message.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flame_rs::apis::{FlameError, Shim};
use flame_rs::client::{ApplicationAttributes, connect};
use flame_rs::{Connection, FlameMessage, Session, SessionOptions};

/// Bytes as they are: the published message trait wants a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw(pub Vec<u8>);

impl Raw {
    pub fn text(text: impl Into<String>) -> Self {
        Self(text.into().into_bytes())
    }
}

impl FlameMessage for Raw {
    fn encode(&self) -> Result<Bytes, FlameError> {
        Ok(Bytes::from(self.0.clone()))
    }

    fn decode(bytes: &[u8]) -> Result<Self, FlameError> {
        Ok(Self(bytes.to_vec()))
    }
}

/// The suite's surroundings.
pub struct World {
    pub connection: Connection,
    echo: String,
    typed_echo: String,
    counter: AtomicU64,
}

impl World {
    pub async fn connect(endpoint: &str, echo: String, typed_echo: String) -> Result<Self, FlameError> {
        let connection = connect(endpoint).await?;
        Ok(Self { connection, echo, typed_echo, counter: AtomicU64::new(1) })
    }

    /// A name no other run of the suite uses.
    pub fn name(&self, stem: &str) -> String {
        format!("rs-{stem}-{}-{}", std::process::id(), self.counter.fetch_add(1, Ordering::Relaxed))
    }

    /// Attributes of an application that runs the echo service.
    pub fn echo_attributes(&self) -> ApplicationAttributes {
        attributes(&self.echo)
    }

    /// Registers an application that runs the echo service.
    pub async fn echo_application(&self, stem: &str) -> Result<String, String> {
        self.register(stem, self.echo_attributes()).await
    }

    /// Registers an application that runs the typed service.
    pub async fn typed_application(&self, stem: &str) -> Result<String, String> {
        self.register(stem, attributes(&self.typed_echo)).await
    }

    /// Registers an application under a fresh name.
    pub async fn register(&self, stem: &str, attributes: ApplicationAttributes) -> Result<String, String> {
        let name = self.name(stem);
        self.connection.register_application(name.clone(), attributes).await.map_err(explain("register"))?;
        Ok(name)
    }

    /// A session on a fresh echo application.
    pub async fn echo_session(&self, stem: &str) -> Result<Session, String> {
        let application = self.echo_application(stem).await?;
        self.session(SessionOptions::new(application)).await
    }

    pub async fn session(&self, options: SessionOptions) -> Result<Session, String> {
        self.connection.create_session_with(options).await.map_err(explain("create session"))
    }
}

/// Small and quick to let go, so that the suite does not wait for executors of earlier checks.
pub fn attributes(command: &str) -> ApplicationAttributes {
    ApplicationAttributes {
        shim: Some(Shim::Host),
        image: None,
        description: None,
        labels: Vec::new(),
        command: Some(command.to_owned()),
        arguments: Vec::new(),
        environments: HashMap::new(),
        working_directory: None,
        max_instances: None,
        delay_release: Some(chrono::Duration::seconds(1)),
        schema: None,
        url: None,
        installer: None,
    }
}

/// Names the step that failed.
pub fn explain(step: &'static str) -> impl Fn(FlameError) -> String {
    move |error| format!("{step}: {error}")
}

/// The text of an error that had to come.
pub fn refused<T>(step: &str, outcome: Result<T, FlameError>) -> Result<String, String> {
    match outcome {
        Ok(_) => Err(format!("{step}: it was accepted, an error was due")),
        Err(error) => Ok(error.to_string()),
    }
}

/// Asks again until the answer is yes, or the deadline has come.
pub async fn eventually<F, Fut>(what: &str, mut ask: F) -> Result<(), String>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<bool, String>>,
{
    const PAUSE: Duration = Duration::from_millis(20);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !ask().await? {
        if tokio::time::Instant::now() >= deadline {
            return Err(format!("it did not come to pass within 60 s: {what}"));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
