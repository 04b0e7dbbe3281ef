//! The service that writes down what it runs.
//!
//! A task's input is `NONCE` or `NONCE MILLISECONDS`. The service appends one line, `nonce TAB pid`, to the file that
//! all services of the run share, and only then sleeps and answers with the input. A line is one write and is with the
//! kernel before the work begins: it survives the death of the process, and a run that did not finish still counts.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use flame_sdk::service::TaskContext;
use flame_sdk::{FlameError, FlameService, async_trait};

/// Names the file that executions are written to.
pub const LOG_VARIABLE: &str = "FLAME_CHAOS_EXECUTIONS";

struct Writer {
    log: File,
}

/// Serves tasks until the worker ends this process.
///
/// # Errors
/// If the file cannot be opened, or this process was not started by a worker.
pub async fn run() -> Result<()> {
    let path = std::env::var_os(LOG_VARIABLE).with_context(|| format!("{LOG_VARIABLE} is not set"))?;
    let writer = Writer { log: open(Path::new(&path))? };
    Ok(flame_sdk::service::run(writer).await?)
}

fn open(path: &Path) -> Result<File> {
    let log = OpenOptions::new().create(true).append(true).open(path);
    log.with_context(|| format!("open {}", path.display()))
}

#[async_trait]
impl FlameService for Writer {
    async fn on_task_invoke(&self, context: TaskContext) -> Result<Option<Bytes>, FlameError> {
        let input = context.input.ok_or_else(|| FlameError::InvalidArgument("the task has no input".to_owned()))?;
        let (nonce, sleep) = parse(&input)
            .ok_or_else(|| FlameError::InvalidArgument("the input is not `NONCE [MILLISECONDS]`".to_owned()))?;
        let line = format!("{nonce}\t{}\n", std::process::id());
        let written = (&self.log).write_all(line.as_bytes());
        written.map_err(|error| FlameError::Internal(format!("cannot write the log of executions: {error}")))?;
        tokio::time::sleep(sleep).await;
        Ok(Some(input))
    }
}

/// The input of a task with this mark, which takes so long.
#[must_use]
pub fn input(nonce: &str, sleep: Duration) -> Bytes {
    if sleep.is_zero() { Bytes::from(nonce.to_owned()) } else { Bytes::from(format!("{nonce} {}", sleep.as_millis())) }
}

/// The mark in a task's input, and how long the task takes.
#[must_use]
pub fn parse(input: &[u8]) -> Option<(&str, Duration)> {
    let text = std::str::from_utf8(input).ok()?;
    let (nonce, milliseconds) = text.split_once(' ').unwrap_or((text, "0"));
    let sleep = Duration::from_millis(milliseconds.parse().ok()?);
    (!nonce.is_empty()).then_some((nonce, sleep))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_read_as_they_were_written() {
        for sleep in [Duration::ZERO, Duration::from_millis(1000)] {
            assert_eq!(parse(&input("run-17", sleep)), Some(("run-17", sleep)));
        }
    }

    #[test]
    fn other_inputs_are_refused() {
        for text in ["", " 5", "a b", "a 5 6", "a -1"] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse(&[0xff]), None);
    }

    #[test]
    fn the_log_is_what_the_checker_reads() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("log");
        for _ in 0..2 {
            writeln!(open(&path)?, "run-1\t{}", std::process::id())?;
        }
        let executions = flame_jepsen::execution_log::parse(&std::fs::read_to_string(&path)?)?;
        assert_eq!(executions.len(), 2);
        assert_eq!(executions[0].nonce.to_string(), "run-1");
        Ok(())
    }
}
