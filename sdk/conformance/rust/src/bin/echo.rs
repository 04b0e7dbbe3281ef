//! The Rust echo service of the conformance suite, on the raw service trait of the published crate.
//!
//! What it does is said by the task's input; `../../README.md` has the table. Our worker starts it.

use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use flame_rs::apis::{FlameError, TaskOutput};
use flame_rs::service::{FlameService, Publisher, SessionContext, TaskContext};

/// Where each invocation is written, one line each, if set.
const LOG_VARIABLE: &str = "FLAME_ECHO_LOG";

#[derive(Default)]
struct Echo {
    publisher: Publisher,
    session: Mutex<Option<SessionContext>>,
}

impl Echo {
    fn entered(&self) -> Result<SessionContext, FlameError> {
        let session = self.session.lock().map_err(|error| FlameError::Internal(error.to_string()))?;
        session.clone().ok_or_else(|| FlameError::Internal("a task came before its session was entered".into()))
    }
}

#[tonic::async_trait]
impl FlameService for Echo {
    fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    async fn on_session_enter(&self, context: SessionContext) -> Result<(), FlameError> {
        if let Some(common) = &context.common_data
            && let Some(reason) = common.strip_prefix(b"refuse:")
        {
            return Err(FlameError::Internal(String::from_utf8_lossy(reason).into_owned()));
        }
        *self.session.lock().map_err(|error| FlameError::Internal(error.to_string()))? = Some(context);
        Ok(())
    }

    async fn on_task_invoke(&self, context: TaskContext) -> Result<Option<TaskOutput>, FlameError> {
        let session = self.entered()?;
        write_log(&context)?;
        let Some(input) = context.input else { return Ok(None) };
        let text = String::from_utf8_lossy(&input).into_owned();
        let (verb, rest) = text.split_once(':').unwrap_or((text.as_str(), ""));
        match verb {
            "fail" => Err(FlameError::Internal(rest.to_owned())),
            "none" => Ok(None),
            "empty" => Ok(Some(Bytes::new())),
            "common" => Ok(session.common_data),
            "session" => Ok(Some(Bytes::from(format!("{} {}", session.session_id, session.batch_size)))),
            "token" => Ok(session.tokens.get(rest).map(|token| Bytes::from(token.clone()))),
            "env" => Ok(std::env::var(rest).ok().map(Bytes::from)),
            "pid" => Ok(Some(Bytes::from(std::process::id().to_string()))),
            "crash" => std::process::abort(),
            "sleep" => {
                let milliseconds = rest.split(':').next().and_then(|number| number.parse().ok()).unwrap_or(0);
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                Ok(Some(input))
            }
            _ => Ok(Some(input)),
        }
    }

    async fn on_session_leave(&self) -> Result<(), FlameError> {
        *self.session.lock().map_err(|error| FlameError::Internal(error.to_string()))? = None;
        Ok(())
    }
}

/// One line in one write, so that lines of several processes do not mix.
fn write_log(context: &TaskContext) -> Result<(), FlameError> {
    let Ok(path) = std::env::var(LOG_VARIABLE) else { return Ok(()) };
    let line = format!("{}/{}\t{}\n", context.session_id, context.task_id, std::process::id());
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .map_err(|error| FlameError::Internal(format!("cannot write {path}: {error}")))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    flame_rs::run(Echo::default()).await
}
