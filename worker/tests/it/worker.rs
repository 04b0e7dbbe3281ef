//! The program under test, with folders of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use flame_proto::ha;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::hub::until;

const WORKER: &str = env!("CARGO_BIN_EXE_flame-worker");
const ECHO: &str = env!("CARGO_BIN_EXE_flame-echo-service");

/// A scratch folder for one test, with the log that the echo services write.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: TempDir::with_prefix("fw").unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn touch(&self, name: &str) {
        fs::write(self.path(name), "").unwrap();
    }

    /// The echo service, told to log into this place.
    pub fn echo(&self, arguments: &[&str]) -> ha::Application {
        self.application(ECHO, arguments)
    }

    /// A shell script that can start the echo service as `"$ECHO"`.
    pub fn script(&self, script: &str) -> ha::Application {
        self.application("/bin/sh", &["-c", script])
    }

    pub fn application(&self, command: &str, arguments: &[&str]) -> ha::Application {
        let log = self.path("echo.log").display().to_string();
        ha::Application {
            name: "echo".into(),
            command: Some(command.into()),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            environments: BTreeMap::from([("FLAME_ECHO_LOG".into(), log), ("ECHO".into(), ECHO.into())]),
            ..ha::Application::default()
        }
    }

    /// The calls that services have logged: call, session, task, process.
    pub fn calls(&self) -> Vec<(String, String, String, i32)> {
        let text = fs::read_to_string(self.path("echo.log")).unwrap_or_default();
        let call = |line: &str| {
            let fields: Vec<&str> = line.split(' ').collect();
            (fields[0].to_owned(), fields[1].to_owned(), fields[2].to_owned(), fields[3].parse().unwrap())
        };
        text.lines().map(call).collect()
    }

    /// How often a call was logged.
    pub fn count(&self, call: &str) -> usize {
        self.calls().iter().filter(|(logged, ..)| logged == call).count()
    }

    /// The process of the service that was entered first.
    pub fn service_pid(&self) -> i32 {
        self.calls().first().expect("a service was entered").3
    }

    /// A process that a script wrote down; waits until it did.
    pub async fn written_pid(&self, name: &str) -> i32 {
        let file = self.path(name);
        until("a process id", || fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n'))).await;
        fs::read_to_string(file).unwrap().trim().parse().unwrap()
    }
}

/// The program. It is killed with the test.
pub struct Worker {
    child: Child,
}

impl Worker {
    pub fn start(place: &Place, hubs: &[&str]) -> Self {
        Self::start_with(place, hubs, &[])
    }

    /// `settings` are keys of the worker's section and their values.
    pub fn start_with(place: &Place, hubs: &[&str], settings: &[(&str, &str)]) -> Self {
        Self::spawn(Command::new(WORKER), place, hubs, settings)
    }

    /// The same with these variables.
    pub fn start_in(place: &Place, hub: &str, settings: &[(&str, &str)], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(WORKER);
        command.envs(variables.iter().copied());
        Self::spawn(command, place, &[hub], settings)
    }

    /// Another build of the program, if one is named.
    pub fn start_program(program: Option<PathBuf>, place: &Place, hub: &str) -> Self {
        Self::spawn(Command::new(program.unwrap_or_else(|| WORKER.into())), place, &[hub], &[])
    }

    fn spawn(mut command: Command, place: &Place, hubs: &[&str], settings: &[(&str, &str)]) -> Self {
        command.args(["--name", "w1", "--resources", "cpu=2,mem=1g", "--endpoint", "http://127.0.0.1:9999"]);
        for (flag, folder) in [("--work-dir", "w"), ("--socket-dir", "s"), ("--log-dir", "l")] {
            command.arg(flag).arg(place.path(folder));
        }
        for hub in hubs {
            command.args(["--coordinator", hub]);
        }
        for (key, value) in settings {
            command.env(format!("FLAME_WORKER_{}", key.to_uppercase()), value);
        }
        command.env("HOME", place.path("home")).env_remove("FLAME_SOCKET_DIR").env_remove("TMPDIR");
        Self { child: command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap() }
    }

    /// Lines that the program has written on standard output, until one holds `last`.
    pub async fn lines_until(&mut self, last: &'static str) -> Vec<String> {
        let out = BufReader::new(self.child.stdout.take().unwrap());
        let read = move || {
            let mut lines = Vec::new();
            for line in out.lines() {
                lines.push(line.unwrap());
                if lines.last().unwrap().contains(last) {
                    break;
                }
            }
            lines
        };
        crate::hub::soon("the worker's words", tokio::task::spawn_blocking(read)).await.unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub async fn exited(mut self) -> ExitStatus {
        let mut status = None;
        crate::hub::soon("the end of the worker", async {
            while status.is_none() {
                status = self.child.try_wait().unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        })
        .await;
        status.unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a process still runs.
pub fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|line| !matches!(line.rsplit_once(") ").unwrap().1.as_bytes()[0], b'Z' | b'X'))
}

pub async fn until_dead(pid: i32) {
    until("the end of a process", || !is_alive(pid)).await;
}

/// The text of a file that belongs to a worker of this place.
pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
