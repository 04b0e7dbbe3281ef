//! `flmping-service`: what a worker starts to run the tasks of `flmping`.
//!
//! **Invariant:** every input is answered in the same form, whatever its bytes; a request for more memory than there is
//! fails that task, not the process.

use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use flame_sdk::service::{self, TaskContext};
use flame_sdk::{FlameError, FlameService, async_trait};
use flame_types::resources::format_memory;
use tokio::time::sleep;

use super::payload::{PingInput, PingOutput};
use crate::exit::{Exit, Failure};
use crate::output::note;

const PAGE_BYTES: usize = 4096;

/// Runs `flmping-service`.
pub async fn main() -> ExitCode {
    let service = PingService::on_this_host();
    match service::run(service).await {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            let failure = Failure::from(error);
            note(&failure.text("flmping-service"));
            failure.exit.into()
        }
    }
}

/// Sleeps and takes memory as asked, and says so.
#[derive(Clone, Debug)]
pub struct PingService {
    host: String,
}

impl PingService {
    /// Speaks for this machine.
    #[must_use]
    pub fn on_this_host() -> Self {
        Self { host: rustix::system::uname().nodename().to_string_lossy().into_owned() }
    }
}

#[async_trait]
impl FlameService for PingService {
    async fn on_task_invoke(&self, context: TaskContext) -> Result<Option<Bytes>, FlameError> {
        let asked = PingInput::read(context.input.as_deref());
        let (duration, memory) = (asked.duration.unwrap_or(0), asked.memory.unwrap_or(0));
        let held = take(memory)?;
        if duration > 0 {
            sleep(Duration::from_millis(duration)).await;
        }
        drop(held);
        let message = format!(
            "Completed on <{}> in <{duration}> milliseconds with <{}> memory",
            self.host,
            format_memory(memory)
        );
        let output = serde_json::to_vec(&PingOutput { message })
            .map_err(|error| FlameError::Internal(format!("cannot write the answer: {error}")))?;
        Ok(Some(output.into()))
    }
}

/// Takes memory for real: a page that nobody has written to costs nothing.
fn take(bytes: u64) -> Result<Vec<u8>, FlameError> {
    let refused = || FlameError::ResourceExhausted(format!("cannot take {bytes} bytes of memory"));
    let size = usize::try_from(bytes).map_err(|_| refused())?;
    let mut held = Vec::new();
    held.try_reserve_exact(size).map_err(|_| refused())?;
    held.resize(size, 0);
    for page in held.chunks_mut(PAGE_BYTES) {
        page[0] = 1;
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(input: Option<&'static [u8]>) -> Result<String, FlameError> {
        let context = TaskContext { input: input.map(Bytes::from_static), ..TaskContext::default() };
        let output = PingService { host: "h".into() }.on_task_invoke(context).await?;
        Ok(PingOutput::shown(output.as_deref()))
    }

    #[tokio::test]
    async fn it_answers_whatever_it_is_asked() {
        let nothing = "Completed on <h> in <0> milliseconds with <0B> memory";
        assert_eq!(answer(None).await.unwrap(), nothing);
        assert_eq!(answer(Some(b"\xff not json")).await.unwrap(), nothing);
        let asked = br#"{"duration":1,"memory":2097152}"#;
        assert_eq!(answer(Some(asked)).await.unwrap(), "Completed on <h> in <1> milliseconds with <2Mi> memory");
    }

    #[tokio::test]
    async fn too_much_memory_fails_the_task_only() {
        let error = answer(Some(br#"{"memory":18446744073709551615}"#)).await.unwrap_err();
        assert_eq!(error.class(), "resource_exhausted");
    }
}
