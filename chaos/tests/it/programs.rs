//! Starts programs of this workspace as users do, and reads what they print and how they end.
//!
//! **Invariant:** a program dies with the value that started it; waiting for it always has a deadline.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use flame_testkit::{Binaries, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::process::{Child, Command};

/// No program of these tests takes so long, however busy the machine is.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A program that runs.
pub struct Running {
    what: String,
    child: Child,
    stdout: NamedTempFile,
    stderr: NamedTempFile,
}

/// A program that has ended.
pub struct Ended {
    what: String,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Variables that a program gets beside those of the tests.
pub type Environment<'a> = &'a [(&'a str, &'a str)];

/// Runs a program to its end.
pub async fn run(name: &str, words: &[&str]) -> Result<Ended> {
    Running::start(name, words)?.ended().await
}

/// Runs a program with these variables to its end.
pub async fn run_with(environment: Environment<'_>, name: &str, words: &[&str]) -> Result<Ended> {
    Running::start_with(environment, name, words)?.ended().await
}

impl Running {
    /// Starts a program that reads nothing.
    pub fn start(name: &str, words: &[&str]) -> Result<Self> {
        Self::start_with(&[], name, words)
    }

    /// Starts a program with these variables that reads nothing.
    pub fn start_with(environment: Environment<'_>, name: &str, words: &[&str]) -> Result<Self> {
        Self::spawn_at(&Binaries::find()?.path(name)?, words, environment, Stdio::null())
    }

    /// Starts a program that reads this text.
    pub fn start_reading(name: &str, words: &[&str], text: &str) -> Result<Self> {
        let file = NamedTempFile::new()?;
        std::fs::write(file.path(), text)?;
        Self::spawn_at(&Binaries::find()?.path(name)?, words, &[], File::open(file.path())?.into())
    }

    /// Starts a tool of the system, which reads nothing.
    pub fn start_tool(path: &str, words: &[&str]) -> Result<Self> {
        Self::spawn_at(Path::new(path), words, &[], Stdio::null())
    }

    fn spawn_at(path: &Path, words: &[&str], environment: Environment<'_>, stdin: Stdio) -> Result<Self> {
        let what = format!("{} {}", path.display(), words.join(" "));
        let (stdout, stderr) = (NamedTempFile::new()?, NamedTempFile::new()?);
        let mut command = Command::new(path);
        command.args(words).stdin(stdin).stdout(stdout.reopen()?).stderr(stderr.reopen()?).kill_on_drop(true);
        // Whoever runs the tests may have a cluster of their own.
        command
            .env("HOME", "/nonexistent")
            .env_remove("FLAME_ENDPOINT")
            .env_remove("FLAME_CACHE_ENDPOINT")
            .envs(environment.iter().copied());
        let child = command.spawn().with_context(|| format!("start {what}"))?;
        Ok(Self { what, child, stdout, stderr })
    }

    /// Waits until it has printed this, anywhere.
    pub async fn says(&mut self, text: &str) -> Result<()> {
        let wish = format!("{} says {text:?}", self.what);
        let said = wait_until(LIMIT, &wish, || {
            let answer = self.look(text);
            async move { answer }
        });
        said.await?.then_some(()).ok_or_else(|| anyhow!("it ended instead")).with_context(|| self.story())
    }

    /// Whether it has said this; an error is "not yet". One that has ended says nothing more.
    fn look(&mut self, text: &str) -> Result<bool> {
        let has_ended = self.child.try_wait()?.is_some();
        let said = [&self.stdout, &self.stderr].iter().any(|file| read(file).contains(text));
        ensure!(said || has_ended, "so far it has said:\n{}", self.story());
        Ok(said)
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> Result<Ended> {
        let status = tokio::time::timeout(LIMIT, self.child.wait()).await;
        let status = status.map_err(|_| anyhow!("it does not end")).with_context(|| self.story())??;
        let (stdout, stderr) = (read(&self.stdout), read(&self.stderr));
        Ok(Ended { what: self.what, code: status.code(), stdout, stderr })
    }

    /// Sends a signal and waits for the end.
    pub async fn end_by(self, signal: Signal) -> Result<Ended> {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let pid = pid.with_context(|| format!("it has ended before it was told to: {}", self.story()))?;
        kill_process(pid, signal)?;
        self.ended().await
    }

    /// SIGKILL, and waits for the end: its ports are free then.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await.with_context(|| self.story())
    }

    fn story(&self) -> String {
        format!("{}\n{}{}", self.what, read(&self.stdout), read(&self.stderr))
    }
}

impl Ended {
    /// Itself, if it ended with this code.
    pub fn with_code(self, code: i32) -> Result<Self> {
        ensure!(self.code == Some(code), "expected exit code {code}: {}", self.story());
        Ok(self)
    }

    /// Itself, if it ended with this code, printed no data, and the error says all of this.
    pub fn refused(self, code: i32, texts: &[&str]) -> Result<Self> {
        let ended = self.complained(code, texts)?;
        ensure!(ended.stdout.is_empty(), "an error prints no data: {}", ended.story());
        Ok(ended)
    }

    /// Itself, if it ended with this code and the error says all of this, whatever it did before.
    pub fn complained(self, code: i32, texts: &[&str]) -> Result<Self> {
        let ended = self.with_code(code)?;
        for text in texts {
            ensure!(ended.stderr.contains(text), "the error does not say {text:?}: {}", ended.story());
        }
        Ok(ended)
    }

    /// Its output as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| self.story())
    }

    /// Its output as YAML.
    pub fn yaml(&self) -> Result<Value> {
        serde_saphyr::from_str(&self.stdout).with_context(|| self.story())
    }

    /// All of it, for messages.
    pub fn story(&self) -> String {
        format!("{} ended with {:?}\n{}{}", self.what, self.code, self.stdout, self.stderr)
    }
}

fn read(file: &NamedTempFile) -> String {
    let mut bytes = Vec::new();
    // What cannot be read was not said; the assertion that misses it shows that.
    let _unreadable = file.reopen().and_then(|mut file| file.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}
