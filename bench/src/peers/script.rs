//! A peer that is a Python program: `bench/peers/NAME.py`, which starts the peer's servers and is its client.
//!
//! It says a line when it is warm, hears one, says its figures, and ends its servers when its stdin ends
//! (`bench/peers/protocol.py`).

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use crate::accounting::{Kind, Snapshot};
use crate::companion::Companion;
use crate::figures::{Figures, TASKS_PER_S};
use crate::meter::costs;
use crate::objects;
use crate::peers::family::Family;
use crate::peers::peer::{Mode, Played};
use crate::statistics::Latencies;

/// Short: Ray puts sockets below it, and the path of a socket has 107 bytes at most.
pub const FOLDER_PREFIX: &str = "flame-peer-";

/// From its start until it is warm. Ray needs twenty seconds on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(180);

/// For the last of its processes to end by themselves, once the program that started and ended them is gone.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// After a cold start: for what the start left to be done.
pub const SETTLE: Duration = Duration::from_secs(5);

/// How many lines of its log say why it broke.
const TAIL_LINES: usize = 12;

/// Its line when it is warm.
#[derive(Debug, Deserialize)]
struct Ready {
    ready: bool,
    version: String,
}

/// Its line at the end.
#[derive(Debug, Deserialize)]
struct Told {
    took_s: f64,
    tasks: u64,
    #[serde(default)]
    latencies_ms: Vec<f64>,
}

/// Where the program with this name is.
#[must_use]
pub fn source(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(file)
}

/// One run.
///
/// # Errors
/// If it breaks after it was warm, or leaves a process that cannot be ended.
pub async fn play(file: &str, installed: &Path, mode: Mode, tasks: u64) -> Result<Played> {
    let folder = tempfile::Builder::new().prefix(FOLDER_PREFIX).tempdir().context("make a folder for the peer")?;
    let family = Family::new();
    let log = folder.path().join("peer.log");
    let began = Instant::now();
    let (mut program, ready) = match start(file, installed, mode, tasks, &folder, &family, &log).await {
        Ok(started) => started,
        Err(error) => {
            let why = format!("{error:#}{}", tail(&log));
            family.end(Duration::ZERO).await?;
            return Ok(Played::NotStarted(why));
        }
    };
    let warm_after = began.elapsed();
    let outcome = measure(&mut program, &family, mode, tasks, warm_after).await;
    let outcome = outcome.map_err(|error| anyhow!("{error:#}{}", tail(&log)));
    let ended = program.end().await.map_err(|error| anyhow!("{error:#}{}", tail(&log)));
    family.end(END_PATIENCE).await?;
    let figures = outcome?;
    ended?;
    Ok(Played::Measured { version: ready.version, figures })
}

async fn start(
    file: &str,
    installed: &Path,
    mode: Mode,
    tasks: u64,
    folder: &TempDir,
    family: &Family,
    log: &Path,
) -> Result<(Companion, Ready)> {
    let mut command = Command::new(installed.join("bin/python"));
    command.arg(source(file)).args([mode.name(), &tasks.to_string()]).arg(folder.path());
    // Nothing is written beside the programs, which are part of the checkout.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.stderr(Stdio::from(File::create(log).context("create the log")?));
    family.adopt(&mut command);
    let mut program = Companion::start("the peer's program", command)?;
    let line = timeout(START_LIMIT, program.line()).await;
    let line = line.with_context(|| format!("it is not ready after {} s", START_LIMIT.as_secs()))??;
    let ready: Ready = serde_json::from_str(&line).with_context(|| format!("it says {line:?}"))?;
    ensure!(ready.ready, "it says {line:?}");
    Ok((program, ready))
}

async fn measure(
    program: &mut Companion,
    family: &Family,
    mode: Mode,
    tasks: u64,
    warm_after: Duration,
) -> Result<Figures> {
    let client = program.pid();
    if mode == Mode::Objects {
        let count = Some(tasks).filter(|count| *count > 0);
        return objects::measure(program, count, || processes(family, client)).await;
    }
    if mode == Mode::ColdStart {
        sleep(SETTLE).await;
    }
    let before = Snapshot::take(&processes(family, client))?;
    program.tell("go").await?;
    let line = program.line().await?;
    let costs = costs(&before, &processes(family, client), tasks)?;
    let told: Told = serde_json::from_str(&line).with_context(|| format!("it says {line:?}"))?;
    let mut figures = figures(told, mode, tasks)?;
    if mode == Mode::ColdStart {
        figures.set("first_result_ms", warm_after.as_secs_f64() * 1000.0);
    }
    for (name, value) in costs.iter().filter(|(name, _)| mode != Mode::ColdStart || name.starts_with("pss_mb")) {
        figures.set(name, value);
    }
    Ok(figures)
}

/// The program is the client, the rest of the family serves; this process waits.
fn processes(family: &Family, client: Option<u32>) -> BTreeMap<u32, Kind> {
    let members = family.members().into_iter();
    let kinds = members.map(|pid| (pid, if Some(pid) == client { Kind::Client } else { Kind::Peer }));
    kinds.chain([(std::process::id(), Kind::Client)]).collect()
}

fn figures(told: Told, mode: Mode, tasks: u64) -> Result<Figures> {
    ensure!(told.tasks == tasks, "it ran {} of {tasks} tasks", told.tasks);
    ensure!(told.took_s >= 0.0, "it took {} s", told.took_s);
    let mut figures = Figures::default();
    if mode != Mode::ColdStart {
        figures.set(TASKS_PER_S, tasks as f64 / told.took_s.max(f64::MIN_POSITIVE));
    }
    if mode == Mode::Latency {
        ensure!(told.latencies_ms.len() as u64 == tasks, "{} latencies of {tasks}", told.latencies_ms.len());
    }
    let latencies = told.latencies_ms.into_iter().map(|ms| Duration::try_from_secs_f64(ms / 1000.0));
    let latencies = latencies.collect::<Result<Vec<_>, _>>().context("a latency is no time")?;
    figures.set_latencies(&Latencies::of(latencies));
    Ok(figures)
}

/// The last lines of a log, for the end of a message.
pub fn tail(log: &Path) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    if last.is_empty() { String::new() } else { format!("; it says last: {}", last.join("\n")) }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::figures::P50_MS;

    fn told(text: &str, mode: Mode, tasks: u64) -> Result<Figures> {
        figures(serde_json::from_str(text)?, mode, tasks)
    }

    #[test]
    fn figures_are_made_of_what_it_says() -> Result<()> {
        let figures = told(r#"{"took_s": 0.5, "tasks": 3, "latencies_ms": [3.0, 1.0, 2.0]}"#, Mode::Latency, 3)?;
        assert_eq!((figures.get(TASKS_PER_S), figures.get(P50_MS)), (Some(6.0), Some(2.0)));
        let figures = told(r#"{"took_s": 2.0, "tasks": 10}"#, Mode::Throughput, 10)?;
        assert_eq!((figures.get(TASKS_PER_S), figures.get(P50_MS)), (Some(5.0), None));
        Ok(())
    }

    #[test]
    fn figures_that_cannot_be_are_refused() {
        assert!(told(r#"{"took_s": 0.5, "tasks": 9}"#, Mode::Throughput, 10).is_err(), "a task is missing");
        assert!(told(r#"{"took_s": 0.5, "tasks": 1}"#, Mode::Latency, 1).is_err(), "its latency is missing");
        assert!(told(r#"{"took_s": 1.0, "tasks": 1, "latencies_ms": [-1.0]}"#, Mode::Latency, 1).is_err());
        assert!(told("{}", Mode::Throughput, 1).is_err());
    }

    #[tokio::test]
    async fn a_peer_that_does_not_start_says_why() -> Result<()> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("bin"))?;
        let python = folder.path().join("bin/python");
        std::fs::write(&python, "#!/bin/sh\necho 'no module of this name' >&2\nexit 1\n")?;
        std::fs::set_permissions(&python, Permissions::from_mode(0o755))?;
        let played = play("ray_tasks.py", folder.path(), Mode::Throughput, 10).await?;
        assert!(matches!(&played, Played::NotStarted(why) if why.contains("no module of this name")), "{played:?}");
        Ok(())
    }
}
