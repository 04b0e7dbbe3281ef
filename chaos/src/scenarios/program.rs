//! A client as a process of its own: it says `running` once trouble may begin, and at its end what became of its work, as one
//! line of JSON.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Between two lines of a program, and until the tasks of one have ended.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(600);

/// The process. It dies with this value.
pub(super) struct Program {
    name: &'static str,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts a program of the folder `clients`; those of ours with our package, as it is in this checkout.
    pub(super) fn start(
        name: &'static str,
        interpreter: &Path,
        words: &[String],
        environment: &[(&str, String)],
    ) -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(interpreter);
        command.arg(here.join("clients").join(name)).args(words);
        if name != PUBLISHED {
            command.env("PYTHONPATH", package());
        }
        command.envs(environment.iter().map(|(name, value)| (*name, value)));
        Self::spawn(name, command)
    }

    /// Starts any other program that prints lines.
    pub(super) fn spawn(name: &'static str, mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("start {name}"))?;
        let stdout = child.stdout.take().context("it has no stdout")?;
        Ok(Self { name, child, lines: BufReader::new(stdout).lines() })
    }

    /// Its next line.
    pub(super) async fn line(&mut self) -> Result<String> {
        let line = timeout(SILENCE_MAX, self.lines.next_line()).await;
        let line = line.with_context(|| format!("{} is silent", self.name))??;
        line.ok_or_else(|| anyhow!("{} has ended early", self.name))
    }

    /// Waits until it says that trouble may begin.
    pub(super) async fn runs(&mut self) -> Result<()> {
        let line = self.line().await?;
        ensure!(line == "running", "{} says {line:?}", self.name);
        Ok(())
    }

    pub(super) fn is_at_work(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// What it says at its end.
    pub(super) async fn told<T: DeserializeOwned>(&mut self) -> Result<T> {
        let line = self.line().await?;
        serde_json::from_str(&line).with_context(|| format!("{} says {line:?}", self.name))
    }

    /// Ends one that does not end by itself.
    pub(super) async fn end(mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("end {}", self.name))
    }
}

/// The program that has the published package in its environment.
const PUBLISHED: &str = "published.py";

/// The sources of our package.
pub(super) fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/python/src")
}

/// The interpreter of an environment that `make deps` makes.
pub(super) fn interpreter(variable: &str, below_cache: &str) -> Option<PathBuf> {
    let venv = match std::env::var_os(variable) {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(&std::env::var_os("HOME")?).join(".cache/flame-ha").join(below_cache),
    };
    Some(venv.join("bin/python")).filter(|interpreter| interpreter.is_file())
}
