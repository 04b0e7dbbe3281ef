//! What the scenarios of sick disks have in common: whose disk it is, how its coordinator must end, that the others go on,
//! and how it comes back.
//!
//! **Invariant:** how a coordinator ends is what it exits with by itself. Who had to be killed has not passed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use flame_testkit::{Binaries, ClusterOptions, wait_until};
use flame_types::CoordinatorId;

use super::judge::Judge;
use super::report::Report;
use crate::run::{Run, RunOptions, Traffic};

/// The log or the rows are damaged.
pub(super) const DAMAGED: i32 = 11;
/// The disk holds less than was promised.
pub(super) const QUARANTINE: i32 = 13;
/// A write or sync has failed.
pub(super) const STORAGE_FAILED: i32 = 14;
/// Next to nothing is left of the disk.
pub(super) const DISK_FULL: i32 = 15;

pub(super) const COORDINATORS: usize = 3;

const SUBMIT_EVERY: Duration = Duration::from_micros(2_500);
const WINDOW: usize = 10_000;
const SERVICES: u32 = 8;

/// Between two troubles so many tasks are submitted and end, and as many while the coordinator is away.
const TASKS_BETWEEN: u64 = 200;

/// For a coordinator to notice that its disk is sick.
const END_LIMIT: Duration = Duration::from_secs(60);

/// Whose disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Victim {
    /// Whoever leads.
    Leader,
    /// Somebody who does not.
    Follower,
}

/// Flags of every scenario of sick disks.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Whose disk; both in turn when not given.
    #[arg(long, value_enum)]
    pub of: Option<Victim>,
    /// How often, each.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub times: u64,
}

impl Options {
    /// Who is hit, one after the other.
    pub(super) fn victims(&self) -> Vec<Victim> {
        let victims = self.of.map_or_else(|| Victim::value_variants().to_vec(), |victim| vec![victim]);
        (0..self.times).flat_map(|_| victims.clone()).collect()
    }
}

fn takes(number: u64) -> Duration {
    if number.is_multiple_of(20) { Duration::from_millis(500) } else { Duration::ZERO }
}

/// A cluster under load, and what became of its disks so far.
pub(super) struct Scene {
    pub(super) run: Run,
    pub(super) judge: Judge,
    /// `None` once it has ended.
    traffic: Option<Traffic>,
    submitted: u64,
    troubles: u64,
    codes: Vec<i32>,
    explained: BTreeSet<i32>,
}

impl Scene {
    /// Starts a cluster and loads it.
    pub(super) async fn start(name: &'static str, cluster: ClusterOptions) -> Result<Self> {
        let cluster = ClusterOptions { coordinators: COORDINATORS, workers: 2, ..cluster };
        let run = Run::start(RunOptions { cluster, services_max: SERVICES, window: WINDOW }).await?;
        let traffic = Some(Traffic::start(&run.load, name, SUBMIT_EVERY, takes));
        let (judge, codes, explained) = (Judge::new(name), Vec::new(), BTreeSet::new());
        Ok(Self { run, judge, traffic, submitted: 0, troubles: 0, codes, explained })
    }

    /// Waits until there is something to lose, and says whose disk it is.
    pub(super) async fn victim(&mut self, victim: Victim) -> Result<CoordinatorId> {
        self.run.goes_on(TASKS_BETWEEN).await?;
        let leader = self.run.cluster.leader().await?.id;
        let id = match victim {
            Victim::Leader => leader,
            Victim::Follower => {
                let others = self.run.cluster.coordinator_ids().into_iter().filter(|id| *id != leader);
                others.min().context("there is a follower")?
            }
        };
        let running = self.run.running().await?;
        self.judge.presume(running > 0, || "no task ran when the disk fell ill".to_owned());
        self.troubles += 1;
        Ok(id)
    }

    /// A coordinator that runs must end by itself with one of these codes, and the others go on without it.
    pub(super) async fn ends(&mut self, id: CoordinatorId, codes: &[i32], what: &str) -> Result<()> {
        eprintln!("==> coordinator {id}: {what}");
        wait_until(END_LIMIT, &format!("coordinator {id} ends, since {what}"), || {
            let has_ended = self.run.cluster.has_ended(id);
            async move {
                ensure!(has_ended, "it runs");
                Ok(())
            }
        })
        .await?;
        let code = self.run.cluster.coordinator_ended(id).await?;
        eprintln!("    it has ended with code {code}");
        self.judge.require(codes.contains(&code), || format!("{what}: coordinator {id} ended with code {code}"));
        self.codes.push(code);
        self.explain(code)?;
        self.run.goes_on(TASKS_BETWEEN).await
    }

    /// The same for one that does not run: it is started, and must not stay.
    pub(super) async fn does_not_stay(&mut self, id: CoordinatorId, codes: &[i32], what: &str) -> Result<()> {
        // It may notice before or after it says that it is ready.
        let _ready = self.run.cluster.start_coordinator(id).await;
        self.ends(id, codes, what).await
    }

    /// A coordinator whose disk is well again comes back and has everything.
    pub(super) async fn returns(&mut self, id: CoordinatorId) -> Result<()> {
        self.run.cluster.start_coordinator(id).await?;
        self.run.catches_up(id).await
    }

    /// The code must have a page that says what to do.
    fn explain(&mut self, code: i32) -> Result<()> {
        if !self.explained.insert(code) {
            return Ok(());
        }
        let flmctl = Binaries::find()?.path("flmctl")?;
        let page = Command::new(flmctl).args(["explain-error", &code.to_string()]).output().context("run flmctl")?;
        let is_there = page.status.success() && !page.stdout.is_empty();
        self.judge.require(is_there, || format!("flmctl explain-error {code} says nothing"));
        Ok(())
    }

    /// Ends the load.
    pub(super) async fn rest(&mut self) -> Result<()> {
        if let Some(traffic) = self.traffic.take() {
            self.submitted = traffic.stop().await?;
        }
        self.run.load.settle(self.submitted).await?;
        self.run.agreement().await
    }

    /// Ends the load, unless it has ended, and asks every witness.
    pub(super) async fn report(mut self) -> Result<Report> {
        self.rest().await?;
        self.judge.figure("troubles", self.troubles);
        self.judge.figure("exit_codes", self.codes.clone());
        self.judge.presume(!self.codes.is_empty(), || "no disk was found to be sick".to_owned());
        self.judge.verdict(&self.run.verdict().await?, self.submitted);
        self.run.cluster.shutdown().await?;
        Ok(self.judge.report())
    }
}

/// Files below a folder, of any depth, whose names end so.
pub(super) fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path(), ending)?);
        } else if entry.file_name().to_string_lossy().ends_with(ending) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
