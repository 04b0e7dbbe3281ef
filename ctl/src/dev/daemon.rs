//! One daemon: its process, what it says, and how it ends.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout};
use tokio::sync::mpsc;

use super::child;
use crate::exit::Failure;

/// Signals that wait to be sent to one daemon.
const ORDERS_MAX: usize = 8;

/// What is started.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// Its name in this cluster: a coordinator's number or a worker's name.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, PathBuf)>,
    pub(super) log: PathBuf,
}

/// Something that happened to a daemon.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) name: String,
    pub(super) what: What,
}

/// What happened.
#[derive(Debug)]
pub(super) enum What {
    /// It listens.
    Ready,
    /// It is a worker and has found the leader.
    Attached,
    /// It has ended; `None` when how is not known.
    Ended(Option<ExitStatus>),
}

/// A daemon that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) pid: u32,
    /// It listens.
    pub(super) ready: bool,
    /// It is a worker and has found the leader.
    pub(super) attached: bool,
    orders: mpsc::Sender<Signal>,
}

impl Running {
    /// Sends a signal, unless the process has ended already.
    pub(super) fn signal(&self, signal: Signal) {
        // Full or closed: as many signals are under way already, or there is nobody to send one to.
        let _too_late = self.orders.try_send(signal);
    }
}

/// Say to clients of this shell where a cache is, maybe that of an earlier cluster. To daemons they would be settings that
/// outweigh their files.
const OF_CLIENTS: [&str; 2] = ["FLAME_CACHE_ENDPOINT", "FLAME_CACHE_STORAGE"];

/// Starts a daemon; what happens to it goes to `reports`.
pub(super) fn start(flmctl: &Path, program: &Program, reports: &mpsc::Sender<Report>) -> Result<Running, Failure> {
    let failed = |what: &dyn std::fmt::Display, error: std::io::Error| Failure::failed(format!("{what}: {error}"));
    let log = open_log(&program.log).map_err(|error| failed(&program.log.display(), error))?;
    let mut command = child::command(flmctl, &program.path);
    for name in OF_CLIENTS {
        command.env_remove(name);
    }
    command
        .args(&program.arguments)
        .envs(program.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| failed(&program.path.display(), error))?;
    let pid = child.id().ok_or_else(|| Failure::failed(format!("{} has no process", program.name)))?;
    let (orders, incoming) = mpsc::channel(ORDERS_MAX);
    if let Some(stdout) = child.stdout.take() {
        tokio::spawn(listen(program.name.clone(), stdout, reports.clone()));
    }
    tokio::spawn(tend(program.name.clone(), child, incoming, reports.clone()));
    Ok(Running { pid, ready: false, attached: false, orders })
}

fn open_log(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Owns the process: signals it while it has not been reaped, and only then.
async fn tend(name: String, mut child: Child, mut orders: mpsc::Receiver<Signal>, reports: mpsc::Sender<Report>) {
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.ok(),
            Some(signal) = orders.recv() => {
                let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
                if let Some(pid) = pid {
                    // It may be a zombie by now; `wait` says so next.
                    let _gone = kill_process(pid, signal);
                }
            }
        }
    };
    // The supervisor may be leaving.
    let _unheard = reports.send(Report { name, what: What::Ended(status) }).await;
}

/// Reads what a daemon says on stdout: one JSON object a line.
async fn listen(name: String, stdout: ChildStdout, reports: mpsc::Sender<Report>) {
    #[derive(Deserialize)]
    struct Line {
        event: String,
    }
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let what = match serde_json::from_str::<Line>(&line) {
            Ok(line) if line.event == "ready" => What::Ready,
            Ok(line) if line.event == "attached" => What::Attached,
            _ => continue,
        };
        if reports.send(Report { name: name.clone(), what }).await.is_err() {
            return;
        }
    }
}
