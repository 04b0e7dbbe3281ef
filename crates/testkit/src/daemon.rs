//! One coordinator or worker: its process, the events it prints, its log.
//!
//! **Invariant:** at most one process of a daemon runs at a time, and its pid is the one the kernel gave us at the start.
//!
//! **Invariant:** a process that has been seen to end has no pid any more: the kernel may have given it to somebody else.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use crate::nursery;
use crate::options::Host;
use crate::run::{self, RunId};
use crate::wait::wait_until;

/// How much of a log goes into an error message.
const TAIL_LINES: usize = 25;

/// For a process that was told to end.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How to start a daemon, and its process while it runs.
pub(crate) struct Daemon {
    name: String,
    binary: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    folder: PathBuf,
    log: PathBuf,
    process: Option<Process>,
}

struct Process {
    child: Child,
    /// How it ended, once that has been seen.
    ended: Option<ExitStatus>,
    events: Arc<Mutex<Vec<Value>>>,
}

impl Process {
    /// Looks whether it has ended.
    fn look(&mut self) -> std::io::Result<Option<ExitStatus>> {
        self.ended = self.child.try_wait()?;
        Ok(self.ended)
    }

    /// `None` once it has been seen to end.
    fn pid(&self) -> Option<u32> {
        self.ended.is_none().then(|| self.child.id())
    }
}

impl Daemon {
    /// A daemon that is not running. `folder` must exist; the log is put there.
    pub(crate) fn new(name: &str, binary: PathBuf, arguments: Vec<String>, folder: &Path, run: &RunId) -> Self {
        Self {
            name: name.to_owned(),
            binary,
            arguments,
            environment: vec![(run::VARIABLE.to_owned(), run.as_str().to_owned())],
            folder: folder.to_path_buf(),
            log: folder.join(format!("{name}.log")),
            process: None,
        }
    }

    pub(crate) fn with_environment(mut self, variables: &[(String, String)]) -> Self {
        self.environment.extend_from_slice(variables);
        self
    }

    /// It is started from this program from now on. Not for one that runs on another host.
    pub(crate) fn set_binary(&mut self, binary: PathBuf) {
        self.binary = binary;
    }

    /// The same daemon on another host.
    pub(crate) fn on(mut self, host: Option<&Host>) -> Self {
        if let Some((program, words)) = host.and_then(|host| host.enter.split_first()) {
            let binary = std::mem::replace(&mut self.binary, PathBuf::from(program));
            let rest = std::mem::take(&mut self.arguments);
            self.arguments = words.iter().cloned().chain([binary.display().to_string()]).chain(rest).collect();
        }
        self
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether a process was started and has not been seen to end.
    pub(crate) fn is_started(&self) -> bool {
        self.pid().is_some()
    }

    /// Of a process that runs, as far as is known.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(Process::pid)
    }

    /// Starts the process. Returns before it is ready.
    pub(crate) fn spawn(&mut self) -> Result<()> {
        assert!(!self.is_started(), "{} runs already", self.name);
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("open {}", self.log.display()))?;
        let mut command = nursery::command(&self.binary);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = nursery::spawn(command).with_context(|| format!("start {}", self.binary.display()))?;
        let stdout = child.stdout.take().context("the process has no stdout")?;
        self.process = Some(Process { child, ended: None, events: collect_events(stdout) });
        Ok(())
    }

    /// Waits for a line `{"event": name, ...}` on stdout.
    pub(crate) async fn event(&mut self, name: &str, limit: Duration) -> Result<Value> {
        let what = format!("{} says {name:?}", self.name);
        let started = self.process.is_some();
        let outcome = wait_until(limit, &what, || {
            let found = self.find_event(name);
            // A process that has ended says nothing more: the wait ends with what it left.
            let ended = self.process.as_mut().and_then(|process| process.look().ok().flatten());
            async move {
                match (found, ended) {
                    (Some(event), _) => Ok(Ok(event)),
                    (None, Some(status)) => Ok(Err(status)),
                    (None, None) if started => Err(anyhow!("it runs and has not said it")),
                    (None, None) => Ok(Err(ExitStatus::default())),
                }
            }
        })
        .await;
        match outcome {
            Ok(Ok(event)) => Ok(event),
            Ok(Err(status)) => Err(anyhow!("{} ended before it said {name:?}: {status}\n{}", self.name, self.tail())),
            Err(error) => Err(anyhow!("{error}\n{}", self.tail())),
        }
    }

    /// The exit code, if the process has ended by itself.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.process.as_mut()?.look().ok()??.code()
    }

    /// Whether the process has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| matches!(process.look(), Ok(Some(_))))
    }

    /// SIGKILL to the process, unless it has ended, without waiting for its end.
    pub(crate) fn signal_kill(&self) -> Result<()> {
        let Some(pid) = self.kernel_pid() else { return Ok(()) };
        kill_process(pid, Signal::KILL).with_context(|| format!("kill {} ({})", self.name, pid.as_raw_nonzero()))
    }

    /// SIGSTOP or SIGCONT to the process.
    pub(crate) fn signal_pause(&self, paused: bool) -> Result<()> {
        let pid = self.kernel_pid().ok_or_else(|| anyhow!("{} does not run", self.name))?;
        let signal = if paused { Signal::STOP } else { Signal::CONT };
        kill_process(pid, signal).with_context(|| format!("pause or resume {}", self.name))
    }

    /// Waits for the end of a process that has been told to end, and forgets it.
    pub(crate) async fn reap(&mut self, limit: Duration) -> Result<ExitStatus> {
        let Some(mut process) = self.process.take() else { return Err(anyhow!("{} does not run", self.name)) };
        let what = format!("the end of {}", self.name);
        let ended = wait_until(limit, &what, || {
            let ended = process.look();
            async move { ended?.ok_or_else(|| anyhow!("it still runs")) }
        })
        .await;
        if ended.is_err() {
            // Not forgotten: it is still to be killed when the cluster is dropped.
            self.process = Some(process);
        }
        ended.map_err(|error| anyhow!("{error}\n{}", self.tail()))
    }

    /// SIGKILL, and waits for the end.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.signal_kill()?;
        self.reap(STOP_LIMIT).await.map(drop)
    }

    /// SIGTERM, and waits for an end with exit code 0.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let pid = self.kernel_pid().ok_or_else(|| anyhow!("{} does not run", self.name))?;
        kill_process(pid, Signal::TERM).with_context(|| format!("stop {}", self.name))?;
        let status = self.reap(STOP_LIMIT).await?;
        if status.success() {
            Ok(())
        } else {
            Err(anyhow!("{} did not stop cleanly: {status}\n{}", self.name, self.tail()))
        }
    }

    /// The last lines of the log, with a headline.
    pub(crate) fn tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        let from = lines.len().saturating_sub(TAIL_LINES);
        format!("--- last lines of {} ---\n{}", self.log.display(), lines[from..].join("\n"))
    }

    /// How often it has written this to its log, in all its lives.
    pub(crate) fn written(&self, text: &str) -> Result<usize> {
        let log = std::fs::read(&self.log).with_context(|| format!("read {}", self.log.display()))?;
        Ok(String::from_utf8_lossy(&log).matches(text).count())
    }

    fn find_event(&self, name: &str) -> Option<Value> {
        let events = self.process.as_ref()?.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().find(|event| event["event"] == name).cloned()
    }

    fn kernel_pid(&self) -> Option<Pid> {
        let raw = i32::try_from(self.pid()?).ok()?;
        Pid::from_raw(raw)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(pid) = self.kernel_pid() {
            let _gone = kill_process_group(pid, Signal::KILL);
        }
        if let Some(mut process) = self.process.take() {
            let _status = process.child.wait();
        }
    }
}

/// Reads JSON lines until the process closes its stdout. Other lines go to the test's own output.
fn collect_events(stdout: ChildStdout) -> Arc<Mutex<Vec<Value>>> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let inbox = events.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            match serde_json::from_str::<Value>(&line) {
                Ok(event) => inbox.lock().unwrap_or_else(PoisonError::into_inner).push(event),
                Err(_) => eprintln!("{line}"),
            }
        }
    });
    events
}

/// Creates or empties a file; used for the files a daemon gets.
pub(crate) fn write_file(path: &Path, text: &str) -> Result<()> {
    let mut file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    std::io::Write::write_all(&mut file, text.as_bytes()).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(folder: &Path, script: &str, run: &RunId) -> Daemon {
        Daemon::new("shell", "/bin/sh".into(), vec!["-c".to_owned(), script.to_owned()], folder, run)
    }

    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn events_are_read_and_sigterm_ends_it_cleanly() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let script = r#"trap 'exit 0' TERM; echo '{"event":"ready","id":7}'; while :; do sleep 0.05; done"#;
        let mut daemon = shell(folder.path(), script, &RunId::new());
        daemon.spawn()?;
        assert_eq!(daemon.event("ready", LIMIT).await?["id"], 7);
        daemon.stop().await?;
        assert!(!daemon.is_started());
        Ok(())
    }

    #[tokio::test]
    async fn an_early_end_tells_the_status_and_the_log() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut daemon = shell(folder.path(), "echo 'no such luck' >&2; exit 12", &RunId::new());
        daemon.spawn()?;
        let text = daemon.event("ready", LIMIT).await.expect_err("it ended").to_string();
        assert!(text.contains("no such luck") && text.contains("12"), "{text}");
        assert_eq!(daemon.exit_code(), Some(12));
        Ok(())
    }

    #[tokio::test]
    async fn whoever_was_seen_to_end_is_signalled_no_more() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut daemon = shell(folder.path(), "exit 3", &RunId::new());
        daemon.spawn()?;
        wait_until(LIMIT, "the end", || {
            let code = daemon.exit_code();
            async move { code.ok_or_else(|| anyhow!("it still runs")) }
        })
        .await?;
        assert_eq!((daemon.pid(), daemon.is_started()), (None, false));
        assert!(daemon.signal_pause(true).is_err());
        daemon.kill().await?;
        assert_eq!(daemon.exit_code(), None, "it is forgotten");
        Ok(())
    }

    #[tokio::test]
    async fn a_killed_daemon_can_be_started_again() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut daemon = shell(folder.path(), r#"echo '{"event":"ready"}'; exec sleep 1000"#, &RunId::new());
        for _ in 0..2 {
            daemon.spawn()?;
            daemon.event("ready", LIMIT).await?;
            daemon.kill().await?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn grandchildren_are_found_by_the_id_of_the_run() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let run = RunId::new();
        // A grandchild in a session of its own, as a service is: killing the group does not reach it.
        let script = r#"setsid sleep 1000 & echo '{"event":"ready"}'; exec sleep 1000"#;
        let mut daemon = shell(folder.path(), script, &run);
        daemon.spawn()?;
        daemon.event("ready", LIMIT).await?;
        wait_until(LIMIT, "both processes", || async {
            let found = run.processes();
            if found.len() == 2 { Ok(()) } else { Err(anyhow!("{found:?}")) }
        })
        .await?;
        drop(daemon);
        assert_eq!(run.processes().len(), 1, "the grandchild outlives the group");
        run.kill_leftovers();
        wait_until(LIMIT, "no process of the run", || async {
            let found = run.processes();
            if found.is_empty() { Ok(()) } else { Err(anyhow!("{found:?}")) }
        })
        .await
    }
}
