//! System calls of a process that runs, made to fail.
//!
//! **Invariant:** the process is let go when the tracer is dropped, and is not harmed by that.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// Everything that makes what was written durable.
const SYNCS: &str = "fdatasync,fsync";

/// What becomes of the syncs of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies by SIGKILL in the so-manieth of each of its threads.
    KillAt(u32),
    /// The first of each thread fails with EIO; those after it succeed.
    FailOnce,
    /// All fail with EIO.
    Fail,
}

/// A debugger at work, until it is dropped.
pub struct Tracer(Child);

impl Tracer {
    /// Begins.
    ///
    /// # Errors
    /// If the debugger cannot be started.
    pub fn attach(pid: u32, fault: Fault) -> Result<Self> {
        let inject = match fault {
            Fault::KillAt(number) => format!("inject={SYNCS}:signal=KILL:when={number}"),
            Fault::FailOnce => format!("inject={SYNCS}:error=EIO:when=1"),
            Fault::Fail => format!("inject={SYNCS}:error=EIO"),
        };
        let trace = format!("trace={SYNCS}");
        let child = Command::new("strace")
            .args(["--quiet=all", "--follow-forks", "-e", &trace, "-e", "status=none", "-e", &inject, "-p"])
            .arg(pid.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Ok(Self(child.context("start strace")?))
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // It ends with the process it watches; if that lives on, it is to let go of it.
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}
