//! The handle of a process with simulated workers.

use anyhow::{Context, Result};
use flame_testkit::Binaries;
use tokio::process::Command;

use crate::accounting::Kind;
use crate::companion::Companion;
use crate::scene::Scene;

/// How many workers, and of what size.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Workers.
    pub workers: u32,
    /// Room of each for executors.
    pub executors: u32,
    /// Whether to note when results are recorded.
    pub journal: bool,
}

/// When one result was sent by its worker and when that worker was told that it is recorded, in microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The session.
    pub session: String,
    /// The number of the task in it.
    pub task: u64,
    /// Sent at.
    pub sent_us: u64,
    /// Told to be recorded at.
    pub recorded_us: u64,
}

/// Simulated workers, all attached.
pub struct Crowd {
    process: Companion,
}

impl Crowd {
    /// Starts them and waits until all are attached; they count as workers of the scene.
    ///
    /// # Errors
    /// If one is not welcomed.
    pub async fn start(scene: &mut Scene, shape: Shape) -> Result<Self> {
        let mut command = Command::new(Binaries::find()?.path("flame-bench")?);
        command.args(["simulated-workers", "--endpoint", &scene.worker_endpoint().await?]);
        command.args(["--workers", &shape.workers.to_string(), "--executors", &shape.executors.to_string()]);
        if shape.journal {
            command.arg("--journal");
        }
        let mut process = Companion::start("the process of simulated workers", command)?;
        scene.others.extend(process.pid().map(|pid| (pid, Kind::Worker)));
        process.expect("attached").await?;
        Ok(Self { process })
    }

    /// What was noted since the last time.
    ///
    /// # Errors
    /// If a worker has lost its stream.
    pub async fn journal(&mut self) -> Result<Vec<Recorded>> {
        self.process.tell("journal").await?;
        let mut journal = Vec::new();
        loop {
            let line = self.process.line().await?;
            if line == "end" {
                return Ok(journal);
            }
            journal.push(parse(&line).with_context(|| format!("{line:?} is no line of a journal"))?);
        }
    }

    /// Ends them.
    ///
    /// # Errors
    /// If a worker has lost its stream before.
    pub async fn end(self) -> Result<()> {
        self.process.end().await
    }
}

fn parse(line: &str) -> Option<Recorded> {
    let mut words = line.split(' ');
    let session = words.next()?.to_owned();
    let mut number = || words.next()?.parse().ok();
    Some(Recorded { session, task: number()?, sent_us: number()?, recorded_us: number()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_journal_is_read() {
        let expected = Recorded { session: "bench-ab".to_owned(), task: 7, sent_us: 10, recorded_us: 12 };
        assert_eq!(parse("bench-ab 7 10 12"), Some(expected));
        assert_eq!(parse("bench-ab 7 10"), None);
    }
}
