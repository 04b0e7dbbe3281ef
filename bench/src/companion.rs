//! A process beside this one that takes part in a workload: lines to its stdin, lines from its stdout.
//!
//! **Invariant:** it does not outlive its handle, and when this process dies its stdin ends, which ends it.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// Between two lines of it.
const SILENCE_MAX: Duration = Duration::from_secs(600);

/// A process that speaks in lines.
pub struct Companion {
    name: &'static str,
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Companion {
    /// Starts it. What it says on stderr is shown as it comes.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(name: &'static str, mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("start {name}"))?;
        let stdin = child.stdin.take().context("it has no stdin")?;
        let stdout = child.stdout.take().context("it has no stdout")?;
        Ok(Self { name, child, stdin, lines: BufReader::new(stdout).lines() })
    }

    /// Its process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Tells it a line.
    ///
    /// # Errors
    /// If it has ended.
    pub async fn tell(&mut self, line: &str) -> Result<()> {
        let told = self.stdin.write_all(format!("{line}\n").as_bytes()).await;
        told.with_context(|| format!("{} does not listen", self.name))
    }

    /// Its next line.
    ///
    /// # Errors
    /// If it is silent for too long, or has ended.
    pub async fn line(&mut self) -> Result<String> {
        let name = self.name;
        let line = timeout(SILENCE_MAX, self.lines.next_line()).await.with_context(|| format!("{name} is silent"))?;
        match line.with_context(|| format!("read what {name} says"))? {
            Some(line) => Ok(line),
            None => bail!("{name} ended early: {}", self.child.wait().await?),
        }
    }

    /// Waits for this line.
    ///
    /// # Errors
    /// If it says something else.
    pub async fn expect(&mut self, expected: &str) -> Result<()> {
        let line = self.line().await?;
        ensure!(line == expected, "{} was to say {expected:?}, not {line:?}", self.name);
        Ok(())
    }

    /// Ends its stdin and waits for its end.
    ///
    /// # Errors
    /// If it does not end, or ends with an error.
    pub async fn end(mut self) -> Result<()> {
        drop(self.stdin);
        let name = self.name;
        let status =
            timeout(SILENCE_MAX, self.child.wait()).await.with_context(|| format!("{name} does not end"))??;
        ensure!(status.success(), "{name} ended with {status}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_go_both_ways_until_the_end() -> Result<()> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "echo ready; read word; echo \"heard $word\""]);
        let mut companion = Companion::start("the shell", shell)?;
        assert!(companion.pid().is_some());
        companion.expect("ready").await?;
        companion.tell("go").await?;
        assert_eq!(companion.line().await?, "heard go");
        companion.end().await
    }

    #[tokio::test]
    async fn an_early_end_is_an_error_that_says_how() -> Result<()> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "exit 3"]);
        let mut companion = Companion::start("the shell", shell)?;
        let text = companion.line().await.expect_err("it says nothing").to_string();
        assert!(text.contains("the shell ended early") && text.contains('3'), "{text}");
        Ok(())
    }
}
