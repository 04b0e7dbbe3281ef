//! What `flmexec` prints.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flame_sdk::TaskEnd;
use serde::{Serialize, Serializer};

use super::args::Format;
use super::payload::ScriptOutput;
use crate::exit::Failure;
use crate::output::{Reader, note, note_bytes, print, print_bytes};
use crate::render::{self, value_in};

/// How all scripts of a run ended.
#[derive(Clone, Debug, Serialize)]
pub struct ExecView {
    /// The session that was made for them.
    pub session: String,
    /// By number.
    pub tasks: Vec<ScriptEnd>,
}

/// How one of them ended.
#[derive(Clone, Debug, Serialize)]
pub struct ScriptEnd {
    /// The number of its task.
    pub task: String,
    /// Succeed, Failed or Cancelled.
    pub state: String,
    /// 0, or nothing when the task failed: the message says why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What the script wrote to its stdout, in base64; of one that failed, nothing.
    #[serde(serialize_with = "base64")]
    pub stdout: Vec<u8>,
    /// What it wrote to its stderr, likewise.
    #[serde(serialize_with = "base64")]
    pub stderr: Vec<u8>,
    /// Why the task failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl ExecView {
    /// Of the ends of tasks, in any order.
    ///
    /// # Errors
    /// When a service has answered that is not `flmexec-service`.
    pub fn new(session: &str, mut ends: Vec<TaskEnd>) -> Result<Self, Failure> {
        ends.sort_by_key(|end| end.task);
        let tasks = ends.into_iter().map(ScriptEnd::new).collect::<Result<_, _>>()?;
        Ok(Self { session: session.to_owned(), tasks })
    }

    /// Prints it: for people what the scripts wrote, byte for byte and in the order of their numbers, stdout to stdout and
    /// stderr to stderr.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn print(&self, format: Format) -> Result<(), Failure> {
        match format {
            Format::Raw => self.print_raw(),
            Format::Json => print(&value_in(self, render::Format::Json)?).map(|_| ()),
            Format::Yaml => print(&value_in(self, render::Format::Yaml)?).map(|_| ()),
        }
    }

    fn print_raw(&self) -> Result<(), Failure> {
        for end in &self.tasks {
            if let Some(message) = &end.message {
                note(&format!("flmexec: task {}: {message}\n", end.task));
            }
            note_bytes(&end.stderr);
            if print_bytes(&end.stdout)? == Reader::Gone {
                break;
            }
        }
        Ok(())
    }
}

impl ScriptEnd {
    fn new(end: TaskEnd) -> Result<Self, Failure> {
        let (task, state) = (end.task.to_string(), end.state.to_string());
        if !end.succeeded() {
            let message = end.message.unwrap_or_else(|| format!("it ended as {state}"));
            let (stdout, stderr) = (Vec::new(), Vec::new());
            return Ok(Self { task, state, exit_code: None, stdout, stderr, message: Some(message) });
        }
        let output = serde_json::from_slice(end.output.as_deref().unwrap_or_default());
        let ScriptOutput { data, stderr, exit_code } = output.map_err(|error| {
            Failure::failed(format!("the answer of task {task} is none of flmexec's: {error}"))
                .hint("`flmctl view -a flmexec` shows which command is registered as its service")
        })?;
        Ok(Self { task, state, exit_code: Some(exit_code), stdout: data, stderr, message: None })
    }
}

fn base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}
