//! The id of a run, carried in the environment of every process that belongs to it.
//!
//! Services are started by workers, with the worker's environment: so they carry it as well, and are found even when
//! their worker is dead.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// The variable that carries the id.
pub(crate) const VARIABLE: &str = "FLAME_TESTKIT_RUN";

/// A unique id of one run of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunId(String);

impl RunId {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }

    /// The one with this text.
    pub(crate) fn parse(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// Its text, fit for a file name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The variable that gives this id to a process and to all that it starts, and its value.
    #[must_use]
    pub fn environment(&self) -> (&'static str, &str) {
        (VARIABLE, &self.0)
    }

    /// Processes that carry this id: pid and command line.
    #[must_use]
    pub fn processes(&self) -> Vec<(u32, String)> {
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| self.owns(*pid)).map(|pid| (pid, command_line(pid))).collect()
    }

    /// Kills whatever still carries this id. Only children of our own processes can.
    pub fn kill_leftovers(&self) {
        for (pid, _) in self.processes() {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                // It may have ended by itself in the meantime; that is what we want.
                let _gone = kill_process(pid, Signal::KILL);
            }
        }
    }

    fn owns(&self, pid: u32) -> bool {
        let mark = format!("{VARIABLE}={}", self.0);
        // A process that ends while we look, or that is not ours to read, is not one of ours.
        let environment = std::fs::read(Path::new("/proc").join(pid.to_string()).join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    }
}

impl Default for RunId {
    fn default() -> Self {
        Self::new()
    }
}

fn command_line(pid: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned()
}
