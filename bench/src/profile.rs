//! Profiles with Linux `perf`: which functions use the processors, by kind of process.
//!
//! Beside the raw recording two texts are written: stacks in one line each, as flame-graph tools read them, and the
//! functions that cost most by themselves.
//!
//! **Invariant:** a profile that was asked for is made, or the run ends with an error that says what is missing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use flame_testkit::wait_until;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::accounting::Kind;
use crate::stacks::Stacks;

/// Samples in a second and processor; not a round number, so as not to beat in time with timers.
const SAMPLES_PER_SECOND: &str = "999";

/// Our programs keep no frame pointers, so the stack itself is recorded and unwound afterwards. So many bytes of it.
const CALL_GRAPH: &str = "dwarf,8192";

/// Counts processor time; virtual machines rarely have better.
const EVENT: &str = "cpu-clock";

const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(120);

const MISSING: &str = "perf is needed for --profile; on Debian: apt-get install linux-perf";

/// A recording that goes on.
pub struct Recording {
    perf: Child,
    base: PathBuf,
    processes: BTreeMap<u32, Kind>,
}

impl Recording {
    /// Records these processes. `base` is the path of all files, without an extension.
    ///
    /// # Errors
    /// If `perf` is missing or does not start.
    pub async fn start(base: &Path, processes: BTreeMap<u32, Kind>) -> Result<Self> {
        let data = base.with_extension("perf.data");
        // What is there is from an earlier run; a new file tells that the recording has begun.
        let _absent = std::fs::remove_file(&data);
        let pids: Vec<String> = processes.keys().map(u32::to_string).collect();
        let mut command = Command::new("perf");
        command.args(["record", "-q", "-F", SAMPLES_PER_SECOND, "-e", EVENT, "--call-graph", CALL_GRAPH, "-m", "1024"]);
        command.arg("-o").arg(&data).arg("-p").arg(pids.join(","));
        let perf = command.stdin(Stdio::null()).kill_on_drop(true).spawn().context(MISSING)?;
        let mut recording = Self { perf, base: base.to_path_buf(), processes };
        wait_until(START_LIMIT, "perf records", || {
            let ended = recording.perf.try_wait();
            let is_there = data.metadata().is_ok_and(|file| file.len() > 0);
            async move {
                if let Some(status) = ended? {
                    return Ok(Err(status));
                }
                ensure!(is_there, "its file is not there");
                Ok(Ok(()))
            }
        })
        .await?
        .map_err(|status| anyhow::anyhow!("perf ended by itself: {status}"))?;
        Ok(recording)
    }

    /// Ends the recording and writes what it says.
    ///
    /// # Errors
    /// If `perf` cannot read its own recording, or a file cannot be written.
    pub async fn finish(mut self) -> Result<()> {
        let pid = self.perf.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        kill_process(pid.context("perf has ended by itself")?, Signal::INT).context("stop perf")?;
        timeout(STOP_LIMIT, self.perf.wait()).await.context("perf does not stop")?.context("wait for perf")?;
        eprintln!("    reading the profile");
        let data = self.base.with_extension("perf.data");
        let mut command = Command::new("perf");
        command.args(["script", "--no-inline", "-F", "comm,pid,ip,sym", "-i"]).arg(&data);
        let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().await.context("start perf script")?;
        if !output.status.success() {
            bail!("perf script ended with {}", output.status);
        }
        let stacks = Stacks::parse(&String::from_utf8_lossy(&output.stdout), &self.processes);
        write(&self.base.with_extension("stacks"), &stacks.collapsed())?;
        write(&self.base.with_extension("top.txt"), &stacks.top())
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    eprintln!("    wrote {}", path.display());
    Ok(())
}
