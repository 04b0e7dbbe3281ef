//! One running service: its start, its exit, its signals, its end.
//!
//! **Invariant:** when a [`Process`] is gone, so is its whole process group, whichever way it went.

use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use flame_types::ExecutorKey;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

use super::exec::SUBCOMMAND;
use super::host::{Host, Launch, LaunchError, held_back, remove_file};
use super::record::{Record, Stat};
use crate::instance::Sockets;

/// A service process and everything it started.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    group: Pid,
    launch: Launch,
    is_stopped: bool,
}

impl Process {
    /// Starts a service in a process group of its own.
    ///
    /// # Errors
    /// [`LaunchError`] when the system refuses. A command that does not exist is found out later: the process ends
    /// at once and says so in its log.
    pub(crate) async fn start(host: &Host, executor: ExecutorKey, launch: Launch) -> Result<Self, LaunchError> {
        let refused = |error| LaunchError::Spawn(launch.command.clone(), error);
        let (out, err) = host.logs.create(executor).map_err(refused)?;
        let mut command = Command::new(&host.program);
        command
            .arg(SUBCOMMAND)
            .arg(std::process::id().to_string())
            .arg(&launch.command)
            .args(launch.arguments.iter().map(OsString::from))
            .envs(&launch.environment)
            .current_dir(&launch.directory)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0);
        if let Some(name) = held_back(&launch.environment) {
            command.env_remove(name);
        }
        let child = host.spawner.spawn(command).await.map_err(refused)?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let Some(group) = group else {
            return Err(refused(std::io::Error::other("the process ended before it had an id")));
        };
        let process = Self { child, group, launch, is_stopped: false };
        let pid = group.as_raw_nonzero().get();
        // A process that has ended already needs no record: there is nothing to find.
        if let Some(stat) = Stat::read(pid) {
            let socket = process.launch.sockets.grpc.clone();
            let record = Record { boot_id: host.boot_id.clone(), pid, start_time: stat.start_time, socket };
            let written = record.write(&process.launch.record);
            written.map_err(|error| LaunchError::Folder(process.launch.record.clone(), error))?;
        }
        Ok(process)
    }

    /// Where it was told to listen.
    pub(crate) fn sockets(&self) -> &Sockets {
        &self.launch.sockets
    }

    /// Waits for the service's own end and describes it. May be dropped and called again.
    pub(crate) async fn exited(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => describe(status),
            Err(error) => format!("could not be waited for: {error}"),
        }
    }

    /// SIGTERM, and after `limit` SIGKILL, to the whole group; waits for the end.
    pub(crate) async fn stop(&mut self, limit: Duration) {
        if self.child.try_wait().ok().flatten().is_none() {
            self.signal(Signal::TERM);
            let _ = tokio::time::timeout(limit, self.child.wait()).await;
        }
        self.kill().await;
    }

    /// SIGKILL to the whole group; waits for the end.
    pub(crate) async fn kill(&mut self) {
        self.signal(Signal::KILL);
        if let Err(error) = self.child.wait().await {
            tracing::warn!(pid = %self.group, %error, "cannot wait for the end of a service");
        }
        self.is_stopped = true;
        let Sockets { grpc, frames } = &self.launch.sockets;
        for file in [grpc, frames, &self.launch.record] {
            if let Err(error) = remove_file(file) {
                tracing::warn!(file = %file.display(), %error, "cannot remove a file of a service");
            }
        }
    }

    fn signal(&self, signal: Signal) {
        match kill_process_group(self.group, signal) {
            // Nobody left, or only processes that have ended: as it should be.
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => tracing::warn!(pid = %self.group, ?signal, %error, "cannot signal a service"),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.is_stopped {
            self.signal(Signal::KILL);
        }
    }
}

/// `ended with status 3` or `was killed by signal 9`.
pub(crate) fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => format!("ended: {status}"),
    }
}
