//! The cluster and its follower; a client's process and what it prints.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use flame_testkit::{Cluster, ClusterOptions, Leader};
use flame_types::CoordinatorId;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// No client is silent for so long while all is well.
const SILENCE_MAX: Duration = Duration::from_secs(150);

/// What a client prints once its runs are in flight.
const IN_FLIGHT: &str = "in-flight";

/// What a client hears once the leader is dead.
const KILLED: &str = "killed\n";

/// Three coordinators, one worker with room for many small services.
#[must_use]
pub fn options() -> ClusterOptions {
    ClusterOptions { worker_resources: "cpu=16,mem=32g".to_owned(), ..ClusterOptions::default() }
}

/// A cluster of this kind.
///
/// # Errors
/// If something does not start.
pub async fn cluster() -> Result<Cluster> {
    Cluster::start(options()).await
}

/// A node that does not lead, and who does.
///
/// # Errors
/// If there is no leader.
pub async fn follower(cluster: &Cluster) -> Result<(CoordinatorId, Leader)> {
    let leader = cluster.leader().await?;
    let other = cluster.coordinator_ids().into_iter().find(|id| *id != leader.id);
    Ok((other.context("there is no follower")?, leader))
}

/// A client's process.
pub struct Client {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    failures: Vec<String>,
}

impl Client {
    /// Starts it. It dies with this value.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("start {command:?}"))?;
        let stdin = child.stdin.take().context("it has no stdin")?;
        let stdout = child.stdout.take().context("it has no stdout")?;
        Ok(Self { child, stdin, lines: BufReader::new(stdout).lines(), failures: Vec::new() })
    }

    /// Waits until its runs are in flight.
    ///
    /// # Errors
    /// If it ends, or fails, before that.
    pub async fn in_flight(&mut self) -> Result<()> {
        loop {
            match self.line().await? {
                Some(line) if line == IN_FLIGHT => return Ok(()),
                Some(_) => {}
                None => bail!("the client ended before its runs were in flight: {:?}", self.failures),
            }
        }
    }

    /// Tells it that the leader is dead.
    ///
    /// # Errors
    /// If it does not listen.
    pub async fn tell_killed(&mut self) -> Result<()> {
        self.stdin.write_all(KILLED.as_bytes()).await.context("the client does not listen")
    }

    /// Prints what it prints until it ends; every line that says `FAILED` is an error.
    ///
    /// # Errors
    /// If a check failed, or the client ended badly, or was silent for too long.
    pub async fn finish(mut self) -> Result<()> {
        while self.line().await?.is_some() {}
        let status = timeout(SILENCE_MAX, self.child.wait()).await.context("it closed stdout and does not end")??;
        if !self.failures.is_empty() {
            bail!("{} checks failed:\n{}", self.failures.len(), self.failures.join("\n"));
        }
        if !status.success() {
            bail!("the client ended with {status}");
        }
        Ok(())
    }

    async fn line(&mut self) -> Result<Option<String>> {
        let silent = || anyhow!("the client has said nothing for {} s", SILENCE_MAX.as_secs());
        let line = timeout(SILENCE_MAX, self.lines.next_line()).await.map_err(|_| silent())??;
        if let Some(line) = &line {
            println!("{line}");
            if line.starts_with("FAILED") {
                self.failures.push(line.clone());
            }
        }
        Ok(line)
    }
}
