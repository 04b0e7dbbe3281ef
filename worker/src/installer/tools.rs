//! Programs that install: uv, pip, python. What they write goes into the log of the install.
//!
//! **Invariant:** they end with the worker, as services do, and with the install that they belong to.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

use crate::shim::exec::SUBCOMMAND;
use crate::shim::process::describe;
use crate::shim::spawner::Spawner;

/// Starts them.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    spawner: Spawner,
    /// The worker's own program.
    program: PathBuf,
}

/// A program to be run.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// Beside what the worker's environment holds.
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) folder: PathBuf,
}

impl Tool {
    /// As a shell would show it.
    pub(crate) fn shown(&self) -> String {
        let words = self.arguments.iter().map(|word| word.to_string_lossy());
        std::iter::once(self.program.to_string_lossy()).chain(words).collect::<Vec<_>>().join(" ")
    }
}

impl Tools {
    pub(crate) fn new(spawner: Spawner, program: &Path) -> Self {
        Self { spawner, program: program.to_owned() }
    }

    /// Runs a program to its end. The error says how it failed.
    pub(crate) async fn run(&self, tool: &Tool, log: File) -> Result<(), String> {
        let failed = |error: io::Error| format!("cannot be started: {error}");
        let mut command = Command::new(&self.program);
        command
            .arg(SUBCOMMAND)
            .arg(std::process::id().to_string())
            .arg(&tool.program)
            .args(&tool.arguments)
            .envs(&tool.environment)
            .current_dir(&tool.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .process_group(0);
        let mut group = Group { child: self.spawner.spawn(command).await.map_err(failed)? };
        let status = group.child.wait().await.map_err(|error| format!("cannot be waited for: {error}"))?;
        if status.success() { Ok(()) } else { Err(describe(status)) }
    }
}

/// A program and what it started. All of it is killed when this is dropped before its end.
struct Group {
    child: Child,
}

impl Drop for Group {
    fn drop(&mut self) {
        // The id is gone once the program has been waited for.
        let Some(pid) = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) else { return };
        if let Err(error) = kill_process_group(pid, Signal::KILL)
            && error != rustix::io::Errno::SRCH
        {
            tracing::warn!(%pid, %error, "cannot end a program that installs");
        }
    }
}
